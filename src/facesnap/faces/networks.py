"""The networks behind mini's face recognisers: FaceNet (E_f) and PatchFaceNet (the judge).

Both map an aligned face (B, 3, 112, 112), RGB in [0, 1], to unit vectors (B, D), and both are trained with an
angular margin. They share no layer type but the last ones, so that the judge errs in other ways than E_f.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from facesnap.core.errors import AdapterError

INPUT_SIZE: Final = 112


class Head(nn.Module):
    """(B, C, S, S) features -> (B, D) unit vectors: one weight per channel and place, Linear, BatchNorm.

    The weighted sum is MobileFaceNet's global depthwise convolution, written as a product because that is many
    times faster on a CPU; Linear then BatchNorm is the output of ArcFace ("E"). The BatchNorm has no shift of
    its own: strangers should sit around a cosine of 0.
    """

    def __init__(self, channels: int, side: int, dim: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.full((channels, side, side), 1 / side**2))
        self.norm = nn.BatchNorm1d(channels)
        self.linear = nn.Linear(channels, dim, bias=False)
        self.output = nn.BatchNorm1d(dim, affine=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> (B, D)."""
        pooled = self.norm((features * self.place).sum(dim=(2, 3)))
        embedding: torch.Tensor = self.output(self.linear(pooled))
        return functional.normalize(embedding.float(), dim=1)


class Residual(nn.Module):
    """Two 3x3 convolutions and a skip; halves the picture when ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, S, S) -> (B, outputs, S / stride, S / stride)."""
        return functional.silu(self.body(x) + self.skip(x))


def halving_stem(channels: int) -> nn.Sequential:
    """The first layer of a residual network: (B, 3, S, S) -> (B, channels, S / 2, S / 2)."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.SiLU()
    )


class FaceNet(nn.Module):
    """mini's E_f: a small residual network. Input (B, 3, 112, 112) RGB in [0, 1], output (B, D) unit vectors.

    Config: ``dim`` (D), ``channels`` per stage, ``blocks`` per stage; each stage halves the picture, as the stem does.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        defaults = {"dim": 256, "channels": [32, 64, 128, 192], "blocks": [1, 2, 2, 1]}
        self.config: dict[str, Any] = {**defaults, **(config or {}), "architecture": "FaceNet"}
        channels: list[int] = self.config["channels"]
        self.stem = halving_stem(channels[0])
        layers: list[nn.Module] = []
        inputs, side = channels[0], INPUT_SIZE // 2
        for outputs, count in zip(channels, self.config["blocks"], strict=True):
            layers += [Residual(inputs if i == 0 else outputs, outputs, 2 if i == 0 else 1) for i in range(count)]
            inputs, side = outputs, (side + 1) // 2
        self.stages = nn.Sequential(*layers)
        self.head = Head(inputs, side, self.config["dim"])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, 112, 112) in [0, 1] -> (B, D) unit vectors."""
        embedding: torch.Tensor = self.head(self.stages(self.stem(images * 4 - 2)))
        return embedding


class PatchFaceNet(nn.Module):
    """The judge's network: a convolutional stem cuts 7 x 7 patch tokens, then a transformer.

    Same input and output as :class:`FaceNet`. The stem replaces a plain patch projection because small
    transformers learn much faster behind one (Xiao et al. 2021, "Early Convolutions Help Transformers See Better").

    Config: ``dim`` (D), ``width`` and ``depth`` of the transformer, ``heads``.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        defaults = {"dim": 256, "width": 128, "depth": 4, "heads": 4}
        self.config: dict[str, Any] = {**defaults, **(config or {}), "architecture": "PatchFaceNet"}
        width: int = self.config["width"]
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(4),
            *(nn.Conv2d(48, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.Conv2d(64, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            nn.Conv2d(width, width, 2, stride=2),
        )
        self.side = INPUT_SIZE // 16
        self.position = nn.Parameter(torch.randn(1, self.side**2, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            *(width, self.config["heads"], 4 * width), dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, self.config["depth"], enable_nested_tensor=False)
        self.head = Head(width, self.side, self.config["dim"])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, 112, 112) in [0, 1] -> (B, D) unit vectors."""
        tokens = self.stem(images * 4 - 2).flatten(2).transpose(1, 2)
        tokens = self.transformer(tokens + self.position)
        embedding: torch.Tensor = self.head(tokens.transpose(1, 2).unflatten(2, (self.side, self.side)))
        return embedding


ARCHITECTURES: Final[dict[str, Callable[[Mapping[str, Any]], nn.Module]]] = {
    "FaceNet": FaceNet,
    "PatchFaceNet": PatchFaceNet,
}


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """The network that a weight folder's config names in ``architecture``.

    Raises:
        AdapterError: no such architecture.
    """
    architecture = config.get("architecture")
    if architecture not in ARCHITECTURES:
        raise AdapterError(f"unknown face network {architecture!r}: use one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture](config)
