"""Gaze: the head model moves lids only, so the eyeballs are turned by the renderer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facesnap.core.types import rotation_matrix
from facesnap.world.facekit.head import HeadModel

EYE_RADIUS = 1.53
#: Eyeballs are drawn a little smaller than modelled: closed lids must cover them.
SHRINK = 0.97
EYE_PARTS = ("eye_l", "eye_r")


class Eye(NamedTuple):
    """A turned eyeball, in head space."""

    centre: np.ndarray  #: (3,) cm
    inverse: np.ndarray  #: (3, 3) brings the turned iris's axis back to +z


def turn_eyes(head: HeadModel, neutral: np.ndarray, gaze: tuple[float, float]) -> tuple[np.ndarray, dict[str, Eye]]:
    """Turn the eyeballs of a neutral mesh (V, 3) to ``gaze`` = (yaw, pitch) degrees in the head's space.

    Signs as in core.types. Returns the mesh and the eyes by part name; the rest poses' slight divergence is undone.
    """
    turned, eyes = neutral.copy(), {}
    rotation = rotation_matrix(gaze[0], gaze[1], 0.0)
    for part in EYE_PARTS:
        index = head.part_vertices[part]
        ball = neutral[index]
        centre = (ball.max(axis=0) + ball.min(axis=0)) / 2
        centre[2] = ball[:, 2].min() + EYE_RADIUS
        ahead = ball[np.argmax(((ball - centre) ** 2).sum(axis=1))] - centre  # the cornea bulges out
        yaw = np.degrees(np.arctan2(-ahead[0], ahead[2]))
        pitch = np.degrees(np.arcsin(np.clip(ahead[1] / np.linalg.norm(ahead), -1, 1)))
        turn = rotation @ rotation_matrix(yaw, pitch, 0.0).T
        turned[index] = SHRINK * (ball - centre) @ turn.T.astype(np.float32) + centre
        eyes[part] = Eye(centre, rotation.T)
    return turned, eyes
