"""From five points to the aligned crop that E_f and E_c read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from facesnap.core.errors import InputError
from facesnap.core.images import crop_matrix, similarity_crop

__all__ = ["ARCFACE_TEMPLATE", "CROP_SIZE", "align", "arcface_matrix", "crop_matrix", "stack_crops"]

#: Side of an aligned crop in pixels.
CROP_SIZE: Final = 112

#: Where ArcFace (and SphereFace before it) puts the five points in a 112 x 112 crop, as published: eye at the
#: picture's left, eye at its right, nose tip, mouth corner left, mouth corner right.
ARCFACE_TEMPLATE: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def arcface_matrix(points5: np.ndarray, size: int = CROP_SIZE, zoom: float = 1.0) -> np.ndarray:
    """The similarity that brings five points closest to ArcFace's template (Umeyama 1991, without reflection).

    In the plane, with points as complex numbers p and template q about their means, the least-squares rotation
    and scale are the one number ``a = sum(conj(p) q) / sum(|p|^2)``.

    Args:
        points5: (..., 5, 2) pixels, in the template's order.
        size: side of the crop in pixels.
        zoom: below 1 shows more around the face (0.7: the whole head), about the crop's centre.

    Returns:
        (..., 2, 3): picture pixels -> crop pixels.

    Raises:
        InputError: the points are not finite, or all the same.
    """
    points = np.asarray(points5, dtype=np.float64)
    target = ((ARCFACE_TEMPLATE - CROP_SIZE / 2) * zoom / CROP_SIZE + 0.5) * size
    source_mean, target_mean = points.mean(axis=-2), target.mean(axis=0)
    p, q = _complex(points - source_mean[..., None, :]), _complex(target - target_mean)
    spread = (np.abs(p) ** 2).sum(axis=-1)
    if not np.isfinite(points).all() or (spread < 1e-6).any():
        raise InputError("a face can't be aligned: its five points are not five places")
    a = (np.conj(p) * q).sum(axis=-1) / spread
    linear = np.stack([np.stack([a.real, -a.imag], axis=-1), np.stack([a.imag, a.real], axis=-1)], axis=-2)
    shift = target_mean - (linear @ source_mean[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=-1)


def _complex(points: np.ndarray) -> np.ndarray:
    return np.asarray(points[..., 0] + 1j * points[..., 1])


def align(image: np.ndarray, points5: np.ndarray, size: int = CROP_SIZE, zoom: float = 1.0) -> np.ndarray:
    """Cut the aligned face out of a picture.

    Args:
        image: (H, W, 3) RGB uint8.
        points5: (5, 2) pixels.
        size: side of the crop in pixels.
        zoom: 1 for E_f's crop, 0.7 for E_c's.

    Returns:
        (size, size, 3) uint8, black where the crop leaves the picture.
    """
    return similarity_crop(image, arcface_matrix(points5, size, zoom), size)


def stack_crops(crops: np.ndarray | Sequence[np.ndarray], size: int = CROP_SIZE) -> np.ndarray:
    """Check crops and stack them: (B, size, size, 3) uint8.

    Raises:
        InputError: they have another shape or type.
    """
    shapes = {(crop.shape, crop.dtype) for crop in crops}
    if shapes - {((size, size, 3), np.dtype(np.uint8))}:
        raise InputError(f"face crops must be uint8 of shape (B, {size}, {size}, 3), not {shapes}")
    return np.array(list(crops), dtype=np.uint8).reshape(-1, size, size, 3)
