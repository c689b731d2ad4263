"""FaceSnap, trained like everybody else here, and FaceSnap without one of its parts (the paper's ablations).

Without FAM, what the mixer would read goes to FFRNet by linear maps: both streams, or one of them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from facesnap.evaluation.baselines.rival import Parts, References, Rival, Texts, five_point_map, weighed_residuals
from facesnap.training.mini.adapter import new_ffrnet, new_mixer


class Ours(Rival):
    """FAM, the Landmark Predictor, FFRNet, and L_id."""

    name = "facesnap"
    paper = "FaceSnap (arXiv 2602.00627)"
    settings: ClassVar[Mapping[str, Any]] = {}
    wants_map = True
    predicts_shape = True
    identity_guidance = 0.5

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.mixer = self._mixer(parts)
        self.ffrnet = new_ffrnet(parts.unet, parts.config, parts.factor)

    def _mixer(self, parts: Parts) -> nn.Module:
        return new_mixer(parts.face_dim, parts.appearance_dim, parts.width, parts.config)

    def tokens(self, seen: References) -> Tensor:
        """f_mix (B, N, W)."""
        made: Tensor = self.mixer(seen.f_id, seen.f_clip, drop=seen.nobody)
        return made

    def predict(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, texts: Texts, tokens: Tensor, maps: Tensor
    ) -> Tensor:
        """See :class:`Rival`."""
        down, mid = weighed_residuals(self.ffrnet, tokens, noisy, timesteps, maps, self.strength)
        predicted: Tensor = unet(
            *(noisy, timesteps, texts.states),
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
        return predicted


class Unmixed(nn.Module):
    """What FAM would mix, without mixing: a linear map of f_id to ``tokens`` tokens, one of each of E_c's tokens, or
    both side by side; it stands in the mixer's place.
    """

    def __init__(self, parts: Parts, *, of_id: bool, of_clip: bool) -> None:
        super().__init__()
        width, count, (places, channels) = parts.width, parts.config.tokens, parts.appearance.shape
        self.of_id = nn.Linear(parts.face_dim, count * width) if of_id else None
        self.of_clip = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width)) if of_clip else None
        self.norm = nn.LayerNorm(width)
        self.null = nn.Parameter(0.02 * torch.randn(count * of_id + places * of_clip, width))
        if self.of_id is not None:
            nn.init.zeros_(self.of_id.bias)  # as in FAM: f_id's entries are small

    def forward(self, f_id: Tensor, f_clip: Tensor, drop: Tensor) -> Tensor:
        """(B, N, W)."""
        made = [] if self.of_id is None else [self.of_id(f_id).unflatten(1, (-1, self.null.shape[1]))]
        made += [] if self.of_clip is None else [self.of_clip(f_clip)]
        return torch.where(drop[:, None, None], self.null, self.norm(torch.cat(made, dim=1)))


class WithoutFam(Ours):
    """No FAM: both streams side by side."""

    name = "facesnap, no FAM"
    #: What is told: f_id, f_clip.
    streams: ClassVar[tuple[bool, bool]] = (True, True)

    def _mixer(self, parts: Parts) -> nn.Module:
        of_id, of_clip = self.streams
        return Unmixed(parts, of_id=of_id, of_clip=of_clip)


class WithoutClip(WithoutFam):
    """No FAM, and f_id alone."""

    name = "facesnap, f_id only"
    streams = (True, False)


class WithoutId(WithoutFam):
    """No FAM, and f_clip alone."""

    name = "facesnap, f_clip only"
    streams = (False, True)


class WithoutIdLoss(Ours):
    """L_diff alone."""

    name = "facesnap, no L_id"
    settings: ClassVar[Mapping[str, Any]] = {"lambda_id": 0.0}


class DriversLandmarks(Ours):
    """No Landmark Predictor: the driver's own 72 landmarks, in training, too."""

    name = "facesnap, driver's landmarks"
    settings: ClassVar[Mapping[str, Any]] = {"read_shapes": 0.0}
    predicts_shape = False


class FivePoints(Ours):
    """Five keypoints in the predicted landmarks' place."""

    name = "facesnap, 5 points"

    draw_map = staticmethod(five_point_map)
