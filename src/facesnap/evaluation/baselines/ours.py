"""FaceSnap, trained like everybody else here, and FaceSnap without one of its parts (the paper's ablations).

Without FAM, what the mixer would read goes to FFRNet by a linear map: E_f's vector alone, or E_c's tokens alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.evaluation.baselines.rival import Parts, References, Rival, Texts
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.landmarks.layout import five_points
from facesnap.training.adapter.objective import residuals
from facesnap.training.mini.adapter import new_ffrnet, new_mixer


class Ours(Rival):
    """FAM, the Landmark Predictor, FFRNet, and L_id."""

    name = "facesnap"
    paper = "FaceSnap (arXiv 2602.00627)"
    settings: ClassVar[Mapping[str, Any]] = {}
    wants_map = True
    predicts_shape = True

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
        with self.ffrnet.attend_to(tokens):
            down, mid = residuals(self.ffrnet, noisy, timesteps, maps)
        predicted: Tensor = unet(
            *(noisy, timesteps, texts.states),
            down_block_additional_residuals=tuple(self.strength * each for each in down),
            mid_block_additional_residual=self.strength * mid,
        ).sample
        return predicted


class OneStream(nn.Module):
    """Linear map of f_id to ``tokens`` tokens, or of each of E_c's tokens to one, in the mixer's place."""

    def __init__(self, parts: Parts, of_clip: bool) -> None:
        super().__init__()
        self.of_clip, width, count = of_clip, parts.width, parts.config.tokens
        self.before = nn.LayerNorm(parts.appearance_dim) if of_clip else nn.Identity()
        self.linear = nn.Linear(parts.appearance_dim, width) if of_clip else nn.Linear(parts.face_dim, count * width)
        self.norm = nn.LayerNorm(width)
        self.null = nn.Parameter(0.02 * torch.randn(parts.appearance.shape[0] if of_clip else count, width))

    def forward(self, f_id: Tensor, f_clip: Tensor, drop: Tensor) -> Tensor:
        """(B, N, W)."""
        made = self.linear(self.before(f_clip if self.of_clip else f_id))
        made = self.norm(made if self.of_clip else made.unflatten(1, self.null.shape))
        return torch.where(drop[:, None, None], self.null, made)


class WithoutClip(Ours):
    """No FAM: f_id alone."""

    name = "facesnap, f_id only"

    def _mixer(self, parts: Parts) -> nn.Module:
        return OneStream(parts, of_clip=False)


class WithoutId(Ours):
    """No FAM: f_clip alone."""

    name = "facesnap, f_clip only"

    def _mixer(self, parts: Parts) -> nn.Module:
        return OneStream(parts, of_clip=True)


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

    @staticmethod
    def draw_map(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Five keypoints with their limbs."""
        return draw_keypoints(five_points(landmarks), size)
