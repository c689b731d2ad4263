"""Pieces that are sewn on the trunk: collars, lapels, a hood, cords and rolled necks, on the rest head.

A piece is a grid of vertices; ``rim`` tells the cloth shader how far (cm) a vertex is from the piece's free edge,
where it draws the seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.world.clothes.trunk import COLUMNS, azimuth, grid_normals, grid_triangles, round_the_neck
from facesnap.world.geometry import joined

#: cm by which pieces stand off the trunk, beyond the widest garment's own offset.
SHIRT_OFF, JACKET_OFF = 0.75, 1.2


@dataclass(frozen=True)
class Piece:
    """``points`` (N, 3) model space, ``triangles`` (F, 3), ``weave`` (N, 2) cloth coordinates, ``rim`` (N,), cm."""

    points: np.ndarray
    triangles: np.ndarray
    weave: np.ndarray
    rim: np.ndarray


class Form:
    """The tailor's dummy: looks up the rest trunk (R, C, 3) by angle and height, or by what is seen in front."""

    def __init__(self, trunk: np.ndarray) -> None:
        self.points = trunk.reshape(-1, 3)
        self.normals = grid_normals(trunk).reshape(-1, 3)
        self.angle = azimuth(self.points)
        self.radius = np.minimum(np.hypot(self.points[:, 0], self.points[:, 2] + 2.0), 10.0)

    def around(self, angle: np.ndarray, height: np.ndarray, off: np.ndarray | float) -> np.ndarray:
        """Points (N, 3) at angles (radians) and heights, ``off`` cm off the surface."""
        across = np.angle(np.exp(1j * (angle[:, None] - self.angle))) * self.radius
        return self._mean(across**2 + (height[:, None] - self.points[:, 1]) ** 2, off)

    def front(self, x: np.ndarray, y: np.ndarray, off: np.ndarray | float) -> np.ndarray:
        """Points (N, 3) of the front half at x and y, ``off`` cm off the surface."""
        distance = (x[:, None] - self.points[:, 0]) ** 2 + (y[:, None] - self.points[:, 1]) ** 2
        found = self._mean(np.where(self.points[:, 2] > -1.5, distance, 1e6), off)
        found[:, :2] = np.stack([x, y], axis=1)
        return found

    def settle(self, points: np.ndarray, off: np.ndarray | float, exact: bool = False) -> np.ndarray:
        """Move points (N, 3) along the surface's normal to be at least (or exactly) ``off`` cm off it."""
        for _ in range(2):
            distance = ((points[:, None] - self.points) ** 2).sum(axis=2)
            nearest = np.argpartition(distance, 9, axis=1)[:, :9]
            near = np.take_along_axis(distance, nearest, 1)
            weight = np.exp(-(near - near.min(axis=1, keepdims=True)) / (2 * 0.8**2))
            weight = (weight / weight.sum(axis=1, keepdims=True))[..., None]
            normal = (weight * self.normals[nearest]).sum(axis=1)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            short = off - ((points - (weight * self.points[nearest]).sum(axis=1)) * normal).sum(axis=1)
            points = points + (short if exact else np.maximum(short, 0))[:, None] * normal
        return points

    def _mean(self, distance: np.ndarray, off: np.ndarray | float) -> np.ndarray:
        nearest = np.argpartition(distance, 14, axis=1)[:, :14]
        weight = np.exp(-np.take_along_axis(distance, nearest, 1) / (2 * 0.9**2)) + 1e-9
        weight = (weight / weight.sum(axis=1, keepdims=True))[..., None]
        normal = (weight * self.normals[nearest]).sum(axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return np.asarray(
            (weight * self.points[nearest]).sum(axis=1) + normal * np.broadcast_to(off, len(normal))[:, None]
        )


def _sheet(rows: np.ndarray, closed: bool = False, edge: float = 9.0) -> Piece:
    """A piece from rows (R, K, 3); the last row is the free edge, open ends are free too."""
    count, columns = rows.shape[:2]
    along = np.linalg.norm(np.diff(rows[-1], axis=0), axis=1)
    u = np.tile(np.concatenate([[0], np.cumsum(along)]), (count, 1))
    down = np.linalg.norm(np.diff(rows, axis=0), axis=2)
    v = np.concatenate([np.zeros((1, columns)), np.cumsum(down, axis=0)])
    rim = v[-1] - v
    if not closed:
        rim = np.minimum(rim, np.minimum(u, u[:, -1:] - u))
    weave = np.stack([u, -v], axis=-1).reshape(-1, 2)
    triangles = grid_triangles(count, columns, closed)
    return Piece(rows.reshape(-1, 3), triangles, weave, np.minimum(rim, edge).ravel())


def _folded(
    form: Form, base: np.ndarray, fold: np.ndarray, outer: np.ndarray, off: float, roll: float, closed: bool = False
) -> Piece:
    """A stand from ``base`` up to ``fold`` and a leaf down to ``outer`` (K, 3 each), rolled by ``roll`` cm.

    The leaf stays ``off`` cm off the trunk; the stand is inside the trunk's cloth.
    """
    away = fold - fold.mean(axis=0)
    away[:, 1] = 0
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])
    stand = [base + (fold - base) * s for s in (0.0, 0.5, 0.9)]
    crest = [fold + 0.18 * up + 0.12 * away, fold + 0.1 * up + 0.42 * away]
    outer = form.settle(outer, off, exact=True)
    leaf = [
        form.settle(fold + (outer - fold) * s + away * roll * 4 * s * (1 - s), off) for s in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    return _sheet(np.stack([*stand, *crest, *leaf]), closed)


def collar(form: Form, gap: float, spread: float, low: float, off: float = SHIRT_OFF) -> Piece:
    """A turned-down collar: open by ``gap`` degrees each side, its points ``spread`` degrees wider and at y ``low``."""
    start = np.radians(gap)
    angle = start + (2 * np.pi - 2 * start) * (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 61)) * 0.999)
    from_front = np.minimum(angle, 2 * np.pi - angle) - start
    near = np.maximum(0.0, 1.0 - from_front / 1.1) ** 1.25
    opened = max(0.0, gap - 10) / 30
    base = round_the_neck(angle, -15.6 - 3.0 * opened, -11.2, -9.6)
    fold = base + round_the_neck(angle, 2.5, 2.7, 3.3)
    outer = round_the_neck(angle, -16.6, -12.6, -11.0)
    outer += (low - outer) * near
    outward = angle + np.sign(np.pi - angle) * np.radians(spread) * near
    stand, top = form.around(angle, base, 0.25), form.around(angle, fold, 0.45)
    return _folded(form, stand, top, form.around(outward, outer, off), off, roll=0.35)


def turtleneck(form: Form) -> Piece:
    """A soft tube turned down over itself, up to under the jaw."""
    angle = _circle()
    top = round_the_neck(angle, -10.6, -7.6, -6.6)
    low = round_the_neck(angle, -15.4, -11.4, -10.2)
    inside, fold = form.around(angle, top - 2.5, 0.2), form.around(angle, top, 0.35)
    return _folded(form, inside, fold, form.around(angle, low, 0.75), 0.75, roll=0.45, closed=True)


def crew(form: Form) -> Piece:
    """The ribbed band of a jumper's or t-shirt's round neck."""
    angle = _circle()
    line = round_the_neck(angle, -15.4, -11.3, -10.0)
    rows = [
        form.around(angle, line + rise, off)
        for rise, off in (
            (-0.2, 0.02),
            (0.45, 0.1),
            (0.75, 0.3),
            (0.62, 0.52),
            (0.1, 0.66),
            (-0.55, 0.66),
            (-0.85, 0.5),
        )
    ]
    return _sheet(np.stack(rows), closed=True)


def lapels(form: Form) -> Piece:
    """A blazer's collar and notched lapels, from one front edge round the neck to the other."""
    height = np.array([-30.5, -27, -24, -21.5, -19, -17.6, -16.9, -16.5, -16.1, -15.4, -14.2, -13.0])
    width = np.array([0.5, 2.3, 3.9, 5.2, 6.2, 6.5, 5.9, 4.2, 4.4, 4.9, 4.5, 4.2])
    lift = np.array([0.0, 0.1, 0.2, 0.4, 0.9, 1.3, 1.0, 0.2, -0.3, -0.6, -0.6, -0.4])
    x = np.interp(height, [-30.5, -13.0], [0.3, 6.7])
    fold = form.settle(form.front(x, height, JACKET_OFF), JACKET_OFF + 0.15, exact=True)
    outer = form.front(x + width, height + lift, JACKET_OFF)
    base = form.front(np.maximum(x - 0.7, 0.1), height, 0.55)
    angle = np.radians(np.linspace(72, 180, 16))
    line = round_the_neck(angle, -14.0, -10.6, -9.0)
    around = (
        form.around(angle, line - 1.0, 0.55),
        form.around(angle, line + 0.9, 0.95),
        form.around(angle, line - 2.9, JACKET_OFF + 0.25),
    )
    halves = [np.concatenate(pair) for pair in zip((base, fold, outer), around, strict=True)]
    mirrored = [half[:-1][::-1] * [-1, 1, 1] for half in halves]
    base, fold, outer = (np.concatenate(pair) for pair in zip(halves, mirrored, strict=True))
    return _folded(form, base, fold, outer, JACKET_OFF, roll=0.3)


def hood(form: Form) -> Piece:
    """A hood lying on the back: a roll that thickens from the throat to the nape."""
    angle = np.radians(np.linspace(11, 349, 61))
    centre = form.around(angle, round_the_neck(angle, -16.4, -11.6, -10.4), 0.0)
    away = form.around(angle, round_the_neck(angle, -16.4, -11.6, -10.4), 1.0) - centre
    away = away * [1, 0.35, 1]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    thick, tall = round_the_neck(angle, 0.55, 1.5, 2.3), round_the_neck(angle, 0.9, 1.9, 3.0)
    rows = []
    for turn in np.linspace(-0.35 * np.pi, 1.25 * np.pi, 13)[::-1]:
        out = (1.0 + np.cos(turn)) * thick
        up = np.sin(turn) * tall + 0.30 * np.cos(turn) * -tall
        rows.append(centre + away * (out + 0.35)[:, None] + np.stack([0 * up, up + 0.4, 0 * up], 1))
    return _sheet(np.stack(rows))


def cords(form: Form) -> Piece:
    """Two draw cords hanging from a hood."""
    y = np.linspace(-16.6, -26.5, 14)
    angle = np.linspace(0, 2 * np.pi, 7)
    parts = []
    for side in (1.0, -1.0):
        path = form.front(side * (2.0 + 0.25 * np.sin(y * 0.5 + side)), y, 0.85)
        tube = [path + 0.24 * np.array([np.sin(a), 0.0, np.cos(a)]) for a in angle]
        parts.append(_sheet(np.stack(tube)))
    return _joined(parts)


def _circle() -> np.ndarray:
    return -np.pi + 2 * np.pi * np.arange(COLUMNS) / COLUMNS


def _joined(parts: list[Piece]) -> Piece:
    points, triangles = joined([(part.points, part.triangles) for part in parts])
    weave, rim = (np.concatenate([getattr(part, name) for part in parts]) for name in ("weave", "rim"))
    return Piece(points, triangles, weave, rim)


def sewn_pieces(form: Form) -> dict[str, Piece]:
    """Every piece that garments may name."""
    return {
        "collar": collar(form, gap=7, spread=22, low=-18.6),
        "tucked collar": collar(form, gap=7, spread=15, low=-17.8, off=0.45),
        "open collar": collar(form, gap=24, spread=20, low=-18.8, off=1.1),
        "turtleneck": turtleneck(form),
        "crew": crew(form),
        "lapels": lapels(form),
        "hood": hood(form),
        "cords": cords(form),
    }
