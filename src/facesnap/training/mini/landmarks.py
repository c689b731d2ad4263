"""Stage ``landmarks``: E_3d, from a face crop to shape, expression, pose and camera; and what is no face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.core.images import crop_matrix, similarity_crop
from facesnap.core.types import Camera, rotation_matrix
from facesnap.core.weights import save_module
from facesnap.faces.augment import photograph, texture
from facesnap.faces.views import with_surroundings
from facesnap.landmarks.crop import MARGIN, apply, landmark_box, transform_head, turned
from facesnap.landmarks.fit import FitTargets, fit_losses, total_loss
from facesnap.landmarks.layout import nme
from facesnap.landmarks.morphable import MorphableLandmarks
from facesnap.landmarks.net import LandmarkNet, landmarks2d
from facesnap.training.batches import Batch
from facesnap.training.config import LandmarkConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.data import Split, draw_rows, to_tensor


class LandmarkStage(Stage):
    """Jittered, turned, augmented crops with exact targets; a share of crops shows no face."""

    def __init__(
        self,
        config: LandmarkConfig,
        train: Split,
        check: Split,
        morphable: MorphableLandmarks,
        out: Path,
        device: torch.device,
    ):
        self.config, self.train, self.check, self.morphable = config, train, check, morphable
        self.out, self.device = out, device
        self.net = LandmarkNet()
        self.modules = nn.ModuleDict({"net": self.net})

    def draw(self, rng: np.random.Generator) -> Batch:
        """Crops as a detector would cut them out of photographs, and what is in them."""
        crops, targets = self._batch(self.train, draw_rows(len(self.train), self.config.batch_size, rng), rng)
        return {"crops": crops, **vars(targets)}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """E_3d's, see :func:`fit_losses`."""
        targets = FitTargets(**{name: value for name, value in batch.items() if name != "crops"})
        losses = fit_losses(self.net(batch["crops"]), targets, self.morphable)
        return {"loss": total_loss(losses), **losses}

    def _batch(self, split: Split, rows: np.ndarray, rng: np.random.Generator | None) -> tuple[Tensor, FitTargets]:
        drawn = [self._one(split, int(row), rng) for row in rows]
        world = split.world
        return to_tensor([d[0] for d in drawn]), FitTargets(
            landmarks=_stack([d[1] for d in drawn]),
            shape=_stack(self.morphable.shape_from_full(world.identity[rows])),
            expression=_stack(world.expression[rows]),
            rotation=_stack([d[2] for d in drawn]),
            camera=_stack([d[3] for d in drawn]),
            is_face=_stack([d[4] for d in drawn]),
        )

    def _one(self, split: Split, row: int, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        image, points, size = split.world.images[row], split.world.landmarks2d[row], self.net.size
        matrix = crop_matrix(landmark_box(points), size, MARGIN)
        if rng is None:
            crop, is_face = similarity_crop(image, matrix, size), 1.0
        elif rng.random() < self.config.negatives:
            crop, is_face = _no_face(image, points, size, rng), 0.0
        else:
            matrix = _jittered(matrix, size, rng)
            crop, is_face = photograph(with_surroundings(image, matrix, size, rng), rng), 1.0
        rotation, camera = transform_head(
            matrix, rotation_matrix(*split.world.pose[row]), Camera(*(float(v) for v in split.world.camera[row]))
        )
        flat = np.array([camera.scale, camera.cx, camera.cy, camera.inverse_distance])
        return crop, apply(matrix, points), rotation, flat, np.array(is_face)

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write E_3d in half precision beside its morphable model; NME and pose error on people never trained on."""
        rng = np.random.default_rng(0)
        clean, jittered = (self._errors(given) for given in (None, rng))
        save_module(self.out / "landmarks", self.net, self.net.config, about, dtype=torch.float16)
        return {"val_nme_percent": clean, "val_nme_percent_as_photographs": jittered}

    def _errors(self, rng: np.random.Generator | None) -> float:
        rows = np.arange(0, len(self.check), max(1, len(self.check) // 300))
        crops, targets = self._batch(self.check, rows, rng)
        fits = [self.net(part.to(self.device)) for part in torch.split(crops, 64)]
        found = torch.cat([landmarks2d(fit, self.morphable).cpu() for fit in fits]).numpy()
        truth, face = targets.landmarks.numpy(), targets.is_face.numpy() > 0
        error = nme(found, truth)
        return round(float(100 * error[face].mean()), 3)


def _stack(values: list[np.ndarray] | np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _jittered(matrix: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Scale, shift and turn a crop as much as cascades and tilted heads do."""
    zoom = float(np.exp(rng.normal(0, 0.13)))
    shift = rng.normal(0, 0.06 * size, 2)
    centre = np.array([size / 2, size / 2])
    scaled = np.column_stack([matrix[:, :2] * zoom, (matrix[:, 2] - centre) * zoom + centre + shift])
    return turned(scaled, float(rng.normal(0, 18)), centre)


def _no_face(image: np.ndarray, points: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Texture, a corner of the picture, or a part of the face far too large to be one."""
    kind = rng.integers(3)
    if kind == 0:
        crop = texture((size, size, 3), rng)
    elif kind == 1:
        side = float(rng.uniform(0.2, 0.4) * image.shape[0])
        corner = rng.integers(0, 2, 2) * (image.shape[0] - side)
        crop = similarity_crop(image, crop_matrix(np.array([*corner, *(corner + side)]), size), size)
    else:
        centre, reach = points[rng.integers(len(points))], float(rng.uniform(0.08, 0.16) * image.shape[0])
        crop = similarity_crop(image, crop_matrix(np.array([*(centre - reach), *(centre + reach)]), size), size)
    return photograph(crop, rng)
