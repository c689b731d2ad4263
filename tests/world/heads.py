"""The head model's formula in plain NumPy, for tests to hold the card's morphing and the labels against."""

from __future__ import annotations

import numpy as np

from facesnap.world.facekit.head import HeadModel


def neutral(head: HeadModel, shape: np.ndarray) -> np.ndarray:
    """Neutral head (V, 3) for shape coefficients (100,)."""
    return np.asarray(head.mean + (shape.astype(np.float32) @ head.identity).reshape(-1, 3))


def expressed(head: HeadModel, vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A neutral head (V, 3) with expression weights (53,)."""
    moved = vertices.copy()
    moved[head.moving] += (weights.astype(np.float32) @ head.expression).reshape(-1, 3)
    return moved
