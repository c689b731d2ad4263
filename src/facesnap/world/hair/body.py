"""What hair lies on and must not enter: signed distances of the rest head, neck and torso on a coarse grid."""

from __future__ import annotations

import numpy as np

from facesnap.world.clothes.torso import torso_of
from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel

#: Lowest and highest corner of the grid in model space and its spacing, cm. On a skull of 8 cm radius, linear
#: interpolation over 1 cm errs by 0.02 cm.
LOW, HIGH, SPACING = np.array([-18.0, -26.0, -18.0]), np.array([18.0, 24.0, 18.0]), 1.0
SAMPLES = 5200


class Body:
    """Signed distance to the rest head and torso, mirrored halves alike.

    Args:
        head: the head model.
    """

    def __init__(self, head: HeadModel) -> None:
        surface, normals = _surface(head)
        half = surface[:, 0] > -1.5
        counts = ((HIGH - LOW) / SPACING).astype(int) + 1
        axes = [low + SPACING * np.arange(count) for low, count in zip(LOW, counts, strict=True)]
        middle = counts[0] // 2
        cells = np.stack(np.meshgrid(axes[0][middle:], axes[1], axes[2], indexing="ij"), axis=-1)
        right = _distances(cells.reshape(-1, 3), surface[half], normals[half]).reshape(cells.shape[:3])
        distance = np.concatenate([right[:0:-1], right])
        gradient = np.stack(np.gradient(distance, SPACING), axis=-1)
        self._field = np.concatenate([distance[..., None], gradient], axis=-1).astype(np.float32)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance (N,), negative inside, and unit outward normal (N, 3) at model-space points (N, 3)."""
        top = np.array(self._field.shape[:3]) - 1.001
        spot = np.clip((points - LOW) / SPACING, 0, top)
        cell = spot.astype(int)
        x, y, z = (spot - cell).astype(np.float32).T[:, :, None]
        i, j, k = cell.T
        f = self._field
        low = (f[i, j, k] * (1 - z) + f[i, j, k + 1] * z) * (1 - y)
        low += (f[i, j + 1, k] * (1 - z) + f[i, j + 1, k + 1] * z) * y
        high = (f[i + 1, j, k] * (1 - z) + f[i + 1, j, k + 1] * z) * (1 - y)
        high += (f[i + 1, j + 1, k] * (1 - z) + f[i + 1, j + 1, k + 1] * z) * y
        value = low * (1 - x) + high * x
        normal = value[:, 1:] / np.maximum(np.linalg.norm(value[:, 1:], axis=1, keepdims=True), 1e-6)
        return value[:, 0], normal

    def between(self, points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Points (N, 3) moved along the normal to where their distance lies in ``low`` .. ``high`` (N,)."""
        distance, normal = self.at(points)
        return np.asarray(points + (np.clip(distance, low, high) - distance)[:, None] * normal)


def _surface(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3) spread over head and torso in model space, and unit normals."""
    torso = torso_of(head)
    rest = np.concatenate([head.mean, torso.vertices(head.mean)]) + HEAD_ORIGIN
    triangles = np.concatenate([head.triangles[head.part_triangles["skin"]], torso.triangles])
    corners = rest[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    share = np.where(corners[:, :, 1].mean(axis=1) < -16.0, 0.15, 1.0) * area  # the torso is smooth: fewer points
    reach = np.cumsum(share) / share.sum()
    chosen = np.searchsorted(reach, (np.arange(SAMPLES) + 0.5) / SAMPLES)
    bary = np.random.default_rng(2).dirichlet((2.0, 2.0, 2.0), SAMPLES)
    points = (corners[chosen] * bary[:, :, None]).sum(axis=1)
    return points.astype(np.float32), (normal[chosen] / area[chosen, None]).astype(np.float32)


def _distances(cells: np.ndarray, surface: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Signed distance (C,) of cells (C, 3): to the nearest sample's plane when close, else to the sample."""
    found = np.empty(len(cells), np.float32)
    size = (surface**2).sum(axis=1) / 2
    for start in range(0, len(cells), 4096):
        block = cells[start : start + 4096].astype(np.float32)
        nearest = np.argmax(block @ surface.T - size, axis=1)
        offset = block - surface[nearest]
        plane = (offset * normals[nearest]).sum(axis=1)
        far = np.linalg.norm(offset, axis=1)
        found[start : start + 4096] = np.where(far < 2.0, plane, np.copysign(far, plane))
    return found
