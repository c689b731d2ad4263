"""Prompts in pieces: short ones as diffusers encodes them, long ones to their last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from tests.models import tiny

from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.long_prompts import encode_long

CPU = torch.device("cpu")
LONG = "aaaa bbbb cccc dddd eeee ffff"  # a byte is a token, and the encoder takes 16


@pytest.fixture(params=["sd", "sdxl"])
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sd":
        return StableDiffusionPipeline(**tiny.parts(tmp_path))
    return StableDiffusionXLPipeline(**tiny.sdxl_parts(tmp_path), add_watermarker=False)


@torch.no_grad()
def test_a_short_prompt_is_diffusers_own(pipeline: Any) -> None:
    ours = encode_long(pipeline, ["a face"], "a hat", CPU)
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    theirs = pipeline.encode_prompt(
        "a face", device=CPU, num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt="a hat"
    )
    for name, expected in zip(names[: len(theirs)], theirs, strict=True):
        assert torch.allclose(ours[name], expected, atol=1e-5), name


def test_long_ones_are_read_to_their_end_and_all_are_as_long(pipeline: Any) -> None:
    made = encode_long(pipeline, [LONG, "a face"], "", CPU)
    states = made["prompt_embeds"]
    assert states.shape[:2] == made["negative_prompt_embeds"].shape[:2] == (2, 32)
    other = encode_long(pipeline, [LONG[:-1] + "x", "a face"], "", CPU)["prompt_embeds"]
    assert torch.equal(states[0, :16], other[0, :16])
    assert not torch.allclose(states[0, 16:], other[0, 16:], atol=1e-3)
    assert torch.equal(states[1], other[1])


def test_a_call_takes_them_when_told_so(snap: FaceSnap, photo: np.ndarray) -> None:
    me: Identity = snap.enroll(photo)

    def picture(prompt: str, **options: Any) -> np.ndarray:
        return np.asarray(snap(prompt, me, Pose(), seed=1, output_type="np", carry=(), **options).images)

    assert np.abs(picture(LONG, long_prompts=True) - picture(LONG[:-1] + "x", long_prompts=True)).max() > 1e-5
    assert np.abs(picture("a face", long_prompts=True) - picture("a face")).max() < 1e-4
