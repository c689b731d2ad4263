"""The values that travel between the rooms: Face, Camera, rotations. (Pose and Identity have their own files.)

Conventions, said once: "left" and "right" are the subject's. Angles are degrees here, at the surface.
``yaw > 0`` brings the subject's **left** cheek towards the camera (the nose moves to the picture's
left), ``pitch > 0`` looks up, ``roll > 0`` tips the head towards the subject's left shoulder
(clockwise in the picture). Pictures have their origin at the top left of the first pixel, x right, y down.
The head's own space is in centimetres, x to the subject's left, y up, z out of the face, with the
origin at the centroid of the mean head's landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Face:
    """One detected face. ``box``: (4,) x0, y0, x1, y1; ``points5``: (5, 2); pixels. ``score`` in [0, 1]."""

    box: np.ndarray
    points5: np.ndarray
    score: float

    @property
    def size(self) -> float:
        """The longer side of the box, in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera whose principal point sits on the head's origin.

    ``u = cx + scale * X / (1 - Z * inverse_distance)``, ``v = cy - scale * Y / (1 - Z * inverse_distance)``
    with X, Y, Z in the posed head's space. ``scale``: pixels per centimetre at the head's origin;
    ``cx, cy``: pixels; ``inverse_distance``: 1/cm (0 is orthographic).
    """

    scale: float
    cx: float
    cy: float
    inverse_distance: float = 0.0

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project posed points (..., 3) in cm to pixels (..., 2)."""
        depth = 1.0 - points[..., 2:3] * self.inverse_distance
        flip = np.array([self.scale, -self.scale])
        return np.asarray(np.array([self.cx, self.cy]) + points[..., :2] * flip / depth)

    def relative(self, size: tuple[int, int]) -> Camera:
        """The same camera, given in pixels of a picture of ``size`` (width, height), as a Pose carries it.

        ``scale`` in picture **heights** per cm, ``cx`` in picture widths, ``cy`` in picture heights: so a face keeps
        its relative size and place in a picture of another size or format. Not for :meth:`project`.
        """
        width, height = size
        return Camera(self.scale / height, self.cx / width, self.cy / height, self.inverse_distance)

    def absolute(self, size: tuple[int, int]) -> Camera:
        """Inverse of :meth:`relative`: a Pose's camera in pixels of a picture of ``size`` (width, height)."""
        width, height = size
        return Camera(self.scale * height, self.cx * width, self.cy * height, self.inverse_distance)


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Head rotation (3, 3) for angles in degrees: ``Rz(-roll) @ Rx(-pitch) @ Ry(-yaw)``; columns act on x."""
    y, p, r = np.radians([-yaw, -pitch, -roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def euler_angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Inverse of :func:`rotation_matrix`: (yaw, pitch, roll) in degrees, pitch in [-90, 90]."""
    pitch = -np.arcsin(np.clip(rotation[2, 1], -1.0, 1.0))
    yaw = -np.arctan2(-rotation[2, 0], rotation[2, 2])
    roll = -np.arctan2(-rotation[0, 1], rotation[1, 1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
