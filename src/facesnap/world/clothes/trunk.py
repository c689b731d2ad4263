"""The rest trunk: the head model's neck continued by lofted shoulders, chest and arms."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel

#: z of the upright axis through the neck that columns are arranged about (model space, x = 0).
AXIS_Z = -2.0
COLUMNS = 96
SKIN_ROWS = 20
#: Rows of the loft between two control rings.
LOFT_ROWS = (5, 5, 4, 3, 3)
ANCHORS = 8


@dataclass(frozen=True)
class Ring:
    """A control ring of the trunk: half width; depth in front, behind; height at front, sides, back; arm crease."""

    width: float
    front: float
    back: float
    heights: tuple[float, float, float]
    crease: float = 0.0


#: Acromion, deltoid, armpit, upper arm, elbow: a relaxed adult of the mean head's scale, cm.
RINGS = (
    Ring(16.6, 8.4, 8.4, (-22.0, -16.9, -18.0)),
    Ring(19.7, 9.2, 9.2, (-25.5, -20.2, -22.0), 0.3),
    Ring(21.0, 9.8, 9.6, (-29.5, -25.0, -27.5), 1.3),
    Ring(21.6, 10.0, 9.6, (-36.0, -32.5, -35.0), 2.2),
    Ring(22.6, 9.6, 9.2, (-48.0, -47.0, -47.0), 2.4),
)


def azimuth(points: np.ndarray) -> np.ndarray:
    """Angle (N,) about the neck's axis, radians, 0 at the front, positive to the subject's left."""
    return np.asarray(np.arctan2(points[:, 0], points[:, 2] - AXIS_Z))


def round_the_neck(angle: np.ndarray, front: float, side: float, back: float) -> np.ndarray:
    """A value that runs smoothly from front over the sides to the back, at angles in radians."""
    turn = np.abs(np.angle(np.exp(1j * angle))) / (np.pi / 2)
    first, second = np.clip(turn, 0, 1), np.clip(turn - 1, 0, 1)
    ease_first, ease_second = first * first * (3 - 2 * first), second * second * (3 - 2 * second)
    return np.asarray(front + (side - front) * ease_first + (back - side) * ease_second)


class Neck:
    """The rest head's skin from the throat to the model's lower edge, as a radius over (angle, height)."""

    def __init__(self, head: HeadModel) -> None:
        skin = head.part_vertices["skin"]
        points = head.mean[skin] + HEAD_ORIGIN
        radius = np.hypot(points[:, 0], points[:, 2] - AXIS_Z)
        chosen = (points[:, 1] < -4.0) & ((radius < 7.9) | (points[:, 1] < -13.0))
        self.vertices = skin[chosen]
        self.points = points[chosen]
        self.angle, self.radius = azimuth(self.points), radius[chosen]

    def surface(self, angle: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Smoothed skin points (N, 3) at angles and heights (N,)."""
        across = np.angle(np.exp(1j * (angle[:, None] - self.angle))) * np.minimum(self.radius, 9.0)
        distance = across**2 + (height[:, None] - self.points[:, 1]) ** 2
        nearest = np.argpartition(distance, ANCHORS, axis=1)[:, :ANCHORS]
        weight = np.exp(-np.take_along_axis(distance, nearest, 1) / (2 * 0.7**2)) + 1e-9
        radius = (weight * self.radius[nearest]).sum(axis=1) / weight.sum(axis=1)
        return np.stack([radius * np.sin(angle), height, AXIS_Z + radius * np.cos(angle)], axis=1)


def trunk(neck: Neck, edge: np.ndarray) -> np.ndarray:
    """Trunk of the rest head (rows, COLUMNS, 3): the neck's skin, then shoulders and arms; ``edge`` (E, 3)."""
    t = -np.pi + 2 * np.pi * np.arange(COLUMNS) / COLUMNS
    order = np.argsort(azimuth(edge))
    lowest = np.interp(t, azimuth(edge)[order], edge[order, 1], period=2 * np.pi)
    lowest = sum(np.roll(lowest, k) for k in range(-3, 4)) / 7 + 0.5
    top = round_the_neck(t, -10.0, -6.6, -5.2)
    rows = []
    for share in np.linspace(0, 1, SKIN_ROWS):
        stretch = 1.0 + 0.45 * share**2
        angle = np.arctan2(stretch * np.sin(t), np.cos(t))
        rows.append(neck.surface(angle, top + (lowest - top) * share))
    control = np.stack([rows[-3], rows[-1], *(_ring(ring, t) for ring in RINGS)])
    return _over_the_skin(np.concatenate([np.stack(rows), _loft(control)]), neck)


def _over_the_skin(grid: np.ndarray, neck: Neck) -> np.ndarray:
    """Push the trunk (R, C, 3) outwards until all skin lies 1.5 mm under it, smoothly."""
    skin = neck.points[neck.points[:, 1] < -9.0]
    for _ in range(3):
        flat, normals = grid.reshape(-1, 3), grid_normals(grid)
        nearest = np.argmin(((skin[:, None] - flat) ** 2).sum(axis=2), axis=1)
        out = ((skin - flat[nearest]) * normals.reshape(-1, 3)[nearest]).sum(axis=1) + 0.15
        push = np.zeros(len(flat), np.float32)
        np.maximum.at(push, nearest, np.maximum(out, 0).astype(np.float32))
        wide = np.pad(push.reshape(grid.shape[:2]), ((0, 0), (8, 8)), mode="wrap")
        spread = cv2.GaussianBlur(cv2.dilate(wide, np.ones((3, 5), np.uint8)), (0, 0), 1.0)
        grid = grid + normals * spread[:, 8:-8, None]
    return grid


def _ring(ring: Ring, t: np.ndarray) -> np.ndarray:
    s, c = np.sin(t), np.cos(t)
    across, along = np.sign(s) * np.abs(s) ** 0.86, np.sign(c) * np.abs(c) ** 0.86
    pinch = ring.crease * np.exp(-(((np.abs(across) * ring.width - 0.74 * ring.width) / 1.7) ** 2))
    depth = np.where(c > 0, ring.front, ring.back) - pinch
    front, side, back = ring.heights
    height = np.where(c > 0, front, back) + (side - np.where(c > 0, front, back)) * np.abs(across) ** 3
    return np.stack([across * ring.width, height, AXIS_Z + along * depth], axis=1)


def _loft(control: np.ndarray) -> np.ndarray:
    """Cubic rows (sum of LOFT_ROWS, C, 3) through control rings (K, C, 3); the first only gives a tangent."""
    step = np.maximum(np.linalg.norm(np.diff(control, axis=0), axis=2), 1e-3)[..., None]
    slope = np.diff(control, axis=0) / step
    tangent = np.concatenate(
        [slope[:1], (slope[1:] * step[:-1] + slope[:-1] * step[1:]) / (step[1:] + step[:-1]), slope[-1:]]
    )
    rows = []
    for k, count in enumerate(LOFT_ROWS, start=1):
        for u in np.arange(1, count + 1) / count:
            h00, h10, h01, h11 = 2 * u**3 - 3 * u**2 + 1, u**3 - 2 * u**2 + u, 3 * u**2 - 2 * u**3, u**3 - u**2
            rows.append(
                h00 * control[k] + h10 * step[k] * tangent[k] + h01 * control[k + 1] + h11 * step[k] * tangent[k + 1]
            )
    return np.stack(rows)


def grid_triangles(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles (F, 3) of a grid of vertices, row by row; outward when columns run to the subject's left."""
    last = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    lower, lower_next = a + columns, b + columns
    return np.concatenate(
        [np.stack([a, lower, b], -1).reshape(-1, 3), np.stack([b, lower, lower_next], -1).reshape(-1, 3)]
    )


def grid_normals(points: np.ndarray) -> np.ndarray:
    """Unit normals (R, C, 3) of a grid (R, C, 3) whose columns close, as grid_triangles turns them."""
    along = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    down = np.gradient(points, axis=0)
    normal = np.cross(down, along)
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9))
