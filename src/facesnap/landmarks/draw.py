"""The landmark map: coloured dots on black, as in the paper's framework figure. It is FFRNet's control image."""

from __future__ import annotations

from typing import Final

import numpy as np

from facesnap.landmarks.layout import COLOURS, GROUPS, NUM_LANDMARKS

#: Far groups first, so that near dots lie on top. One fixed order, and not each pose's depths, makes maps drawn
#: from labelled photographs (no depth known) and from predicted heads the same.
DRAWING_ORDER: Final = ("jaw", "brow_l", "brow_r", "eye_l", "eye_r", "mouth", "nose")
#: Radius of a ring's hole, as a share of the dot's.
HOLE: Final = 0.6


def default_radius(size: tuple[int, int]) -> float:
    """Radius of a dot in pixels, for a picture of (width, height)."""
    return max(1.0, 0.011 * min(size))


def draw_landmarks(points: np.ndarray, size: tuple[int, int], radius: float | None = None) -> np.ndarray:
    """Draw a landmark map.

    Args:
        points: (72, 2) pixels, sub-pixel places count; points outside the picture, or NaN, are skipped.
        size: (width, height).
        radius: of a dot in pixels; default: 1.1% of the shorter side, at least 1.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    canvas = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    return overlay(canvas, points, radius)


def overlay(
    image: np.ndarray, points: np.ndarray, radius: float | None = None, hidden: np.ndarray | None = None
) -> np.ndarray:
    """A copy of a picture (H, W, 3) uint8 with the landmarks (72, 2) drawn on it, those ``hidden`` (72,) as rings."""
    if points.shape != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks must have shape (72, 2), not {points.shape}")
    canvas = np.array(image, order="C")
    height, width = canvas.shape[:2]
    radius = default_radius((width, height)) if radius is None else radius
    hollow = np.zeros(NUM_LANDMARKS, dtype=bool) if hidden is None else np.asarray(hidden, dtype=bool)
    pixels = canvas.reshape(-1, 3)
    alpha = np.zeros(height * width, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((points >= 0) & (points < (width, height))).all(axis=1))
    for name in DRAWING_ORDER:
        shown = inside[GROUPS[name]]
        dots, rings = points[GROUPS[name]][shown], hollow[GROUPS[name]][shown]
        index, coverage = _coverage(dots, rings, (width, height), radius)
        np.maximum.at(alpha, index, coverage)  # dots of one colour that touch become one shape
        share = alpha[index, None]
        pixels[index] = np.round(pixels[index] * (1 - share) + share * np.array(COLOURS[name], dtype=np.float32))
        alpha[index] = 0
    return canvas


def _coverage(
    dots: np.ndarray, rings: np.ndarray, size: tuple[int, int], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Flat pixel indices and, for each, how much of the pixel (0 to 1) a dot covers; of all dots (N, 2) together.

    ``rings`` (N,): which dots are rings.
    """
    width, height = size
    reach = int(np.ceil(radius + 0.5))
    window = np.stack(np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1)), axis=-1).reshape(-1, 2)
    places = np.floor(dots).astype(np.int64)[:, None] + window
    distance = np.linalg.norm(places + 0.5 - dots[:, None], axis=-1)
    coverage = np.clip(radius + 0.5 - distance, 0.0, 1.0).astype(np.float32)
    coverage[rings] -= np.clip(HOLE * radius + 0.5 - distance[rings], 0.0, 1.0).astype(np.float32)
    drawn = (coverage > 0) & (places >= 0).all(axis=-1) & (places < (width, height)).all(axis=-1)
    kept = places[drawn]
    return kept[:, 1] * width + kept[:, 0], coverage[drawn]
