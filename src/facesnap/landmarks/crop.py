"""The way between a picture and a face crop, for boxes, heads and cameras; exact, both ways.

A crop is a similarity of the picture: ``crop = matrix[:, :2] @ picture + matrix[:, 2]``. Because a camera's
principal point sits on the head's origin, turning the picture is the same as rolling the head.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from facesnap.core.images import crop_matrix
from facesnap.core.types import Camera, rotation_matrix

#: A crop's side as a multiple of the longer side of the landmarks' box.
MARGIN: Final = 1.3


def landmark_box(points: np.ndarray) -> np.ndarray:
    """Box (4,) x0, y0, x1, y1 around points (N, 2)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def turned(matrix: np.ndarray, degrees: float, centre: np.ndarray) -> np.ndarray:
    """``matrix`` followed by a turn by ``degrees`` (clockwise in the picture) about ``centre`` (crop pixels)."""
    turn = _turn(degrees)
    return np.column_stack([turn @ matrix[:, :2], turn @ (matrix[:, 2] - centre) + centre])


def face_crop(points: np.ndarray, roll: float, size: int, margin: float = MARGIN) -> np.ndarray:
    """Matrix (2, 3) of the upright square crop around landmarks (N, 2) of a head with this ``roll`` in degrees."""
    upright = points @ _turn(-roll).T
    matrix = crop_matrix(landmark_box(upright), size, margin)
    return np.column_stack([matrix[:, :2] @ _turn(-roll), matrix[:, 2]])


def inverted(matrix: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) that leads back."""
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) through a similarity (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def transform_head(matrix: np.ndarray, rotation: np.ndarray, camera: Camera) -> tuple[np.ndarray, Camera]:
    """Head rotation (3, 3) and camera as they are after a similarity (2, 3; no mirroring) of the picture.

    Projecting with the result is the same as projecting first and moving the pixels then.
    """
    zoom = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    degrees = float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))  # clockwise, as y points down
    cx, cy = apply(matrix, np.array([[camera.cx, camera.cy]]))[0]
    moved = Camera(camera.scale * zoom, float(cx), float(cy), camera.inverse_distance)
    return rotation_matrix(0, 0, degrees) @ rotation, moved


def _turn(degrees: float) -> np.ndarray:
    """(2, 2) turn, clockwise in a picture whose y points down."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])
