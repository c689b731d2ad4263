"""The linear head model of 72 landmarks (3DMM): shape and expression coefficients -> 3D points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facesnap.landmarks.layout import FROM_68

#: ICT-FaceKit's part "face" (skin, lids and lips) is its first vertices; the rest are eyes, teeth, lashes...
FACE_VERTICES = 9409


def landmark_vertices(mean_vertices: np.ndarray, landmarks68: Sequence[int] | np.ndarray) -> np.ndarray:
    """The 72 landmark vertices of ICT-FaceKit's mesh.

    Args:
        mean_vertices: (V, 3) mean head; any origin, but ICT-FaceKit's vertex order.
        landmarks68: (68,) its Multi-PIE landmark vertices.

    Returns:
        (72,) int64 vertex indices in the order of :mod:`facesnap.landmarks.layout`. Each extra eye point is
        the lid vertex (of part "face", no landmark already) nearest to the midpoint of its two neighbours.
    """
    given = np.asarray(landmarks68, dtype=np.int64)
    skin = np.asarray(mean_vertices[:FACE_VERTICES], dtype=np.float64)
    vertices = np.empty(len(FROM_68), dtype=np.int64)
    for i, (a, b) in enumerate(FROM_68):
        vertices[i] = given[a] if a == b else _nearest(skin, (skin[given[a]] + skin[given[b]]) / 2, given)
    return vertices


def _nearest(points: np.ndarray, target: np.ndarray, excluded: np.ndarray) -> int:
    distance = np.linalg.norm(points - target, axis=1)
    distance[excluded] = np.inf
    return int(distance.argmin())
