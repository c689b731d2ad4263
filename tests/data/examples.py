"""Examples of a prepared data set, made of noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from facesnap.core.types import Camera
from facesnap.data.layout import Example, picture_bytes


def example(seed: int = 0, size: int = 32, suffix: str = "jpg", **other: Any) -> Example:
    """A valid example of V=2 views, D=8, T=5, C=12, K=4."""
    rng = np.random.default_rng(seed)
    f_id = rng.normal(size=(2, 8))
    parts: dict[str, Any] = {
        "key": "0000000-00000",
        "picture": picture_bytes(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), suffix),
        "person": "Ada Łovelace",
        "captions": ("a photo of a person",),
        "landmarks": rng.uniform(0, size, (72, 2)).astype(np.float32),
        "points5": rng.uniform(0, size, (5, 2)).astype(np.float32),
        "pose": np.array([10, -5, 2.5], np.float32),
        "camera": Camera(3.5, 16.0, 17.0, 0.01),
        "expression": rng.uniform(0, 1, 53).astype(np.float32),
        "f_id": (f_id / np.linalg.norm(f_id, axis=1, keepdims=True)).astype(np.float16),
        "f_clip": rng.normal(size=(2, 5, 12)).astype(np.float16),
        "shape": rng.normal(size=4).astype(np.float32),
        "source": "photos/ada/1.jpg",
        "licence": "CC0",
        "consent": "yes",
        "scores": {"face": 98.0},
    }
    return Example(**{**parts, **other})
