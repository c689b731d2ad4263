"""The labels of a picture: exact, because they come from what drew it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from facesnap.landmarks.layout import GROUPS, five_points
from facesnap.world.captions import captions_of
from facesnap.world.characters import Conditions, Person

#: Classes of the segmentation, by value.
CLASSES = ("background", "skin", "hair", "clothes", "glasses", "occluder")


def visible_landmarks(posed: np.ndarray, normals: np.ndarray, inverse_distance: float) -> np.ndarray:
    """Which landmarks (72,) face the camera; posed points and normals (72, 3). Lips count as seen sideways."""
    view = np.array([0.0, 0.0, 1.0]) - posed * inverse_distance
    facing = (normals * view).sum(axis=1) / np.linalg.norm(view, axis=1)
    limit = np.full(len(posed), -0.15)
    limit[GROUPS["mouth"]] = limit[GROUPS["eye_l"]] = limit[GROUPS["eye_r"]] = -0.6
    return np.asarray(facing > limit)


def attributes_of(person: Person, c: Conditions) -> dict[str, Any]:
    """What a person would name in the picture."""
    return {
        "skin": person.tone, "eyes": person.eye_colour, "hair_style": c.hair_style,
        "hair_colour": "none" if c.hair_style == "bald" else c.hair_colour, "beard": c.beard, "glasses": c.glasses,
        "glasses_colour": c.glasses_colour if c.glasses != "none" else "none", "lipstick": c.lipstick,
        "clothes": c.garment, "clothes_colour": c.garment_colour, "light": c.light, "background": c.background,
        "background_colour": c.background_colour, "expression": c.mood,
        "head_turn": "left" if c.yaw > 12 else "right" if c.yaw < -12 else "ahead",
    }  # fmt: skip


def labels_of(
    person: Person, c: Conditions, rotation: np.ndarray, landmarks: np.ndarray, normals: np.ndarray, size: int
) -> dict[str, Any]:
    """JSON-ready labels; ``landmarks`` (72, 3) and ``normals`` (72, 3) in the unposed head's space."""
    camera = c.camera(size)
    posed = landmarks @ rotation.T
    points = camera.project(posed)
    attributes = attributes_of(person, c)
    return {
        "person_id": person.person_id, "index": c.index, "seed": person.seed, "preset": c.preset, "size": size,
        "style": "photo", "identity": _rounded(person.shape, 5),
        "pose": {"yaw": c.yaw, "pitch": c.pitch, "roll": c.roll},
        "camera": asdict(camera),
        "expression": _rounded(c.expression, 5), "gaze": list(c.gaze), "landmarks2d": _rounded(points, 3),
        "landmarks3d": _rounded(landmarks, 4),
        "visible": visible_landmarks(posed, normals @ rotation.T, camera.inverse_distance).tolist(),
        "occluded": [False] * 72, "person": _plain(person), "conditions": _plain(c),
        "points5": _rounded(five_points(points), 3),
        "box": _rounded(np.concatenate([points.min(axis=0), points.max(axis=0)]), 3),
        "attributes": attributes, "captions": captions_of(attributes, (person.seed, person.person_id, c.index)),
    }  # fmt: skip


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    return list(np.round(values.astype(np.float64), digits).tolist())


def _plain(values: Any) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(values).items()}
