"""The dressed body below the head: one mesh of trunk, collars, lapels and hood, affine in the head's vertices.

Every vertex is designed once on the rest head and then bound to nearby skin: it moves by a weighted mean of
its anchors' movements, so that a collar stands off every identity's neck by the same centimetre, and morphing
may treat these vertices as further linear vertices of the head model. Far from the skin (shoulders, arms) a
vertex moves with the mean of the lower neck's movements.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facesnap.world.clothes.tailoring import Form, Piece, sewn_pieces
from facesnap.world.clothes.trunk import ANCHORS, COLUMNS, Neck, grid_triangles, trunk
from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel
from facesnap.world.geometry import smoothstep

#: Pieces whose contact shadow on the trunk is baked.
SHADING_PIECES = ("collar", "open collar", "lapels", "hood")


@lru_cache(maxsize=1)
def torso_of(head: HeadModel) -> Torso:
    """The head's body, built once per process: hair is grown round it, clothes are cut from it."""
    return Torso(head)


class Torso:
    """The body below the head.

    Attributes:
        triangles: (F, 3) i32, indices after the head's V vertices, piece by piece.
        pieces: piece -> slice of ``triangles``; "trunk" is under every garment, "front" is
            as much of it as an open jacket shows.
        static: (T, 12) f32 for cloth.vert: rest position (model space), ambient light in [0, 1], cloth
            coordinates u, v and distance to the piece's free edge in cm, 0 for the trunk or 1 for sewn-on pieces,
            and how much each of :data:`SHADING_PIECES` darkens the trunk around itself, in [0, 1].
    """

    def __init__(self, head: HeadModel) -> None:
        neck = Neck(head)
        self.edge = lower_edge(head)
        grid = trunk(neck, head.mean[self.edge] + HEAD_ORIGIN)
        form = Form(grid)
        parts = {"trunk": _trunk_piece(grid), **sewn_pieces(form)}
        self.pieces: dict[str, slice] = {}
        triangles, start, first = [], len(head.mean), 0
        for name, part in parts.items():
            triangles.append(part.triangles + start)
            self.pieces[name] = slice(first, first + len(part.triangles))
            start, first = start + len(part.points), first + len(part.triangles)
        seen = parts["trunk"].points[parts["trunk"].triangles].mean(axis=1)
        front = triangles[0][(np.abs(seen[:, 0]) < 9.5) & (seen[:, 2] > -2.0) & (seen[:, 1] > -36.0)]
        triangles.append(front)
        self.pieces["front"] = slice(first, first + len(front))
        self.triangles = np.concatenate(triangles).astype(np.int32)
        points = np.concatenate([part.points for part in parts.values()]).astype(np.float32)
        sewn = np.arange(len(points)) >= grid.shape[0] * grid.shape[1]
        weave = np.concatenate([part.weave for part in parts.values()])
        rim = np.concatenate([part.rim for part in parts.values()])
        shade = np.zeros((len(points), len(SHADING_PIECES)), np.float32)
        for k, name in enumerate(SHADING_PIECES):
            shade[~sewn, k] = _darkened(points[~sewn], parts[name].points)
        self.static = np.column_stack([points, ambient(points), weave, rim, sewn, shade]).astype(np.float32)
        self._bind(head, neck, points)

    def _bind(self, head: HeadModel, neck: Neck, points: np.ndarray) -> None:
        """Anchor every vertex to nearby skin; far ones (3 to 12 cm) to the mean of the lower edge."""
        distance = ((points[:, None] - neck.points) ** 2).sum(axis=2)
        nearest = np.argpartition(distance, ANCHORS, axis=1)[:, :ANCHORS]
        close = np.take_along_axis(distance, nearest, 1)
        far = np.sqrt(close.min(axis=1))
        self.far = smoothstep(3.0, 12.0, far)[:, None].astype(np.float32)
        weight = np.exp(-(close - close.min(axis=1, keepdims=True)) / (2 * 1.2**2))
        self.weights = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)[..., None]
        self.anchors = neck.vertices[nearest]
        self.constant = np.zeros_like(points)
        self.constant = points - HEAD_ORIGIN - self.vertices(head.mean)

    def vertices(self, head_vertices: np.ndarray) -> np.ndarray:
        """Torso vertices (T, 3) for head vertices (V, 3): affine, head space, cm."""
        near = (head_vertices[self.anchors] * self.weights).sum(axis=1)
        mean = head_vertices[self.edge].mean(axis=0)
        return np.asarray((1 - self.far) * near + self.far * mean + self.constant, dtype=np.float32)


def lower_edge(head: HeadModel) -> np.ndarray:
    """Vertices (E,) of the border where the head model's skin ends below the neck."""
    triangles = head.triangles[head.part_triangles["skin"]]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    border = edges[first[count == 1]]
    low = (head.mean[border][:, :, 1] + HEAD_ORIGIN[1] < -11.0).all(axis=1)
    return np.unique(border[low])


def ambient(points: np.ndarray) -> np.ndarray:
    """How much of the sky (N,) points see: less under the chin, in the arms' creases and behind the neck."""
    x, y, z = points.T
    chin = np.exp(-((x / 6.5) ** 2)) * np.clip((y + 19.0) / 8.0, 0, 1) * np.clip((z + 3.0) / 4.0, 0, 1)
    arm = np.exp(-(((np.abs(x) - 15.8) / 1.6) ** 2)) * np.clip((-25.0 - y) / 6.0, 0, 1)
    return np.asarray(1.0 - 0.32 * chin - 0.45 * arm)


def _darkened(points: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Contact shadow (N,) in [0, 1] that a piece's points throw on surface points (N, 3) near them."""
    distance = np.sqrt(((points[:, None] - piece) ** 2).sum(axis=2).min(axis=1))
    return np.asarray(np.exp(-((np.maximum(distance - 0.7, 0) / 0.75) ** 2)))


def _trunk_piece(grid: np.ndarray) -> Piece:
    """The trunk: u runs round from the front's middle along each row, v is the height."""
    step = np.linalg.norm(np.diff(grid, axis=1), axis=2)
    around = np.concatenate([np.zeros((len(grid), 1)), np.cumsum(step, axis=1)], axis=1)
    around -= around[:, COLUMNS // 2 : COLUMNS // 2 + 1]
    weave = np.stack([around, grid[..., 1]], axis=-1).reshape(-1, 2)
    points = grid.reshape(-1, 3)
    return Piece(points, grid_triangles(len(grid), COLUMNS, closed=True), weave, np.full(len(points), 9.0))
