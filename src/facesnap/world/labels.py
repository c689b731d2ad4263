"""The labels of a picture: exact, because they come from what drew it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from facesnap.core.types import Camera
from facesnap.landmarks.layout import five_points
from facesnap.world.captions import captions_of
from facesnap.world.characters import Conditions, Person
from facesnap.world.worn.occluders import HIDES

#: A landmark is hidden by the head itself when what is drawn there lies this much nearer to the camera, in cm.
HIDDEN_BEHIND = 0.35
#: Something worn is before it when it is drawn this much nearer than the head there, in cm.
WORN_BEFORE = 0.03


def seen_landmarks(
    posed: np.ndarray, camera: Camera, size: int, bare: np.ndarray, dressed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which posed landmarks (72, 3) are ``visible`` but for what is worn, and which ``occluded`` by that: (72,) bool.

    ``bare`` and ``dressed`` (R, R): z in cm towards the camera of the head as drawn alone, and of all that is drawn.
    A point is visible if it is in the picture and not all drawn pixels round it are nearer by
    :data:`HIDDEN_BEHIND`; occluded if visible, and all round it something worn is before the head.
    """
    side = len(bare)
    spot = camera.project(posed) * (side / size)
    inside = ((spot >= 0) & (spot < side)).all(axis=1)
    column, row = np.clip(np.floor(spot), 1, side - 2).astype(int).T
    around = [(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    visible = inside & (np.min([bare[at] for at in around], axis=0) <= posed[:, 2] + HIDDEN_BEHIND)
    covered = np.min([dressed[at] - bare[at] for at in around], axis=0) > WORN_BEFORE
    return np.asarray(visible), np.asarray(visible & covered)


def attributes_of(person: Person, c: Conditions) -> dict[str, Any]:
    """What a person would name in the picture, and what decides what can be named."""
    return {
        "skin": person.tone, "age": age_of(person), "eyes": person.eye_colour, "hair_style": c.hair_style,
        "hair_colour": "none" if c.hair_style == "bald" else c.hair_colour, "beard": c.beard, "glasses": c.glasses,
        "glasses_colour": c.glasses_colour if c.glasses != "none" else "none", "lipstick": c.lipstick,
        "eyeshadow": c.eyeshadow, "clothes": c.garment, "clothes_colour": c.garment_colour,
        "clothes_second_colour": c.second_colour, "occluder": c.occluder,
        "occluder_hides": "none" if c.occluder == "none" else HIDES[c.occluder][c.occluder_variant],
        "light": c.light, "background": c.background, "background_colour": c.background_colour, "style": c.style,
        "expression": c.mood, "head_turn": "left" if c.yaw > 12 else "right" if c.yaw < -12 else "ahead",
        "looks_at_camera": max(abs(c.yaw + c.gaze[0]), abs(c.pitch + c.gaze[1])) < 7, "close_up": c.picture_height < 30,
    }  # fmt: skip


def age_of(person: Person) -> str:
    """Age impression in a word."""
    return "young" if person.age < 0.4 else "middle-aged" if person.age < 0.72 else "old"


def labels_of(
    person: Person,
    c: Conditions,
    rotation: np.ndarray,
    landmarks: np.ndarray,
    drawn: tuple[np.ndarray, np.ndarray],
    size: int,
) -> dict[str, Any]:
    """JSON-ready labels.

    ``landmarks`` (72, 3) in the unposed head's space; ``drawn``: how near the head alone, and all, is drawn
    (see :func:`seen_landmarks`).
    """
    camera = c.camera(size)
    posed = landmarks @ rotation.T
    points = camera.project(posed)
    attributes = attributes_of(person, c)
    visible, occluded = seen_landmarks(posed, camera, size, *drawn)
    return {
        "person_id": person.person_id, "index": c.index, "seed": person.seed, "preset": c.preset, "size": size,
        "style": c.style, "identity": _rounded(person.shape, 5),
        "pose": {"yaw": c.yaw, "pitch": c.pitch, "roll": c.roll}, "camera": asdict(camera),
        "expression": _rounded(c.expression, 5), "gaze": list(c.gaze), "landmarks2d": _rounded(points, 3),
        "landmarks3d": _rounded(landmarks, 4), "visible": visible.tolist(),
        "occluded": occluded.tolist(), "points5": _rounded(five_points(points), 3),
        "box": _rounded(np.concatenate([points.min(axis=0), points.max(axis=0)]), 3),
        "attributes": attributes, "captions": captions_of(attributes, (person.seed, person.person_id, c.index)),
        "person": _parameters(person), "conditions": _parameters(c),
    }  # fmt: skip


def _parameters(drawn: Person | Conditions) -> dict[str, Any]:
    """All that was sampled, arrays as lists; what has a label of its own is left out."""
    own = {"person_id", "seed", "shape", "index", "preset", "style", "expression", "yaw", "pitch", "roll", "gaze"}
    values = {name: value for name, value in asdict(drawn).items() if name not in own}
    return {name: _rounded(v, 4) if isinstance(v, np.ndarray) else v for name, v in values.items()}


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    return list(np.round(values.astype(np.float64), digits).tolist())
