"""Small mathematics that meshes and masks share: smooth steps, normals, joining."""

from __future__ import annotations

import numpy as np

#: Vertices (N, K), of which the first three columns are the position, and triangles (F, 3) into them.
Mesh = tuple[np.ndarray, np.ndarray]


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """GLSL's smoothstep: 0 at ``low``, 1 at ``high`` (either may be the larger), clipped beyond, flat at both ends.

    ``value`` of any shape; the result has its shape and precision.
    """
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (N, 3) f64 of points (N, 3) with triangles (F, 3); 0 where no triangle is."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    corners = triangles.T.ravel()
    total = np.stack([np.bincount(corners, np.tile(face[:, k], 3), len(points)) for k in range(3)], axis=1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def joined(parts: list[Mesh]) -> Mesh:
    """One mesh of several: vertices (N, K) one after the other, triangles (F, 3) renumbered; K is the same in all."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    triangles = [part + start for (_, part), start in zip(parts, starts, strict=True)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(triangles)
