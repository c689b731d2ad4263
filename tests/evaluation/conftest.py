"""Made-up people with known answers; tests get this module as the fixture ``fakes``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.evaluation.protocol import Trial
from facesnap.evaluation.records import Record, Seen
from facesnap.landmarks.layout import OUTER_EYE_CORNERS


@pytest.fixture(name="fakes")
def this_module() -> ModuleType:
    return sys.modules[__name__]


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge_clip")
    torch.manual_seed(0)
    words = [f"{letter}</w>" for letter in "abcde"] + list("abcde") + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": len(words), "max_position_embeddings": 8, "eos_token_id": 11, "bos_token_id": 10}
    vision = {**small, "image_size": 16, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)
    CLIPModel(config).half().save_pretrained(folder)
    constants = {"image_mean": MEAN, "image_std": STD, "size": {"shortest_edge": 16}, "crop_size": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(constants))
    return folder


def trial(person: int = 0, gallery: tuple[int, ...] = (2, 3)) -> Trial:
    pose = Pose(yaw=10, pitch=-5, expression={"jawOpen": 0.25}, camera=Camera(0.3, 0.5, 0.5, 0.01))
    return Trial(person, 0, 1, gallery, f"a portrait of person {person}", pose, seed=person + 7)


#: What a picture shows, with all that a label has.
SHOWN: dict[str, Any] = {
    "skin": "olive", "hair_style": "bob", "hair_colour": "auburn", "beard": "none", "glasses": "round",
    "glasses_colour": "gold", "lipstick": "none", "eyeshadow": "none", "clothes": "blazer", "clothes_colour": "navy",
    "clothes_second_colour": "white", "occluder": "none", "occluder_hides": "none", "light": "soft",
    "background": "plain", "background_colour": "orange", "style": "photo", "expression": "neutral",
    "head_turn": "ahead", "looks_at_camera": True, "close_up": False,
}  # fmt: skip


def points() -> np.ndarray:
    """72 points whose outer eye corners are 50 px apart."""
    out = np.full((72, 2), 64.0)
    out[OUTER_EYE_CORNERS[0]], out[OUTER_EYE_CORNERS[1]] = (39, 64), (89, 64)
    return out


def unit(index: int, size: int = 8) -> np.ndarray:
    return np.eye(size)[index % size]


def seen(index: int, shift: float = 0.0, found: bool = True) -> Seen:
    """A picture of person ``index`` whose landmarks are ``shift`` px off the requested ones."""
    if not found:
        return Seen(clip=unit(index))
    return Seen(unit(index), unit(index), points() + np.array([shift, 0.0]), np.array([10.0 + shift, -5.0, 0.0]))


def record(person: int, facesnap: Seen | None, base: Seen, failures: dict[str, str] | None = None) -> Record:
    pictures = {"reference": seen(person), "target": seen(person, 1.0), "base": base}
    pictures |= {"gallery_0": seen(person), "gallery_1": seen(person)}
    if facesnap is not None:
        pictures["facesnap"] = facesnap
    seconds = {"base": 0.5, "facesnap": 1.0}
    return Record(trial(person), points(), points(), pictures, failures or {}, seconds)
