"""E_3d, the network: one face crop -> coefficients of the morphable model, pose, camera, score, confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesnap.core.arkit import NUM_EXPRESSIONS
from facesnap.landmarks.layout import NUM_LANDMARKS
from facesnap.landmarks.morphable import MorphableLandmarks

#: The version that ships: 0.97 M parameters, about 4 ms per crop on one CPU core.
DEFAULT_CONFIG: Final[dict[str, Any]] = {
    "size": 128,  # side of the crop, pixels
    "components": 32,  # K of the morphable model
    "stem": 16,
    "channels": [32, 64, 96, 128],
    "blocks": [1, 2, 2, 1],
    "reduced": 64,  # channels kept at each of the last grid's places
    "hidden": 192,
}

#: What a crop usually shows across, in cm: the mean head's landmarks (14.7 cm) with a margin of 1.3.
CROP_SIDE_CM: Final = 19.0
#: Nearest camera the network can name: 40 cm.
MAX_INVERSE_DISTANCE: Final = 1 / 40
#: A point's confidence is the chance that it lies within this share of the eyes' distance.
CONFIDENCE_RADIUS: Final = 0.1


@dataclass(frozen=True)
class Fit:
    """What E_3d says of B crops.

    ``shape`` (B, K); ``expression`` (B, 53) in [0, 1]; ``rotation`` (B, 3, 3), as :meth:`Pose.rotation`;
    ``camera`` (B, 4): scale (crop pixels per cm), cx, cy (crop pixels), inverse distance (1/cm); ``score`` (B,),
    logit of "this is a face"; ``log_variance`` (B, 72) of each landmark's error along one axis, in units of the
    eyes' distance.
    """

    shape: Tensor
    expression: Tensor
    rotation: Tensor
    camera: Tensor
    score: Tensor
    log_variance: Tensor

    @property
    def confidence(self) -> Tensor:
        """(B, 72) in [0, 1]: chance that a landmark is off by less than 10% of the eyes' distance."""
        return 1 - torch.exp(-0.5 * CONFIDENCE_RADIUS**2 * torch.exp(-self.log_variance))


class LandmarkNet(nn.Module):
    """E_3d of the paper's Landmark Predictor: (B, 3, S, S) RGB in [0, 1] -> :class:`Fit`.

    A small residual network that ends in a 4 x 4 grid, so that places survive until the last layers. Outputs are
    offsets from the mean head, upright in the middle of the crop; an untrained network says about that.
    """

    def __init__(self, config: Mapping[str, Any] = DEFAULT_CONFIG) -> None:
        super().__init__()
        self.config = {**DEFAULT_CONFIG, **config}
        self.size: int = self.config["size"]
        width: int = self.config["stem"]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for channels, blocks in zip(self.config["channels"], self.config["blocks"], strict=True):
            for i in range(blocks):
                layers.append(ResidualBlock(width, channels, stride=2 if i == 0 else 1))
                width = channels
        reduced, hidden, components = self.config["reduced"], self.config["hidden"], self.config["components"]
        grid = self.size // 2 ** (1 + len(self.config["channels"]))
        layers += [nn.Conv2d(width, reduced, 1), nn.ReLU(), nn.Flatten()]
        layers += [nn.Linear(reduced * grid * grid, hidden), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.widths = [components, NUM_EXPRESSIONS, 6, 4, 1, NUM_LANDMARKS]
        self.head = nn.Linear(hidden, sum(self.widths))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, crops: Tensor) -> Fit:
        """Shapes as in :class:`Fit`; the last layer runs in float32 even under autocast."""
        features = self.trunk((crops - 0.5) / 0.25)
        with torch.autocast(crops.device.type, enabled=False):
            raw = self.head(features.float())
            shape, expression, rotation, camera, score, log_variance = raw.split(self.widths, dim=1)
            return Fit(
                shape=shape,
                expression=torch.sigmoid(expression - 2.5),  # most weights are near 0 most of the time
                rotation=rotation_from_6d(rotation + rotation.new_tensor([1, 0, 0, 0, 1, 0])),
                camera=self._camera(camera),
                score=score[:, 0],
                log_variance=(log_variance - 5.0).clamp(-12.0, 2.0),  # starts at 8% of the eyes' distance
            )

    def _camera(self, raw: Tensor) -> Tensor:
        """Raw outputs of order one -> scale within a factor 4.5 of the usual, centre, and inverse distance."""
        scale = self.size / CROP_SIDE_CM * torch.exp(1.5 * torch.tanh(raw[:, :1] / 1.5))
        centre = self.size * (0.5 + 0.5 * raw[:, 1:3])
        return torch.cat([scale, centre, MAX_INVERSE_DISTANCE * torch.sigmoid(raw[:, 3:])], dim=1)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: (B, C, H, W) -> (B, C', H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        same = channels_in == channels and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H/stride, W/stride)."""
        return F.relu(self.shortcut(x) + self.body(x))


def rotation_from_6d(raw: Tensor) -> Tensor:
    """(B, 6) -> (B, 3, 3): the first two columns, made orthonormal; continuous, unlike angles (arXiv 1812.07035)."""
    first = F.normalize(raw[:, :3], dim=1)
    second = F.normalize(raw[:, 3:] - (first * raw[:, 3:]).sum(1, keepdim=True) * first, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)


def project(points: Tensor, rotation: Tensor, camera: Tensor) -> Tensor:
    """Pixels (B, N, 2) of head points (B, N, 3) in cm; as ``Camera.project(points @ rotation.T)``, differentiable."""
    posed = points @ rotation.transpose(1, 2)
    scale, centre, inverse_distance = camera[:, None, :1], camera[:, None, 1:3], camera[:, None, 3:]
    flat = posed[..., :2] * posed.new_tensor([1.0, -1.0])
    return centre + scale * flat / (1 - posed[..., 2:] * inverse_distance)


def landmarks2d(fit: Fit, morphable: MorphableLandmarks) -> Tensor:
    """The 72 landmarks (B, 72, 2) in crop pixels that a fit stands for; differentiable in all of it."""
    return project(morphable.landmarks3d(fit.shape, fit.expression), fit.rotation, fit.camera)
