"""Clothes: the model's own shoulders pushed outwards, and a torso lofted from their lower edge."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from facesnap.world.head import HEAD_ORIGIN, HeadModel


@dataclass(frozen=True)
class Garment:
    """Cut of a garment in the rest head's model space, cm; ``pattern`` as in cloth.frag."""

    neckline: tuple[float, float, float]  #: height at front, sides, back
    offset: float = 0.3
    opening: float = 0.0
    band: float = 0.9
    pattern: int = 0


GARMENTS: dict[str, Garment] = {
    "t-shirt": Garment((-12.9, -9.9, -9.4)),
    "turtleneck": Garment((-10.2, -7.6, -6.6), offset=0.55, band=3.2),
    "shirt": Garment((-10.9, -8.9, -8.4), offset=0.5, opening=0.9, band=1.6),
    "striped jumper": Garment((-12.6, -9.8, -9.3), offset=0.4, band=1.1, pattern=1),
    "checked shirt": Garment((-10.9, -8.9, -8.4), offset=0.5, opening=0.9, band=0.0, pattern=2),
    "knitted jumper": Garment((-11.9, -9.3, -8.8), offset=0.6, band=1.3, pattern=3),
    "jacket": Garment((-11.9, -9.2, -8.4), offset=0.6, band=0.0, pattern=4),
}
#: Rings of the torso below the edge: scale of x, scale of z, drop in cm.
_RINGS = ((1.25, 1.15, 0.4), (1.5, 1.35, -2.0), (1.65, 1.5, -6.0), (1.7, 1.6, -14.0), (1.7, 1.6, -32.0))
_AXIS = np.array([0.0, 0.0, -2.5], dtype=np.float32) - HEAD_ORIGIN * [1, 0, 1]


class Torso:
    """The extra vertices below the head model's lower edge; linear in the edge's vertices."""

    def __init__(self, head: HeadModel) -> None:
        triangles = head.triangles[head.part_triangles["skin"]]
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
        border = edges[first[count == 1]]
        low = (head.mean[border][:, :, 1] + HEAD_ORIGIN[1] < -11.0).all(axis=1)
        border = border[low]
        self.edge, local = np.unique(border, return_inverse=True)
        local = local.reshape(-1, 2)
        start, size = len(head.mean), len(self.edge)
        rows = [self.edge] + [start + k * size + np.arange(size) for k in range(len(_RINGS))]
        faces = []
        for upper, lower in pairwise(rows):
            a, b = upper[local[:, 0]], upper[local[:, 1]]
            c, d = lower[local[:, 0]], lower[local[:, 1]]
            faces += [np.stack([b, a, c], 1), np.stack([b, c, d], 1)]
        self.triangles = np.concatenate(faces).astype(np.int32)

    def vertices(self, head_vertices: np.ndarray) -> np.ndarray:
        """Torso vertices (T, 3) for head vertices (V, 3)."""
        edge = head_vertices[self.edge]
        rings = [_AXIS + (edge - _AXIS) * [sx, 1, sz] + [0, drop, 0] for sx, sz, drop in _RINGS]
        return np.concatenate(rings).astype(np.float32)
