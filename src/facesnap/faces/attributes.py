"""Reading a portrait's attributes: hair, beard, glasses, clothes, light, background, style, expression.

An attribute's values are what captions can say and a picture can show; ``none`` is a value. The network measures
pictures only: nothing is conditioned or trained on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from facesnap.core.weights import load_module, sha256_12
from facesnap.faces.networks import Residual, halving_stem


class AttributeNet(nn.Module):
    """A small residual network with one linear classifier per attribute.

    Config: ``attributes``: name -> list of its values; ``size``: side of a picture; ``channels`` per halving.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        defaults = {"size": 128, "channels": [32, 64, 96, 128, 192]}
        self.config: dict[str, Any] = {**defaults, **config, "architecture": "AttributeNet"}
        channels: list[int] = self.config["channels"]
        self.stem = halving_stem(channels[0])
        self.stages = nn.Sequential(*(Residual(a, b, 2) for a, b in pairwise(channels)))
        side = self.config["size"] // 2 ** len(channels)
        # Places matter: clothes are below, hair above. So one hidden layer sees the whole grid, not its mean.
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * side**2, 256), nn.SiLU(), nn.Dropout(0.2))
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(v)) for name, v in self.config["attributes"].items()})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 3, S, S) RGB in [0, 1] -> attribute -> logits (B, values)."""
        features = self.hidden(self.stages(self.stem(images * 4 - 2)))
        return {name: head(features) for name, head in self.heads.items()}


class AttributeJudge:
    """The trained network with its words."""

    def __init__(self, network: AttributeNet, folder: Path) -> None:
        self.network, self.folder = network.eval(), folder
        self.values: dict[str, list[str]] = network.config["attributes"]

    @classmethod
    def from_pretrained(cls, folder: Path, device: str = "cpu") -> AttributeJudge:
        """Load the judge; AdapterError when it isn't there."""
        network = load_module(folder, AttributeNet)
        return cls(network.to(device), folder)

    @property
    def signature(self) -> str:
        """``name@hash``, as the report prints it."""
        return f"{self.folder.name}@{sha256_12(self.folder)}"

    @torch.no_grad()
    def read(self, image: np.ndarray) -> dict[str, str]:
        """(H, W, 3) uint8 RGB -> attribute -> the likeliest value."""
        small = shrunk(image, self.network.config["size"])
        device = next(self.network.parameters()).device
        logits = self.network(torch.from_numpy(small).permute(2, 0, 1)[None].to(device).float() / 255)
        return {name: self.values[name][int(values[0].argmax())] for name, values in logits.items()}


def shrunk(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture (S, S, 3) uint8 at the network's size, by areas."""
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
