"""Face crops as a detector and a camera would make them: what encoders and adapters are trained on."""

from __future__ import annotations

import numpy as np

from facesnap.core.images import similarity_crop
from facesnap.faces.align import CROP_SIZE, arcface_matrix
from facesnap.faces.augment import photograph, texture


def face_view(
    image: np.ndarray,
    points5: np.ndarray,
    rng: np.random.Generator | None,
    *,
    size: int = CROP_SIZE,
    zoom: float = 1.0,
    jitter: float = 0.03,
    textured: float = 0.0,
    photographs: float = 1.0,
) -> np.ndarray:
    """A face crop (size, size, 3) on ArcFace's template (see :mod:`facesnap.faces.align`) of a picture (H, W, 3).

    With ``rng`` it is what a detector and a camera would make of it: points (5, 2) jittered by ``jitter`` of the eyes'
    distance, and a share ``photographs`` of crops augmented as such; a share ``textured`` has texture instead of black
    where it leaves the picture. Without, it is exact.
    """
    if rng is None:
        return similarity_crop(image, arcface_matrix(points5, size, zoom), size)
    eyes = np.linalg.norm(points5[0] - points5[1])
    points = points5 + rng.normal(0, jitter * eyes, points5.shape) + rng.normal(0, jitter * eyes, (1, 2))
    matrix = arcface_matrix(points, size, zoom)
    if textured and rng.random() < textured:
        crop = with_surroundings(image, matrix, size, rng)
    else:
        crop = similarity_crop(image, matrix, size)
    return photograph(crop, rng) if rng.random() < photographs else crop


def with_surroundings(image: np.ndarray, matrix: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A similarity crop, with random texture instead of black where it leaves the picture."""
    crop = similarity_crop(image, matrix, size)
    inside = similarity_crop(np.full_like(image, 255), matrix, size)
    return np.where(inside > 127, crop, texture(crop.shape, rng))
