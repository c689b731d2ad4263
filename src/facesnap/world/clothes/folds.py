"""A map of folds for the trunk's cloth: slopes that bend its normals, painted once."""

from __future__ import annotations

import cv2
import numpy as np

FOLD_VARIANTS = 4
FOLD_WIDTH, FOLD_HEIGHT = 256, 192
#: Cloth coordinates that the map of folds covers: u from, to; v from, to (cm).
FOLD_WINDOW = (-32.0, 32.0, -34.0, -6.0)


def fold_map() -> np.ndarray:
    """Folds of the trunk's cloth (FOLD_VARIANTS * FOLD_HEIGHT, FOLD_WIDTH, 4) uint8.

    Channels: slope along u and v (0.5 is flat, a unit of 1 is a slope of 2), openness to the sky, fibre noise.
    """
    return np.concatenate([_folds(np.random.default_rng([5, k])) for k in range(FOLD_VARIANTS)])


def _folds(rng: np.random.Generator) -> np.ndarray:
    u0, u1, v0, v1 = FOLD_WINDOW
    v, u = np.meshgrid(np.linspace(v0, v1, FOLD_HEIGHT), np.linspace(u0, u1, FOLD_WIDTH), indexing="ij")

    def cloudy(sigma: float, amount: float) -> np.ndarray:
        field = cv2.GaussianBlur(rng.normal(size=u.shape).astype(np.float32), (0, 0), sigma)
        return np.asarray(amount * field / field.std())

    u, v = u + cloudy(14, 0.7), v + cloudy(14, 0.7)
    height = cloudy(10, 0.06)
    for side in (-1.0, 1.0):
        armpit, shoulder = np.array([side * 16.0, -27.0]), np.array([side * 16.5, -16.5])
        for _ in range(6):  # pulled from the armpit towards neck and chest
            to = np.array([side * rng.uniform(3, 12), rng.uniform(-27, -14)])
            height += _ridge(u, v, armpit + rng.normal(0, 1.0, 2), to, rng.uniform(0.5, 1.0), rng.uniform(0.12, 0.3))
        for _ in range(4):  # from the shoulder's point down the sleeve
            to = shoulder + [side * rng.uniform(2, 8), -rng.uniform(6, 16)]
            height += _ridge(u, v, shoulder + rng.normal(0, 1.2, 2), to, rng.uniform(0.5, 1.1), rng.uniform(0.1, 0.25))
    for _ in range(5):  # swags between the shoulders
        y, tilt = rng.uniform(-32, -19), rng.normal(0, 2.0)
        a, b = np.array([-rng.uniform(3, 12), y + tilt]), np.array([rng.uniform(3, 12), y - tilt])
        height += _ridge(u, v, a, b, rng.uniform(0.7, 1.5), rng.uniform(0.05, 0.14), sag=rng.uniform(0.5, 2.0))
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 1.2)
    slope_v, slope_u = np.gradient(height, (v1 - v0) / FOLD_HEIGHT, (u1 - u0) / FOLD_WIDTH)
    open_sky = 0.5 + 1.6 * (height - cv2.GaussianBlur(height, (0, 0), 9))
    fibre = 0.5 + 0.25 * rng.normal(size=u.shape)
    channels = np.stack([0.5 + slope_u / 2, 0.5 + slope_v / 2, open_sky, fibre], axis=-1)
    return np.asarray(np.clip(channels * 255, 0, 255).astype(np.uint8))


def _ridge(
    u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray, width: float, amount: float, sag: float = 0.6
) -> np.ndarray:
    """A fold from ``a`` to ``b``: a soft crest with a valley beside it, fading at both ends."""
    along = b - a
    length = float(np.hypot(*along))
    along = along / length
    s = ((u - a[0]) * along[0] + (v - a[1]) * along[1]) / length
    d = (v - a[1]) * along[0] - (u - a[0]) * along[1] + sag * 4 * s * (1 - s)
    fade = np.clip(1 - np.abs(2 * s - 1) ** 3, 0, 1)
    d = d / (width * (0.6 + 0.8 * np.clip(s, 0, 1)))
    return np.asarray(amount * fade * (np.exp(-d * d) - 0.7 * np.exp(-((d - 1.7) ** 2))))
