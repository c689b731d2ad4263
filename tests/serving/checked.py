"""A base with a true safety checker, tiny and random, whose thresholds are in the test's hands."""

from __future__ import annotations

from pathlib import Path

from diffusers import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tests.models import tiny
from transformers import CLIPConfig, CLIPImageProcessor

#: Thresholds of a cosine, from which a picture is flagged: every one has more than the first, none the second.
ALL, NONE = -2.0, 2.0


def save(folder: Path, threshold: float) -> Path:
    """Write the base's folder; returns it."""
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=4))
    set_threshold(checker, threshold)
    processor = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    parts = {**tiny.parts(folder / "files"), "safety_checker": checker, "feature_extractor": processor}
    StableDiffusionPipeline(**parts).save_pretrained(folder / "checked")
    return folder / "checked"


def set_threshold(checker: StableDiffusionSafetyChecker, threshold: float) -> None:
    """Of every concept."""
    checker.concept_embeds_weights.data[:] = threshold
    checker.special_care_embeds_weights.data[:] = threshold
