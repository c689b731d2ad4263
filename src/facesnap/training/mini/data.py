"""Renders in memory, as the stages draw them: pictures, face crops, captions, targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facesnap.core.errors import UsageError
from facesnap.core.types import Camera, rotation_matrix
from facesnap.faces.views import face_view
from facesnap.landmarks.layout import five_points
from facesnap.world.datasets.reading import WorldData, read_shards


@dataclass(frozen=True)
class Split:
    """One split of the world in memory."""

    world: WorldData

    @classmethod
    def read(cls, folder: Path) -> Split:
        """All shards below a folder (an InputError names a damaged one)."""
        return cls(read_shards(folder))

    def joined(self, other: Split) -> Split:
        """These pictures, and the other's of people who aren't here. UsageError if the sizes differ.

        Two renders of one person by their number differ in preset only: hair, clothes and style repeat.
        """
        sizes = [split.world.images.shape[1] for split in (self, other)]
        if sizes[0] != sizes[1]:
            raise UsageError(f"pictures of {sizes[0]} and of {sizes[1]} pixels can't be one data set")

        ours, theirs = self.world, other.world.take(np.flatnonzero(~np.isin(other.world.person, self.world.person)))

        def both(one: Any, more: Any) -> Any:
            if one is None or more is None:
                return None
            return np.concatenate([one, more]) if isinstance(one, np.ndarray) else [*one, *more]

        return Split(replace(ours, **{name: both(one, getattr(theirs, name)) for name, one in vars(ours).items()}))

    def __len__(self) -> int:
        return len(self.world.images)

    def projected(self, row: int, head: np.ndarray) -> np.ndarray:
        """Landmarks (72, 2) in pixels of an unposed head (72, 3) in cm, in a picture's pose and camera."""
        turned = head @ rotation_matrix(*self.world.pose[row].astype(np.float64)).T
        return Camera(*(float(value) for value in self.world.camera[row])).project(turned)

    @cached_property
    def points5(self) -> np.ndarray:
        """(N, 5, 2) alignment points, pixels."""
        return five_points(self.world.landmarks2d)

    @cached_property
    def person_index(self) -> np.ndarray:
        """(N,) person as 0 .. people-1."""
        return np.unique(self.world.person, return_inverse=True)[1].astype(np.int64)

    @property
    def people(self) -> int:
        """How many persons there are."""
        return int(self.person_index.max()) + 1

    @cached_property
    def rows_of(self) -> list[np.ndarray]:
        """Rows of each person."""
        order = np.argsort(self.person_index, kind="stable")
        counts = np.bincount(self.person_index)
        return np.split(order, np.cumsum(counts)[:-1])


def to_tensor(images: np.ndarray | list[np.ndarray]) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(list(images)))).permute(0, 3, 1, 2).float() / 255.0


def draw_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Standard normal numbers of a shape."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def draw_rows(count: int, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Batch of distinct rows (with repeats only when there are fewer rows than the batch)."""
    return rng.choice(count, batch, replace=count < batch)


def draw_several(split: Split, people: int, each: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of ``people`` persons, ``each`` of every one, person by person (with repeats only where there are fewer)."""
    chosen = draw_rows(split.people, people, rng)
    return np.concatenate([split.rows_of[p][draw_rows(len(split.rows_of[p]), each, rng)] for p in chosen])


def aligned_crop(
    split: Split,
    row: int,
    rng: np.random.Generator | None,
    *,
    size: int = 112,
    zoom: float = 1.0,
    jitter: float = 0.03,
    textured: float = 0.0,
    photographs: float = 1.0,
) -> np.ndarray:
    """A face crop on ArcFace's template from exact points, see :func:`facesnap.faces.views.face_view`."""
    return face_view(
        split.world.images[row],
        split.points5[row],
        rng,
        size=size,
        zoom=zoom,
        jitter=jitter,
        textured=textured,
        photographs=photographs,
    )
