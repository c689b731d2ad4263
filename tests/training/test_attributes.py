"""The judge of attributes learns what pictures show, reads it back, and isn't asked what a style hides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import drawn_world

from facesnap.faces.attributes import AttributeJudge
from facesnap.training.config import AttributeConfig
from facesnap.training.loop import train
from facesnap.training.mini.attributes import JUDGED, AttributeStage
from facesnap.training.mini.data import Split
from facesnap.training.mini.labels import IGNORED

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}


@pytest.fixture
def split() -> Split:
    """Red and blue pictures, which is the clothes' colour; every fourth is in pencil."""
    world = drawn_world()
    names = [list(COLOURS)[i % 2] for i in range(len(world))]
    images = np.stack([np.full((64, 64, 3), COLOURS[name], np.uint8) for name in names])
    styles = ["pencil" if i % 4 == 3 else "photo" for i in range(len(world))]
    shown = [
        {**dict.fromkeys(JUDGED, "none"), "style": style, "clothes_colour": name}
        for style, name in zip(styles, names, strict=True)
    ]
    return Split(dataclasses.replace(world, images=images, attributes=shown))


def test_it_learns_reads_and_comes_back_from_its_folder(split: Split, tmp_path: Path) -> None:
    config = AttributeConfig(steps=40, batch_size=8, image_size=64, bf16=False, learning_rate=3e-3, ema_decay=0.5)
    torch.manual_seed(0)
    stage = AttributeStage(config, split, split, tmp_path, torch.device("cpu"))
    report = train("x", stage, config, tmp_path, seed=0, minutes=None, device=stage.device, say=lambda _: None)
    assert report.figures["val_clothes_colour"] == 1.0
    judge = AttributeJudge.from_pretrained(tmp_path / "judge_attributes")
    assert judge.signature.startswith("judge_attributes@")
    for name, colour in COLOURS.items():
        read = judge.read(np.full((90, 90, 3), colour, np.uint8))
        assert (read["clothes_colour"], read["beard"]) == (name, "none")


def test_colours_that_a_style_hides_do_not_count(split: Split, tmp_path: Path) -> None:
    stage = AttributeStage(AttributeConfig(image_size=64), split, split, tmp_path, torch.device("cpu"))
    grey = torch.tensor([style == "pencil" for style in (a["style"] for a in split.world.attributes)])
    assert torch.equal(stage.targets["clothes_colour"] == IGNORED, grey)
    assert not (stage.targets["style"] == IGNORED).any()
