"""E_3d in use and in training: a face on a photograph -> coefficients, pose and camera; and the losses for it.

The network itself is in :mod:`facesnap.landmarks.net`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesnap.core.arkit import EXPRESSIONS
from facesnap.core.errors import AdapterError, InputError
from facesnap.core.images import crop_matrix, similarity_crop
from facesnap.core.pose import MAX_ANGLE, Pose
from facesnap.core.types import Camera, euler_angles
from facesnap.core.weights import load_module, mini_folder
from facesnap.landmarks.crop import MARGIN, apply, face_crop, inverted, landmark_box, transform_head, turned
from facesnap.landmarks.layout import five_points
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks
from facesnap.landmarks.net import CROP_SIDE_CM, MAX_INVERSE_DISTANCE, Fit, LandmarkNet, landmarks2d

#: What each loss counts in :func:`total_loss`: landmarks and rotation lead, shape and expression are not drowned.
LOSS_WEIGHTS: Final[dict[str, float]] = {
    "landmarks": 10.0,
    "confidence": 0.05,
    "shape": 1.0,
    "expression": 20.0,
    "rotation": 2.0,
    "camera": 1.0,
    "score": 0.5,
}


@dataclass(frozen=True)
class FitTargets:
    """The truth for B crops, in **crop** pixels; rows where ``is_face`` is 0 may hold anything finite.

    ``landmarks`` (B, 72, 2); ``shape`` (B, K); ``expression`` (B, 53) in [0, 1]; ``rotation`` (B, 3, 3) and
    ``camera`` (B, 4: scale, cx, cy, inverse distance) as :func:`~facesnap.landmarks.crop.transform_head` gives
    them for the crop's matrix; ``is_face`` (B,) 1 or 0.
    """

    landmarks: Tensor
    shape: Tensor
    expression: Tensor
    rotation: Tensor
    camera: Tensor
    is_face: Tensor


def fit_losses(fit: Fit, targets: FitTargets, morphable: MorphableLandmarks) -> dict[str, Tensor]:
    """The unweighted losses of a batch, each a scalar; all but ``score`` are means over the faces in it.

    - ``landmarks``: smooth L1 of the projected landmarks, in units of the eyes' distance (the mean head's, at the
      true camera: it doesn't shrink when the head turns). Linear from 2% on, so that hard crops don't rule.
    - ``confidence``: negative log-likelihood of those errors under the predicted variance (which alone it trains).
    - ``shape``: squared error of the coefficients, weighted by how far they move the landmarks.
    - ``expression``: squared error of the weights. ``rotation``: geodesic angle in radians.
    - ``camera``: smooth L1 of log scale, centre (in usual crop sides, 19 cm), and inverse distance (of its largest).
    - ``score``: binary cross-entropy of "is a face", over the whole batch.
    """
    face = targets.is_face.float()
    unit = (targets.camera[:, :1] * morphable.eye_distance).clamp_min(1e-3)
    error = (landmarks2d(fit, morphable) - targets.landmarks) / unit[:, None]
    near = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02, reduction="none")
    squared = error.detach().square().sum(-1)
    likelihood = 0.5 * squared * torch.exp(-fit.log_variance) + fit.log_variance
    importance = torch.as_tensor(morphable.identity_scale, device=face.device, dtype=fit.shape.dtype)
    shape = (fit.shape - targets.shape).square() * (importance / importance.mean())
    per_face = {
        "landmarks": near.mean((1, 2)),
        "confidence": likelihood.mean(1),
        "shape": shape.mean(1),
        "expression": (fit.expression - targets.expression).square().mean(1),
        "rotation": geodesic(fit.rotation, targets.rotation),
        "camera": _camera_error(fit.camera, targets.camera),
    }
    count = face.sum().clamp_min(1.0)
    losses = {name: (value * face).sum() / count for name, value in per_face.items()}
    losses["score"] = F.binary_cross_entropy_with_logits(fit.score, face)
    return losses


def total_loss(losses: Mapping[str, Tensor], weights: Mapping[str, float] = LOSS_WEIGHTS) -> Tensor:
    """Weighted sum of the losses; every loss must have a weight."""
    return torch.stack([weights[name] * value for name, value in losses.items()]).sum()


def geodesic(first: Tensor, second: Tensor) -> Tensor:
    """Angle (B,) in radians between rotations (B, 3, 3), with a gradient that stays finite at 0."""
    between = first.transpose(1, 2) @ second
    skew = between - between.transpose(1, 2)
    sine = 0.5 * (skew[:, 2, 1].square() + skew[:, 0, 2].square() + skew[:, 1, 0].square() + 1e-8).sqrt()
    cosine = 0.5 * (between.diagonal(dim1=1, dim2=2).sum(1) - 1)
    return torch.atan2(sine, cosine)


def _camera_error(camera: Tensor, target: Tensor) -> Tensor:
    side = (target[:, :1] * CROP_SIDE_CM).clamp_min(1e-3)  # pixels
    scale = camera[:, :1].clamp_min(1e-3).log() - target[:, :1].clamp_min(1e-3).log()
    centre = (camera[:, 1:3] - target[:, 1:3]) / side
    error = torch.cat([scale, centre, (camera[:, 3:] - target[:, 3:]) / MAX_INVERSE_DISTANCE], dim=1)
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05, reduction="none").mean(1)


@dataclass(frozen=True)
class FittedFace:
    """One face as E_3d sees it.

    ``shape`` (K,); ``pose``: angles clipped to what a Pose may hold, expression, and the framing **relative** to the
    picture (:meth:`Camera.relative`); ``camera``: the same one in picture pixels; ``rotation`` (3, 3), not clipped;
    ``landmarks2d`` (72, 2) picture pixels; ``confidence`` (72,) and ``score`` ("is a face") in [0, 1]; ``box`` (4,)
    around the landmarks.
    """

    shape: np.ndarray
    pose: Pose
    camera: Camera
    rotation: np.ndarray
    landmarks2d: np.ndarray
    confidence: np.ndarray
    score: float
    box: np.ndarray

    def driving(self, keep_framing: bool = False) -> Pose:
        """The pose as it drives another head: without the photograph's framing unless that is asked for.

        A face fills a fifth of a usual photograph and half of a portrait; the portrait keeps its own composition.
        """
        return self.pose if keep_framing else self.pose.framed(None)

    def in_copy(self, scale: float, shift: np.ndarray, size: tuple[int, int]) -> FittedFace:
        """The same face in a copy of its picture: scaled, then shifted by (2,) pixels, of a size (width, height)."""
        x, y = shift
        camera = replace(
            self.camera,
            scale=scale * self.camera.scale,
            cx=scale * self.camera.cx + float(x),
            cy=scale * self.camera.cy + float(y),
        )
        return replace(
            self,
            pose=self.pose.framed(camera.relative(size)),
            camera=camera,
            landmarks2d=scale * self.landmarks2d + shift,
            box=scale * self.box + np.tile(shift, 2),
        )


class FaceFitter:
    """Runs E_3d on photographs: crops around a box, reads the face, and looks again at an upright crop around that."""

    def __init__(self, net: torch.nn.Module, morphable: MorphableLandmarks, size: int = 128) -> None:
        self.net, self.morphable, self.size = net, morphable, size

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None) -> FaceFitter:
        """Load E_3d from a folder (``config.json``, ``model.safetensors``, ``morphable.safetensors``); None: mini's.

        Raises:
            AdapterError: files missing, or not fitting each other.
        """
        folder = mini_folder() / "landmarks" if folder is None else Path(folder)
        net = load_module(folder, LandmarkNet)
        morphable = MorphableLandmarks.load(folder / MORPHABLE_NAME)
        if net.config["components"] != morphable.components:
            counts = f"{net.config['components']} and {morphable.components}"
            raise AdapterError(f"E_3d and {MORPHABLE_NAME} in {folder} have different shape coefficients: {counts}")
        return cls(net, morphable, net.size)

    def fit(self, image: np.ndarray, box: np.ndarray, roll: float = 0.0, passes: int = 2) -> FittedFace:
        """Read the face in a box.

        Args:
            image: (H, W, 3) uint8.
            box: (4,) x0, y0, x1, y1 in pixels, roughly around the 72 landmarks (ear to ear, brows to chin).
            roll: of the face in degrees, as far as it is known: the first look is at a crop turned upright by it.
            passes: looks in all; each after the first takes an upright crop around what the last one found.

        Raises:
            InputError: an empty box.
        """
        return self.fit_all([image], [box], [roll], passes)[0]

    def fit_all(
        self,
        images: Sequence[np.ndarray] | np.ndarray,
        boxes: Sequence[np.ndarray] | np.ndarray,
        rolls: Sequence[float] | None = None,
        passes: int = 2,
    ) -> list[FittedFace]:
        """:meth:`fit` of many pictures, one face each, together; ``rolls``: none is known."""
        matrices = []
        for box, roll in zip(boxes, rolls or [0.0] * len(boxes), strict=True):
            corners = np.asarray(box, dtype=np.float64)
            if not np.isfinite(corners).all() or (corners[2:] <= corners[:2]).any():
                raise InputError(f"the face's box {corners.tolist()} is empty")
            matrices.append(turned(crop_matrix(corners, self.size, MARGIN), -roll, np.full(2, self.size / 2)))
        found = self._look(images, matrices)
        for _ in range(passes - 1):
            closer = [face_crop(face.landmarks2d, euler_angles(face.rotation)[2], self.size) for face in found]
            found = self._look(images, closer)
        return found

    def refine(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """A detector's second look: the face in a box (4,) as its own box (4,), five points (5, 2), and score."""
        fitted = self.fit(image, box)
        return fitted.box, five_points(fitted.landmarks2d), fitted.score

    @torch.inference_mode()
    def _look(self, images: Sequence[np.ndarray] | np.ndarray, matrices: Sequence[np.ndarray]) -> list[FittedFace]:
        """One pass of the network over the crops that ``matrices`` make, brought back to the pictures."""
        crops = [similarity_crop(image, matrix, self.size) for image, matrix in zip(images, matrices, strict=True)]
        fit: Fit = self.net(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255)
        points = landmarks2d(fit, self.morphable).double().numpy()
        said = {name: value.double().numpy() for name, value in vars(fit).items()}
        confidence = fit.confidence.numpy()
        return [
            self._back(image, matrix, {name: value[row] for name, value in said.items()}, points[row], confidence[row])
            for row, (image, matrix) in enumerate(zip(images, matrices, strict=True))
        ]

    def _back(
        self,
        image: np.ndarray,
        matrix: np.ndarray,
        said: Mapping[str, np.ndarray],
        points: np.ndarray,
        confidence: np.ndarray,
    ) -> FittedFace:
        """What the network says of a crop, as it is in the picture that ``matrix`` cut it from."""
        back = inverted(matrix)
        rotation, camera = transform_head(back, said["rotation"], Camera(*said["camera"].tolist()))
        placed = apply(back, points)
        return FittedFace(
            shape=said["shape"].astype(np.float32),
            pose=_pose(rotation, said["expression"], camera.relative((image.shape[1], image.shape[0]))),
            camera=camera,
            rotation=rotation,
            landmarks2d=placed,
            confidence=confidence,
            score=float(1 / (1 + np.exp(-said["score"]))),
            box=landmark_box(placed),
        )


def _pose(rotation: np.ndarray, expression: np.ndarray, camera: Camera) -> Pose:
    angles = zip(("yaw", "pitch", "roll"), euler_angles(rotation), strict=True)
    yaw, pitch, roll = (float(np.clip(angle, -MAX_ANGLE[name], MAX_ANGLE[name])) for name, angle in angles)
    weights = dict(zip(EXPRESSIONS, np.clip(expression, 0, 1).tolist(), strict=True))
    return Pose(yaw, pitch, roll, weights, camera=camera)
