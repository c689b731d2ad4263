"""What the base is told: per prompt, encoded before, or without the last layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from tests.models import tiny

from facesnap.core.errors import PromptError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.call.texts import Texts
from facesnap.pipelines.facade import FaceSnap


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def made(snap: FaceSnap, me: Identity, prompt: Any = "a face", **options: Any) -> np.ndarray:
    given = {"pose": Pose(), "seed": 1, "output_type": "np", "num_inference_steps": 2, "carry": (), **options}
    return np.asarray(snap(prompt, me, **given).images)


def test_a_negative_prompt_per_prompt(snap: FaceSnap, me: Identity) -> None:
    for longer in ({}, {"long_prompts": True}):
        both = made(snap, me, ["a face", "a face"], negative_prompt=["a hat", ""], seed=[1, 1], **longer)
        assert np.abs(both[0] - made(snap, me, negative_prompt="a hat", **longer)[0]).max() < 1e-4
        assert np.abs(both[1] - made(snap, me, **longer)[0]).max() < 1e-4
        assert np.abs(both[0] - both[1]).max() > 1e-4
    with pytest.raises(UsageError, match=r"negative_prompt: 2 given for 1 prompt"):
        made(snap, me, negative_prompt=["a hat", "a coat"])
    with pytest.raises(PromptError, match="negative prompt is longer"):
        made(snap, me, negative_prompt=["a" * 50])


def test_prompts_may_be_encoded_before(snap: FaceSnap, me: Identity) -> None:
    given: Any = Texts(["a face", "a hat"], ["", ""]).encoded(snap.pipeline, guided=True)
    told = {name: rows for name, rows in given.items() if rows is not None}
    text = made(snap, me, ["a face", "a hat"])
    assert np.array_equal(made(snap, me, None, **told), text)
    small = {"pose": Pose(scale=0.08), "small_faces": True, "width": 96, "height": 64}
    ours, theirs = made(snap, me, None, **told, **small), made(snap, me, ["a face", "a hat"], **small)
    assert np.array_equal(ours, theirs)
    assert snap(None, me, **told).settings["prompt"] is None
    for options, message in (
        ({"prompt": "a face", **told}, "prompt_embeds stands for the prompts"),
        ({**told, "long_prompts": True}, "prompt_embeds stands"),
        ({"negative_prompt_embeds": told["prompt_embeds"]}, "goes with prompt_embeds"),
        ({**told, "negative_prompt_embeds": told["prompt_embeds"][:1]}, "a row per prompt"),
    ):
        with pytest.raises(UsageError, match=message):
            made(snap, me, **{"prompt": None, **options})
    with pytest.raises(PromptError, match="at least one prompt"):
        made(snap, me, None)


def test_clip_skip(snap: FaceSnap, me: Identity) -> None:
    plain = made(snap, me)
    assert np.abs(made(snap, me, clip_skip=0) - plain).max() < 1e-4
    assert np.abs(made(snap, me, clip_skip=1) - plain).max() > 1e-5
    for options, message in (
        ({"clip_skip": 2}, "from 0 to 1"),
        ({"clip_skip": 1.0}, "clip_skip=1.0"),
        ({"clip_skip": 1, "long_prompts": True}, "don't go together"),
    ):
        with pytest.raises(UsageError, match=message):
            made(snap, me, **options)


@pytest.mark.parametrize("skip", [None, 1])
def test_sdxl_is_told_what_diffusers_tells_it(tmp_path: Path, skip: int | None) -> None:
    pipeline: Any = StableDiffusionXLPipeline(**tiny.sdxl_parts(tmp_path), add_watermarker=False)
    ours = Texts(["a face"], [""], clip_skip=skip).encoded(pipeline, guided=True)
    with torch.no_grad():
        theirs = pipeline.encode_prompt("a face", device=torch.device("cpu"), clip_skip=skip)
    assert len(ours) == 4
    assert all(torch.equal(a, b) for a, b in zip(ours.values(), theirs, strict=True) if a is not None)


def test_skipping_takes_the_layer_before(tmp_path: Path) -> None:
    pipeline: Any = StableDiffusionPipeline(**tiny.parts(tmp_path))
    made = Texts(["a face"], [""], clip_skip=1).encoded(pipeline, guided=True)
    ids = pipeline.tokenizer(["a face"], padding="max_length", max_length=16, return_tensors="pt").input_ids
    with torch.no_grad():
        states = pipeline.text_encoder(ids, output_hidden_states=True).hidden_states
        last = pipeline.text_encoder(ids)[0]
    found = made["prompt_embeds"]
    assert found is not None
    assert not torch.allclose(found, last, atol=1e-4)
    centred = states[-2] - states[-2].mean(-1, keepdim=True)
    assert torch.nn.functional.cosine_similarity(found, centred, dim=-1).min() > 0.99


@torch.no_grad()
def test_an_empty_negative_beside_others_is_as_by_itself(tmp_path: Path) -> None:
    """SDXL has zeros for it; diffusers has them only where all are empty."""
    pipeline = StableDiffusionXLPipeline(**tiny.sdxl_parts(tmp_path), force_zeros_for_empty_prompt=True)
    both = Texts(["a face", "a cat"], ["a hat", ""]).encoded(pipeline, guided=True)
    for name, alone in Texts(["a cat"], [""]).encoded(pipeline, guided=True).items():
        assert torch.allclose(both[name][1:], alone, atol=1e-6), name


@torch.no_grad()
@pytest.mark.parametrize("how", [{}, {"long_prompts": True}, {"clip_skip": 1}])
def test_loras_on_the_text_encoder_are_scaled_on_every_way(tmp_path: Path, how: dict[str, Any]) -> None:
    peft = pytest.importorskip("peft")
    pipeline = StableDiffusionPipeline(**tiny.parts(tmp_path))
    texts = Texts(["a face"], [""], **how)
    plain = texts.encoded(pipeline, guided=True)["prompt_embeds"]
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    pipeline.text_encoder.add_adapter(config)
    assert not torch.allclose(texts.encoded(pipeline, guided=True)["prompt_embeds"], plain, atol=1e-4)
    silent = texts.encoded(pipeline, guided=True, lora_scale=0.0)["prompt_embeds"]
    assert torch.allclose(silent, plain, atol=1e-5)
    assert not torch.allclose(texts.encoded(pipeline, guided=True)["prompt_embeds"], plain, atol=1e-4)


def test_what_is_no_text_is_refused(snap: FaceSnap, me: Identity) -> None:
    for prompt in (5, ["a face", None], []):
        with pytest.raises(PromptError, match="at least one prompt, as text"):
            snap(prompt, me)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="output_type='foo'"):
        snap("a face", me, output_type="foo")
