"""The one linear mesh that is drawn: head, ears as people differ in them, and the torso below.

Everything that moves with identity or expression is a row of a linear model, so that the card can morph it
(:mod:`facesnap.world.render.morph`). Space and units are the head's (:mod:`facesnap.world.facekit.head`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.world.clothes.torso import Torso
from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel

#: Extra identity modes beyond the head model's: how large the ears are, how far they stick out.
EAR_MODES = ("ear size", "ear protrusion")


@dataclass(frozen=True)
class Mesh:
    """Arrays of the linear mesh; V vertices (the head model's first), M of them moved by expressions."""

    mean: np.ndarray  #: (V, 3) f32
    identity: np.ndarray  #: (102, V * 3) f32: the head model's 100 modes, then EAR_MODES
    expression: np.ndarray  #: (53, M * 3) f32
    moving: np.ndarray  #: (M,) i32
    triangles: np.ndarray  #: (F, 3) i32

    def neutral(self, shape: np.ndarray, ears: np.ndarray) -> np.ndarray:
        """Neutral mesh (V, 3) in cm for shape coefficients (100,) and ear coefficients (2,)."""
        offset = np.concatenate([shape, ears]).astype(np.float32) @ self.identity
        return np.asarray(self.mean + offset.reshape(-1, 3))


def build_mesh(head: HeadModel, torso: Torso) -> Mesh:
    """Join the head with its torso; the torso's rows follow from its being affine in the head's vertices."""
    below = torso.vertices(head.mean)

    def dragged(offset: np.ndarray) -> np.ndarray:
        return np.asarray(torso.vertices(head.mean + offset) - below)

    identity = head.identity.reshape(len(head.identity), -1, 3)
    identity = np.concatenate([identity, ear_modes(head)])
    identity = np.concatenate([identity, [dragged(row) for row in identity]], axis=1)
    full = np.zeros((len(head.expression), len(head.mean), 3), np.float32)
    full[:, head.moving] = head.expression.reshape(len(head.expression), -1, 3)
    full = np.concatenate([full, [dragged(row) for row in full]], axis=1)
    moving = np.flatnonzero(np.abs(full).max(axis=(0, 2)) > 1e-4).astype(np.int32)
    return Mesh(
        mean=np.concatenate([head.mean, below]).astype(np.float32),
        identity=np.ascontiguousarray(identity.reshape(len(identity), -1), np.float32),
        expression=np.ascontiguousarray(full[:, moving].reshape(len(full), -1), np.float32),
        moving=moving,
        triangles=np.concatenate([head.triangles, torso.triangles]).astype(np.int32),
    )


def ear_modes(head: HeadModel) -> np.ndarray:
    """Offsets (2, V, 3) in cm per unit of :data:`EAR_MODES`; nothing but the ears moves, landmarks least of all."""
    rest = head.mean + HEAD_ORIGIN
    skin = np.zeros(len(rest), bool)
    skin[head.part_vertices["skin"]] = True
    side = np.sign(rest[:, 0])
    root = np.stack([7.3 * side, np.full(len(rest), 1.6), np.full(len(rest), 0.6)], axis=1)
    out = np.abs(rest[:, 0]) - 7.3
    weight = np.clip(out / 0.9, 0, 1) * np.clip((2.2 - rest[:, 2]) / 1.4, 0, 1)
    weight *= np.clip((4.6 - np.abs(rest[:, 1] - 1.2)) / 1.5, 0, 1) * np.clip((rest[:, 2] + 4.5) / 1.2, 0, 1) * skin
    size = 0.10 * weight[:, None] * (rest - root)
    behind = np.clip(0.9 - rest[:, 2], 0, 3.5)
    sideways = np.stack([side * behind * 0.22, np.zeros(len(rest)), behind * 0.06], axis=1)
    return np.stack([size, weight[:, None] * sideways]).astype(np.float32)


def corner_rings(triangles: np.ndarray, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Per vertex, the other two corners of each triangle it belongs to, in the triangle's sense.

    Returns starts (V + 1,) i32 and corners (3F, 2) i32: vertex v's are ``corners[starts[v]:starts[v + 1]]``.
    """
    owner = triangles.T.ravel()
    others = np.concatenate([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]])
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(vertices + 1))
    return starts.astype(np.int32), np.ascontiguousarray(others[order], np.int32)
