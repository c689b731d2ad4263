"""Cloth over the face: a medical mask and a wound scarf, on the rest head (model space)."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.clothes.trunk import grid_triangles, round_the_neck
from facesnap.world.geometry import Mesh, joined, vertex_normals
from facesnap.world.worn.glasses import tube


class Face:
    """How far the rest head's skin (N, 3) reaches round an upright axis, over angle and height."""

    def __init__(self, skin: np.ndarray, axis_z: float) -> None:
        self.axis_z = axis_z
        self.height = skin[:, 1]
        self.angle = np.arctan2(skin[:, 0], skin[:, 2] - axis_z)
        self.radius = np.hypot(skin[:, 0], skin[:, 2] - axis_z)

    def reach(self, angle: np.ndarray, height: np.ndarray, across: float, tall: float) -> np.ndarray:
        """Largest radius of skin within ``across`` and ``tall`` cm of angles and heights (any one shape)."""
        out = np.empty(angle.shape)
        for row in np.ndindex(angle.shape[:-1]):  # a row looks at its own band of skin only
            h = height[row]
            band = (self.height > h.min() - tall) & (self.height < h.max() + tall)
            turn = np.angle(np.exp(1j * (angle[row][:, None] - self.angle[band]))) * self.radius[band]
            near = (np.abs(turn) < across) & (np.abs(h[:, None] - self.height[band]) < tall)
            out[row] = np.where(near, self.radius[band], 0).max(axis=1)
        return out

    def points(self, angle: np.ndarray, height: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Points (..., 3) at an angle, height and radius."""
        return np.stack([radius * np.sin(angle), height, self.axis_z + radius * np.cos(angle)], axis=-1)


def _with_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Vertices (N, 6), position and normal, of points (N, 3)."""
    return np.concatenate([points, vertex_normals(points, triangles)], axis=1)


def mask(skin: np.ndarray, lowered: bool) -> Mesh:
    """A pleated medical mask with ear loops on the rest head's skin (N, 3), model space in cm.

    ``lowered`` leaves the nose free. Vertices (M, 6), position and unit normal, and triangles (F, 3).
    """
    face = Face(skin, 1.0)
    rows, columns = 44, 57
    turn = np.radians(np.linspace(-66, 66, columns))
    away = np.abs(turn) / np.radians(66)
    top = (-1.9 if lowered else 2.0) + away**1.5 * (0.2 if lowered else -2.1)
    low = -8.9 + away**2 * 3.6
    share = np.linspace(0, 1, rows)[:, None]
    height = top + (low - top) * share
    angle = np.tile(turn, (rows, 1))
    radius = _taut(face.reach(angle, height, 0.55, 0.45), angle)
    for _ in range(2):
        radius = cv2.GaussianBlur(radius.astype(np.float32), (0, 0), 1.3, borderType=cv2.BORDER_REPLICATE)
    radius = np.maximum(radius, cv2.GaussianBlur(face.reach(angle, height, 0.4, 0.35).astype(np.float32), (0, 0), 0.8))
    pleat = (share * 4.0) % 1.0
    fold = 0.28 * np.where((share > 0.2) & (share < 0.85), np.minimum(pleat, (1 - pleat) * 5), 0.1) * (1 - away**3)
    points = face.points(angle, height, radius + 0.26 + fold)
    cloth = points.reshape(-1, 3)
    triangles = grid_triangles(rows, columns, closed=False)
    parts = [(_with_normals(cloth, triangles), triangles)]
    for column, side in ((columns - 1, 1.0), (0, -1.0)):
        ear = np.array(
            [[side * 8.0, 3.4, 0.6], [side * 8.6, 3.0, -1.2], [side * 8.3, 0.4, -1.6], [side * 7.9, -1.0, -0.2]]
        )
        path = np.concatenate([points[1, column][None], ear, points[-3, column][None]])
        parts.append(_cord(path, 0.13))
    return joined(parts)


def _taut(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Stretch cloth over the hollows of each row: the convex hull of radii (R, C), half way."""
    x, z = radius * np.sin(angle), radius * np.cos(angle)
    out = np.empty_like(radius)
    for r in range(len(radius)):
        hull: list[int] = []
        for k in range(radius.shape[1]):
            while len(hull) > 1 and _turns_inward(x[r], z[r], hull[-2], hull[-1], k):
                hull.pop()
            hull.append(k)
        hx, hz = x[r][hull], z[r][hull]
        a = np.searchsorted(hull, np.arange(radius.shape[1]), side="right") - 1
        a = np.minimum(a, len(hull) - 2)
        dx, dz = hx[a + 1] - hx[a], hz[a + 1] - hz[a]
        s, c = np.sin(angle[r]), np.cos(angle[r])
        out[r] = (hx[a] * dz - hz[a] * dx) / (s * dz - c * dx)
    return np.asarray(radius + 0.6 * np.maximum(out - radius, 0))


def _turns_inward(x: np.ndarray, z: np.ndarray, a: int, b: int, c: int) -> bool:
    """Whether b lies inside the chord from a to c, seen from the axis."""
    return bool((x[b] - x[a]) * (z[c] - z[a]) - (z[b] - z[a]) * (x[c] - x[a]) > 0)


def _cord(path: np.ndarray, radius: float) -> Mesh:
    """A cord along a smoothed path (K, 3)."""
    at = np.linspace(0, len(path) - 1, 26)
    fine = np.stack([np.interp(at, np.arange(len(path)), path[:, k]) for k in range(3)], axis=1)
    for _ in range(2):
        fine[1:-1] = 0.25 * fine[:-2] + 0.5 * fine[1:-1] + 0.25 * fine[2:]
    vertices, normals, triangles = tube(fine, radius, closed=False)
    return np.concatenate([vertices, normals], axis=1), triangles


def scarf(skin: np.ndarray, over_mouth: bool, seed: int) -> Mesh:
    """A scarf in two or three turns round the rest head's skin (N, 3), model space in cm, with one end hanging.

    Round the neck or, ``over_mouth``, up over chin and mouth; ``seed`` >= 0 lays the folds. Vertices (M, 6), position
    and unit normal, and triangles (F, 3).
    """
    rng = np.random.default_rng([3, seed])
    face = Face(skin, -0.5)
    turns = [((-14.9, -11.9, -11.0), 2.3, 2.0), ((-12.2, -10.0, -9.2), 1.5, 2.2)]
    if over_mouth:
        turns = [((-13.9, -11.4, -10.4), 2.4, 2.2), ((-9.2, -8.6, -8.2), 1.7, 3.1), ((-4.3, -5.6, -6.4), 0.85, 2.4)]
    parts = [_turn(face, heights, thick, tall, rng) for heights, thick, tall in turns]
    parts.append(_hanging(rng, turns[0][0][0]))
    return joined(parts)


def _turn(face: Face, heights: tuple[float, float, float], thick: float, tall: float, rng: np.random.Generator) -> Mesh:
    """One turn of cloth: a tube, flat against the skin inside, with lengthwise folds outside."""
    columns, rows = 72, 20
    angle = -np.pi + 2 * np.pi * np.arange(columns) / columns
    waves = 0.30 * np.sin(angle + rng.uniform(0, 6)) + 0.22 * np.sin(angle * 3 + rng.uniform(0, 6))
    height = round_the_neck(angle, *heights) + waves
    reach = face.reach(angle, height, 1.6, tall * 0.8)
    reach = np.maximum(reach, 5.0)
    wide = np.pad(reach, 8, mode="wrap")[None].astype(np.float32)
    spread = cv2.GaussianBlur(cv2.dilate(wide, np.ones((1, 5), np.uint8)), (0, 0), 2.4, borderType=cv2.BORDER_REPLICATE)
    middle = spread[0, 8:-8] + (1.0 if thick > 2 else 0.35) + 0.5 * thick  # the lowest lies over collars
    section = 2 * np.pi * np.arange(rows) / rows
    phase = rng.uniform(0, 6, 3)
    points = []
    for s in section:
        folds = (
            1.0
            + 0.10 * np.sin(4 * s + phase[0] + 0.9 * np.sin(angle + phase[1]))
            + 0.06 * np.sin(angle * 5 + 2 * s + phase[2])
        )
        sag = 0.13 * np.sin(angle * 4 + phase[1] * 2) + 0.07 * np.sin(angle * 9 + phase[0])
        out, up = np.cos(s) * 0.5 * thick * folds, np.sin(s) * tall * (0.75 + 0.25 * folds + sag)
        points.append(face.points(angle, height + up, middle + out))
    grid = np.stack([*points[::-1], points[-1]])
    triangles = grid_triangles(len(grid), columns, closed=True)
    return _with_normals(grid.reshape(-1, 3), triangles), triangles


def _hanging(rng: np.random.Generator, top: float) -> Mesh:
    """The end that hangs down the chest."""
    side = float(rng.choice([-1.0, 1.0]))
    rows, columns = 14, 20
    s = np.linspace(0, 1, rows)[:, None]
    turn = 2 * np.pi * np.arange(columns) / columns
    x = side * (2.6 + 1.6 * s) + (2.4 - 0.3 * s) * np.cos(turn)
    y = top + 1.6 - 17.0 * s + 0 * turn
    z = (
        8.2
        + 2.2 * np.sin(np.pi * np.minimum(s * 1.2, 1.0)) * 0.6
        + 0.7 * np.sin(turn)
        + 0.25 * np.sin(turn * 3 + 3 * s)
    )
    grid = np.stack([x, y, z], axis=-1)[:, ::-1]
    triangles = grid_triangles(rows, columns, closed=True)
    return _with_normals(grid.reshape(-1, 3), triangles), triangles
