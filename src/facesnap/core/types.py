"""The values that travel between the rooms: Face, Camera, Pose. (Identity has its own file.)

Conventions, said once: "left" and "right" are the subject's. Angles are degrees here, at the surface.
``yaw > 0`` brings the subject's **left** cheek towards the camera (the nose moves to the picture's
left), ``pitch > 0`` looks up, ``roll > 0`` tips the head towards the subject's left shoulder
(clockwise in the picture). Pictures have their origin at the top left of the first pixel, x right, y down.
The head's own space is in centimetres, x to the subject's left, y up, z out of the face, with the
origin at the centroid of the mean head's landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from facesnap.core.arkit import EXPRESSIONS, INDEX, NUM_EXPRESSIONS, PRESETS
from facesnap.core.errors import UsageError

#: Largest angles a pose may ask for, in degrees.
MAX_ANGLE = {"yaw": 60.0, "pitch": 45.0, "roll": 60.0}


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


@dataclass(frozen=True)
class Pose:
    """Where a head looks and what its face does.

    ``yaw``, ``pitch``, ``roll``: degrees (signs: see this module). ``expression``: ARKit-named weights in
    [0, 1]; presets such as ``smile`` may be named too, scaled by their amount. ``camera``: framing, for
    example a driving photograph's, relative to the picture's size (see :meth:`Camera.relative`), or None for the
    default composition.

    Raises:
        UsageError: an unknown expression name, or a value out of its range (both named).
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    expression: Mapping[str, float] = field(default_factory=dict)
    camera: Camera | None = None

    def __post_init__(self) -> None:
        for name, limit in MAX_ANGLE.items():
            value = getattr(self, name)
            if not np.isfinite(value) or abs(value) > limit:
                raise UsageError(f"{name}={value:g} is out of range: use -{limit:g} to {limit:g} degrees")
        object.__setattr__(self, "expression", MappingProxyType(_expand(self.expression)))

    def __reduce__(self) -> tuple[object, ...]:
        return (Pose, (self.yaw, self.pitch, self.roll, dict(self.expression), self.camera))

    def rotation(self) -> np.ndarray:
        """Head rotation (3, 3)."""
        return rotation_matrix(self.yaw, self.pitch, self.roll)

    def weights(self) -> np.ndarray:
        """Expression weights (53,) in the order of :data:`facesnap.core.arkit.EXPRESSIONS`."""
        vector = np.zeros(NUM_EXPRESSIONS, dtype=np.float32)
        for name, value in self.expression.items():
            vector[INDEX[name]] = value
        return vector

    def framed(self, camera: Camera | None) -> Pose:
        """The same pose under another camera."""
        return replace(self, camera=camera)

    @staticmethod
    def from_image(photo: object, keep_framing: bool = False) -> Pose:
        """Read pose and expression from a driving photograph (a path, PIL image or (H, W, 3) array).

        Args:
            photo: whose largest face is read.
            keep_framing: take the face's size and place in the photograph too. Without it, the portrait has the
                default composition, which is what the embedded model draws best.

        Raises:
            ImageError, NoFaceError, FaceTooSmallError: the photo can't be used.
            AdapterError: the embedded weights are missing.
        """
        from facesnap.pipelines.conditions import pose_from_image  # core stays below: only this one call

        return pose_from_image(photo, keep_framing)


def _expand(expression: Mapping[str, float]) -> dict[str, float]:
    """Replace presets by their weights, check names and ranges, and drop zeros."""
    weights: dict[str, float] = {}
    for name, amount in expression.items():
        if name not in INDEX and name not in PRESETS:
            raise UsageError(
                f"unknown expression {name!r}: use one of {', '.join(PRESETS)}, or an ARKit name such as jawOpen"
                f" (all {len(EXPRESSIONS)} are in facesnap.core.arkit)"
            )
        if not np.isfinite(amount) or not 0.0 <= amount <= 1.0:
            raise UsageError(f"expression {name}={amount:g} is out of range: use 0 to 1")
        for part, weight in PRESETS.get(name, {name: 1.0}).items():
            weights[part] = min(1.0, weights.get(part, 0.0) + float(amount) * weight)
    return {name: value for name, value in weights.items() if value > 0.0}
