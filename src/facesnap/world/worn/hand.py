"""A hand as a smooth union of capsules, meshed once, for hands that hide a part of the face.

The hand's own space, cm: origin at the wrist, y along the forearm towards the fingers, x towards the thumb,
the palm looks along -z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP = 0.4  # cm between grid points
#: Knuckles of index, middle, ring and little finger, their joints' lengths and their radius.
_KNUCKLES = np.array([[2.9, 8.3, 0.1], [1.0, 8.8, 0.3], [-0.9, 8.4, 0.2], [-2.7, 7.5, 0.0]])
_LENGTHS = np.array([[3.9, 2.5, 2.1], [4.3, 2.8, 2.2], [4.0, 2.6, 2.2], [3.1, 2.0, 1.9]])
_RADII = np.array([0.86, 0.88, 0.83, 0.74])


@dataclass(frozen=True)
class Gesture:
    """Bend (degrees) of the fingers' three joints, spread between fingers, the thumb's lift and its turn inwards."""

    bend: tuple[float, float, float]
    spread: float = 4.0
    curl_more: float = 0.0  #: degrees by which each next finger bends more
    thumb_out: float = 40.0
    thumb_bend: float = 15.0


@dataclass(frozen=True)
class Capsule:
    """A tapered capsule between two points (3,) with its two radii."""

    a: np.ndarray
    b: np.ndarray
    radius_a: float
    radius_b: float

    def distance(self, p: np.ndarray) -> np.ndarray:
        """Signed distance (N,) of points (N, 3), cm; near enough to exact for a slight taper."""
        along = self.b - self.a
        t = np.clip(((p - self.a) @ along) / (along @ along), 0, 1)
        gap = p - self.a - t[:, None] * along
        return np.asarray(np.sqrt((gap * gap).sum(axis=1)) - (self.radius_a + (self.radius_b - self.radius_a) * t))


def _smooth(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Smooth minimum of two distances."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return np.asarray(b + (a - b) * h - width * h * (1 - h))


def _chain(start: np.ndarray, directions: list[np.ndarray], lengths: np.ndarray, radius: float) -> list[Capsule]:
    capsules, point = [], start
    for k, (direction, length) in enumerate(zip(directions, lengths, strict=True)):
        end = point + direction * length
        capsules.append(Capsule(point, end, radius * (1 - 0.07 * k), radius * (1 - 0.07 * (k + 1))))
        point = end
    return capsules


class Hand:
    """A hand in a gesture."""

    def __init__(self, gesture: Gesture) -> None:
        self.digits = [self._finger(k, gesture) for k in range(4)] + [self._thumb(gesture)]
        wrist = [np.array([x * 0.62, 0.0, 0.0]) for x in (2.6, 0.9, -0.8, -2.3)]
        inside = np.array([0.0, -0.5, -0.25])
        self.palm = [Capsule(a, b + inside, 1.25, 1.08) for a, b in zip(wrist, _KNUCKLES, strict=True)]
        ball = Capsule(np.array([1.6, 1.0, -0.5]), np.array([3.4, 4.2, -0.9]), 1.3, 1.25)
        self.palm += [ball, Capsule(np.array([-2.2, 1.2, -0.5]), np.array([-2.6, 5.2, -0.4]), 1.2, 1.0)]
        self.arm = [
            Capsule(np.array([side, 0.6, 0.0]), np.array([side * 1.7, -27.0, 0.0]), 1.75, 3.1) for side in (-1.0, 1.0)
        ]

    @staticmethod
    def _finger(k: int, gesture: Gesture) -> list[Capsule]:
        angle, spread, directions = 0.0, np.radians(gesture.spread * (1.3 - k)), []
        for bend in gesture.bend:
            angle += np.radians(bend + gesture.curl_more * k)
            flat = np.array([np.sin(spread), np.cos(spread), 0.0]) * np.cos(angle)
            directions.append(flat + np.array([0.0, 0.0, -np.sin(angle)]))
        return _chain(_KNUCKLES[k], directions, _LENGTHS[k], float(_RADII[k]))

    @staticmethod
    def _thumb(gesture: Gesture) -> list[Capsule]:
        directions = []
        for k in range(3):
            out = np.radians(gesture.thumb_out - gesture.thumb_bend * k)
            directions.append(np.array([np.sin(out), np.cos(out) * 0.94, -np.cos(out) * 0.34]))
        return _chain(np.array([2.4, 2.4, -0.7]), directions, np.array([3.4, 3.2, 2.7]), 1.08)

    def distance(self, p: np.ndarray) -> np.ndarray:
        """Signed distance (N,) of points (N, 3) to the hand's skin, cm."""
        palm = self.palm[0].distance(p)
        for capsule in self.palm[1:]:
            palm = _smooth(palm, capsule.distance(p), 1.1)
        for capsule in self.arm:
            palm = _smooth(palm, capsule.distance(p), 1.4)
        fingers = np.full(len(p), 1e3)
        for digit in self.digits:
            found = digit[0].distance(p)
            for capsule in digit[1:]:
                found = _smooth(found, capsule.distance(p), 0.12)
            fingers = _smooth(fingers, found, 0.14)
        return _smooth(palm, fingers, 0.7)

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (N, 6), position and normal, and triangles (F, 3), by surface nets."""
        points = np.concatenate([[c.a, c.b] for part in (self.palm, *self.digits) for c in part])
        low, high = points.min(axis=0) - 2.0, points.max(axis=0) + 2.0
        low[1], low[[0, 2]] = -25.0, np.minimum(low[[0, 2]], -5.2)
        high[[0, 2]] = np.maximum(high[[0, 2]], 5.2)
        axes = [np.arange(a, b + STEP, STEP) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        field = self.distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
        vertices, triangles = surface_net(field)
        vertices = vertices * STEP + low
        return np.concatenate([vertices, self._normals(vertices)], axis=1), triangles

    def _normals(self, p: np.ndarray) -> np.ndarray:
        e = 0.08 * np.eye(3)
        slope = np.stack([self.distance(p + e[k]) - self.distance(p - e[k]) for k in range(3)], axis=1)
        return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9))


def surface_net(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mesh the zero level of a field (X, Y, Z): vertices (N, 3) in grid units, triangles (F, 3).

    Surface nets: one vertex in each cell that the level crosses, at the mean of its edges' crossings, and a quad
    across each crossed grid edge.
    """
    inside = field < 0
    shape = np.array(field.shape) - 1
    total, count = np.zeros((*shape, 3)), np.zeros(shape)
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        first, second = _shifted(field, axis, 0), _shifted(field, axis, 1)
        crossed = (first < 0) != (second < 0)
        share = np.where(crossed, first / np.where(crossed, first - second, 1.0), 0.0)
        for i in (0, 1):
            for j in (0, 1):
                cells = [slice(None)] * 3
                cells[others[0]], cells[others[1]] = slice(i, i + shape[others[0]]), slice(j, j + shape[others[1]])
                part = crossed[tuple(cells)]
                count += part
                total[..., axis] += share[tuple(cells)]
                total[..., others[0]] += part * i
                total[..., others[1]] += part * j
    cells_used = count > 0
    number = np.full(tuple(shape), -1)
    number[cells_used] = np.arange(cells_used.sum())
    vertices = np.argwhere(cells_used) + total[cells_used] / count[cells_used][:, None]
    quads = [_quads(inside, number, axis) for axis in range(3)]
    return vertices, np.concatenate(quads)


def _shifted(field: np.ndarray, axis: int, by: int) -> np.ndarray:
    cut = [slice(None)] * 3
    cut[axis] = slice(by, field.shape[axis] - 1 + by)
    return field[tuple(cut)]


def _quads(inside: np.ndarray, number: np.ndarray, axis: int) -> np.ndarray:
    """Two triangles across each crossed grid edge along ``axis`` that four cells surround."""
    one, two = (axis + 1) % 3, (axis + 2) % 3
    first, second = _shifted(inside, axis, 0), _shifted(inside, axis, 1)
    found = []
    for starts, flip in ((first & ~second, False), (~first & second, True)):
        at = np.argwhere(starts)
        fits = (at[:, one] > 0) & (at[:, two] > 0) & (at[:, one] < number.shape[one]) & (at[:, two] < number.shape[two])
        at = at[fits]
        step_one, step_two = np.eye(3, dtype=int)[one], np.eye(3, dtype=int)[two]
        a, b, c, d = (
            number[tuple((at - offset).T)] for offset in (0 * step_one, step_one, step_one + step_two, step_two)
        )
        corners = (a, d, c, b) if flip else (a, b, c, d)
        found.append(np.concatenate([np.stack([corners[0], corners[1], corners[2]], 1),
                                     np.stack([corners[0], corners[2], corners[3]], 1)]))  # fmt: skip
    return np.concatenate(found)
