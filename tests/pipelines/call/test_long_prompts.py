"""Prompts in pieces: short ones as diffusers encodes them, long ones to their last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from tests.models import tiny

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.call.long_prompts import encode_long
from facesnap.pipelines.call.prompts import fits
from facesnap.pipelines.call.texts import Texts
from facesnap.pipelines.facade import FaceSnap

CPU = torch.device("cpu")
NAMES = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
LONG = "aaaa bbbb cccc dddd eeee ffff"  # a byte is a token, and the encoder takes 16


@pytest.fixture(params=["sd", "sdxl"])
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sd":
        return StableDiffusionPipeline(**tiny.parts(tmp_path))
    return StableDiffusionXLPipeline(**tiny.sdxl_parts(tmp_path), add_watermarker=False)


@torch.no_grad()
def test_a_short_prompt_is_diffusers_own(pipeline: Any) -> None:
    ours = encode_long(pipeline, ["a face"], ["a hat"], CPU)
    theirs = pipeline.encode_prompt(
        "a face", device=CPU, num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt="a hat"
    )
    for name, expected in zip(NAMES[: len(theirs)], theirs, strict=True):
        assert torch.allclose(ours[name], expected, atol=1e-5), name


@torch.no_grad()
@pytest.mark.parametrize("zeros", [True, False])
def test_without_a_negative_the_pipelines_own_rule_counts(pipeline: Any, zeros: bool) -> None:
    """SDXL's bases are configured to have zeros there, not the states of an empty text."""
    if "force_zeros_for_empty_prompt" in pipeline.config:
        pipeline.register_to_config(force_zeros_for_empty_prompt=zeros)
    ours = Texts(["a face"], [""], long_prompts=True).encoded(pipeline, guided=True)
    theirs = pipeline.encode_prompt("a face", device=CPU, num_images_per_prompt=1, do_classifier_free_guidance=True)
    for name, expected in zip(NAMES[: len(theirs)], theirs, strict=True):
        assert torch.allclose(ours[name], expected, atol=1e-5), name


def test_every_prompt_has_a_negative_of_its_own(pipeline: Any) -> None:
    both = encode_long(pipeline, ["a face", "a cat"], ["a hat", ""], CPU)
    for row, (prompt, negative) in enumerate((("a face", "a hat"), ("a cat", ""))):
        alone = encode_long(pipeline, [prompt], [negative], CPU)
        for name, states in alone.items():
            assert torch.allclose(both[name][row], states[0], atol=1e-5), name
    for negatives in (["a hat"], "a hat"):
        with pytest.raises(UsageError, match="one negative prompt for each of 2"):
            encode_long(pipeline, ["a face", "a cat"], negatives, CPU)


def test_words_of_several_vectors_count_as_many(pipeline: Any) -> None:
    """Each tokenizer has its own: here the second one, where there are two, knows more of them."""
    last = "_2" if hasattr(pipeline, "text_encoder_2") else ""
    tokenizer, encoder = getattr(pipeline, f"tokenizer{last}"), getattr(pipeline, f"text_encoder{last}")
    tokenizer.add_tokens(["<style>", *(f"<style>_{i}" for i in range(1, 13))])
    encoder.resize_token_embeddings(len(tokenizer))
    assert fits(pipeline, "a cat <style>") is False, "2 marks, 4 letters, 13 vectors: 19 tokens of 16"
    assert fits(pipeline, "a cat <style>", long_prompts=True)
    assert fits(pipeline, "<style>")
    ids = tokenizer.convert_tokens_to_ids(["<style>_12"])
    before = encode_long(pipeline, ["<style>"], [""], CPU)["prompt_embeds"]
    with torch.no_grad():
        encoder.get_input_embeddings().weight[ids] *= -3.0
    assert (encode_long(pipeline, ["<style>"], [""], CPU)["prompt_embeds"] - before).abs().max() > 1e-3


def test_long_ones_are_read_to_their_end_and_all_are_as_long(pipeline: Any) -> None:
    made = encode_long(pipeline, [LONG, "a face"], ["", ""], CPU)
    states = made["prompt_embeds"]
    assert states.shape[:2] == made["negative_prompt_embeds"].shape[:2] == (2, 32)
    other = encode_long(pipeline, [LONG[:-1] + "x", "a face"], ["", ""], CPU)["prompt_embeds"]
    assert torch.equal(states[0, :16], other[0, :16])
    assert not torch.allclose(states[0, 16:], other[0, 16:], atol=1e-3)
    assert torch.equal(states[1], other[1])


def test_a_call_takes_them_when_told_so(snap: FaceSnap, photo: np.ndarray) -> None:
    me: Identity = snap.enroll(photo)

    def picture(prompt: str, **options: Any) -> np.ndarray:
        return np.asarray(snap(prompt, me, Pose(), seed=1, output_type="np", carry=(), **options).images)

    assert np.abs(picture(LONG, long_prompts=True) - picture(LONG[:-1] + "x", long_prompts=True)).max() > 1e-5
    assert np.abs(picture("a face", long_prompts=True) - picture("a face")).max() < 1e-4
