"""Where things are on the face: masks painted once per process in the rest head's front view, and the scalp.

All functions use the model's own coordinates (cm; see :mod:`facesnap.world.facekit.head`), where every identity and
expression shares one rest position, so a mask drawn here sticks to the skin of everyone.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel
from facesnap.world.geometry import smoothstep

#: Rest-space rectangle that the mask textures cover: x -10..10, y -14..14.
MASK_SIZE = 512
#: Hairline height over |azimuth| in degrees (0 = front) about the head's vertical axis.
HAIRLINE_AZIMUTH = (0, 22, 38, 50, 58, 66, 74, 84, 92, 104, 120, 140, 180)
HAIRLINE_HEIGHT = (10.7, 10.8, 9.9, 8.0, 6.2, 4.0, 2.2, 2.4, 4.2, 3.0, -1.0, -4.0, -5.2)
#: Centre of the cranium.
CRANIUM = np.array([0.0, 5.0, 0.5], dtype=np.float32)


def hairline(azimuth_degrees: np.ndarray) -> np.ndarray:
    """Height y of the hairline for azimuths in degrees (any sign)."""
    return np.asarray(np.interp(np.abs(azimuth_degrees), HAIRLINE_AZIMUTH, HAIRLINE_HEIGHT))


def azimuth(points: np.ndarray) -> np.ndarray:
    """Azimuth in degrees of model-space points (..., 3) about the cranium's vertical axis; 0 is the front."""
    return np.asarray(np.degrees(np.arctan2(points[..., 0], points[..., 2] - CRANIUM[2])))


def scalp_height(rest: np.ndarray) -> np.ndarray:
    """Centimetres above the hairline (...,), negative on the face, for model-space points (..., 3)."""
    height = rest[..., 1] - hairline(azimuth(rest))
    ear = (np.abs(rest[..., 0]) > 7.0) & (rest[..., 1] < 4.2) & (rest[..., 2] > -2.6) & (rest[..., 2] < 2.6)
    return np.where(ear, -3.0, height)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """X and y (512, 512) of the texels' centres."""
    x = (np.arange(MASK_SIZE) + 0.5) / MASK_SIZE * 20 - 10
    y = (np.arange(MASK_SIZE) + 0.5) / MASK_SIZE * 28 - 14
    return np.meshgrid(x, y)


def _segment_distance(x: np.ndarray, y: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to a polyline (K, 2) and the position 0..1 along it of the nearest point."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    starts = np.concatenate([[0.0], np.cumsum(lengths)])
    best = np.full(x.shape, np.inf)
    along = np.zeros(x.shape)
    for i, (a, b) in enumerate(pairwise(points)):
        d = b - a
        t = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1]) / max(float(d @ d), 1e-9), 0, 1)
        distance = np.hypot(x - a[0] - t * d[0], y - a[1] - t * d[1])
        closer = distance < best
        best = np.where(closer, distance, best)
        along = np.where(closer, (starts[i] + t * lengths[i]) / starts[-1], along)
    return best, along


def _signed(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Signed distance to a closed polygon (K, 2), negative inside."""
    distance, _ = _segment_distance(x, y, np.vstack([polygon, polygon[:1]]))
    pixels = np.stack([(polygon[:, 0] + 10) / 20, (polygon[:, 1] + 14) / 28], axis=1) * MASK_SIZE * 16
    inside = np.zeros((MASK_SIZE, MASK_SIZE), np.uint8)
    cv2.fillPoly(inside, [np.round(pixels).astype(np.int32)], 1, shift=4)
    return np.where(inside > 0, -distance, distance)


def _mirrored(half: list[tuple[float, float]]) -> np.ndarray:
    """Close a polygon given by its half with x <= 0, listed from the middle top round to the middle bottom."""
    left = np.array(half)
    return np.vstack([left, left[::-1] * [-1, 1]])


@lru_cache(maxsize=1)
def mask_textures(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 textures (512, 512, 4), row 0 at the lowest y; see skin.frag for the channels."""
    x, y = _grid()
    points = (head.mean[head.landmarks] + HEAD_ORIGIN)[:, :2].astype(np.float64)
    lips = _signed(x, y, points[52:64])
    brow = np.full(x.shape, 9.0)
    brow_along = np.zeros(x.shape)
    for inner_first in (points[17:22][::-1], points[22:27]):
        curve = inner_first + [0.0, -0.12]
        distance, along = _segment_distance(x, y, curve)
        half = np.interp(along, [0, 0.15, 0.6, 1], [0.34, 0.42, 0.34, 0.10])
        closer = distance / half < brow
        brow = np.where(closer, distance / half, brow)
        brow_along = np.where(closer, np.interp(along, [0, 0.1, 1], [0.75, 1, 0.9]), brow_along)
    beard = _mirrored(
        [
            (0, -1.35),
            (-1.6, -1.4),
            (-2.8, -2.6),
            (-4.2, -3.0),
            (-5.4, -1.8),
            (-6.4, 1.0),
            (-7.0, 3.2),
            (-8.2, 3.0),
            (-8.2, -4.0),
            (-6.5, -8.4),
            (-3.0, -9.4),
            (0, -9.4),
        ]
    )
    moustache = _mirrored([(0, -1.45), (-1.2, -1.5), (-2.2, -2.2), (-3.0, -3.5), (-2.7, -3.9), (-2.3, -3.4), (0, -2.9)])
    ragged = 0.12 * np.sin(2.3 * x + 1.3 * y) + 0.09 * np.sin(5.1 * x - 2.9 * y + 1.0)
    beard_mask = smoothstep(0.6, -0.8, _signed(x, y, beard) + ragged)
    moustache_mask = smoothstep(0.2, -0.25, _signed(x, y, moustache))
    side = np.abs(x)
    fold, along = _segment_distance(side, y, np.array([(1.75, -0.6), (2.5, -1.8), (3.1, -3.0), (3.2, -3.9)]))
    wrinkles = 0.8 * np.exp(-((fold / 0.22) ** 2)) * np.interp(along, [0, 0.3, 1], [0.6, 1, 0.2])
    for height, width in ((7.6, 3.4), (8.5, 4.0), (9.4, 3.6)):
        line = np.exp(-(((y - height - 0.03 * side**1.5 + 0.15 * np.sin(x * 1.3 + height)) / 0.13) ** 2))
        wrinkles += 0.55 * line * smoothstep(width + 0.8, width - 0.8, side)
    for tilt in (0.3, 0.0, -0.3):
        foot, along = _segment_distance(side, y, np.array([(4.9, 3.4 + tilt), (6.0, 3.4 + 3.0 * tilt)]))
        wrinkles += 0.5 * np.exp(-((foot / 0.09) ** 2)) * (1 - along)
    bag, along = _segment_distance(side, y, np.array([(2.0, 2.9), (2.8, 2.35), (3.8, 2.4)]))
    bags = np.exp(-((bag / 0.38) ** 2))
    blush = np.exp(-(((side - 4.4) / 1.9) ** 2) - ((y - 0.2) / 1.5) ** 2) + 0.7 * np.exp(
        -((side / 1.1) ** 2) - ((y - 0.3) / 1.2) ** 2
    )
    first = np.stack([lips, np.minimum(brow, 9), brow_along, beard_mask], axis=-1)
    second = np.stack([wrinkles, bags, blush, moustache_mask], axis=-1)
    return first.astype(np.float32), second.astype(np.float32)
