"""Landmarks as E_3d would err on them."""

from __future__ import annotations

import numpy as np

from facesnap.landmarks.layout import GROUPS


def jittered(points: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (72, 2) with errors like E_3d's: each group shifted and scaled a little, single points less.

    NaN stays NaN, and moves no other point.
    """
    points = points + rng.normal(0, 0.4 * amount, points.shape)
    for group in GROUPS.values():
        centre = np.nanmean(points[group], axis=0)
        zoom = 1.0 + rng.normal(0, 0.03, 2)
        points[group] = centre + (points[group] - centre) * zoom + rng.normal(0, amount, 2)
    return points
