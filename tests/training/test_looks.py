"""The reader of hair and beard learns from E_c's tokens, and says what it read in a caption's words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import drawn_world

from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.looks import Looks, LooksNet, LooksReader
from facesnap.training.config import LooksConfig
from facesnap.training.loop import train
from facesnap.training.mini.data import Split, aligned_crop
from facesnap.training.mini.looks import LooksStage

HAIR = {(30, 30, 30): "black", (220, 60, 40): "red"}


@pytest.fixture
def split() -> Split:
    """Dark and red pictures: the hair's colour. Red ones have a beard."""
    world = drawn_world()
    colours = [list(HAIR)[i % 2] for i in range(len(world))]
    images = np.stack([np.full((64, 64, 3), colour, np.uint8) for colour in colours])
    shown = [
        {
            "style": "photo", "hair_style": "curly", "hair_colour": HAIR[colour], "occluder": "none",
            "beard": "goatee" if HAIR[colour] == "red" else "none",
        }
        for colour in colours
    ]  # fmt: skip
    return Split(dataclasses.replace(world, images=images, attributes=shown))


def test_it_learns_and_comes_back_from_its_folder(split: Split, tiny_run: Any) -> None:
    out = tiny_run.weights
    config = LooksConfig(steps=60, batch_size=8, bf16=False, learning_rate=3e-3, ema_decay=0.5)
    torch.manual_seed(0)
    stage = LooksStage(config, split, split, out, tiny_run.device)
    report = train("looks", stage, config, tiny_run.folder, seed=0, minutes=None, device=stage.device, say=str)
    assert report.figures["val_hair_colour"] == report.figures["val_beard"] == 1.0
    assert all(p.grad is None for p in stage.encoder.model.parameters())
    reader, encoder = (
        LooksReader.from_pretrained(out / "looks"),
        AppearanceEncoder.from_pretrained(out / "image_encoder"),
    )
    read = {
        split.world.attributes[row]["hair_colour"]: reader.read(
            encoder.encode([aligned_crop(split, row, None, zoom=ZOOM)])[0]
        )
        for row in (0, 1)
    }
    assert read == {"black": Looks("curly black hair"), "red": Looks("curly red hair", "a goatee")}


def test_what_is_uncertain_is_not_said() -> None:
    values = {"hair_style": ["bob", "curly"], "hair_colour": ["black", "none"], "beard": ["goatee", "none"]}
    phrases = {"hair_style": {"bob": "chin-length {c} hair"}, "hair_colour": {"black": "black"}, "beard": {}}
    network = LooksNet({"appearance_dim": 8, "attributes": values, "phrases": phrases})
    for head in network.heads.values():
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor([0.0, 0.0])
    nothing = np.zeros((5, 8), np.float32)
    assert LooksReader(network).read(nothing) == Looks()
    network.heads["hair_style"].bias.data[0] = 2.0
    assert LooksReader(network).read(nothing) == Looks("chin-length hair")
    network.heads["hair_colour"].bias.data[0] = 2.0
    assert LooksReader(network).read(nothing) == Looks("chin-length black hair")
