"""From a person and a pose to what FFRNet is given: face tokens and a landmark map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from facesnap.core.pose import Pose
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.models.controls import FaceControls
from facesnap.models.held import FaceInPicture
from facesnap.pipelines.call.subjects import Subject

if TYPE_CHECKING:
    from facesnap.pipelines.adapters import FaceAdapter


@dataclass(frozen=True)
class Conditions:
    """What one call of a pipeline is conditioned on besides its prompt, for one person.

    ``tokens``, ``null_tokens``, ``nobody``: (1, N, W), ``f_mix``, what the unguided half attends to, and the learned
    "nobody". ``landmarks``: (72, 2) pixels as requested; ``landmark_map``: (H, W, 3) uint8, the same ones drawn.
    ``region``: (H, W) float32 in [0, 1], where the person is; None is everywhere. For a batch of portraits everything
    but the region has a row per picture (see :mod:`facesnap.pipelines.passes.many`).
    """

    tokens: Tensor
    null_tokens: Tensor
    nobody: Tensor
    landmarks: np.ndarray
    landmark_map: np.ndarray
    region: np.ndarray | None = None

    @staticmethod
    def of(
        subject: Subject,
        pose: Pose,
        size: tuple[int, int],
        adapter: FaceAdapter,
        predictor: LandmarkPredictor,
        controls: FaceControls | None = None,
        device: torch.device | None = None,
    ) -> Conditions:
        """The reference's shape in the given pose, and its tokens.

        Args:
            subject: whose, and where.
            pose: of the portrait, framed in the subject's box.
            size: (width, height) of the portrait.
            adapter: makes the tokens and draws the map.
            predictor: the Landmark Predictor.
            controls: strengths of identity and guidance.
            device: where the pipeline computes; None is the CPU.
        """
        place = device or torch.device("cpu")
        made = adapter.tokens(subject.identity, controls or FaceControls(), place)
        left, top, right, bottom = subject.box(size)
        landmarks = predictor.predict(subject.identity.shape, pose, (right - left, bottom - top)) + [left, top]
        drawn, region = adapter.draw(landmarks, size), subject.region_mask(size)
        return Conditions(made.tokens, made.null_tokens, made.nobody, landmarks, drawn, region)

    def face(self, prompts: int, alone: bool = True) -> FaceInPicture:
        """The same for FFRNet, a row per prompt; one who isn't ``alone`` has a map of their own."""
        return FaceInPicture(
            tokens=self.tokens.expand(prompts, -1, -1),
            null_tokens=self.null_tokens,
            nobody=self.nobody,
            landmark_map=None if alone else as_control(self.landmark_map).to(self.tokens),
            region=None if self.region is None else torch.from_numpy(self.region).to(self.tokens),
        )


def as_control(landmark_map: np.ndarray) -> Tensor:
    """(H, W, 3) uint8, or (B, H, W, 3) -> (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(landmark_map.reshape(-1, *landmark_map.shape[-3:])).permute(0, 3, 1, 2).float() / 255
