"""What is wrong with one picture's labels: keys, shapes, and geometry that has to agree with itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from facesnap.core.errors import FaceSnapError
from facesnap.core.types import Camera, rotation_matrix
from facesnap.core.weights import mini_folder
from facesnap.landmarks.layout import five_points
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks, morphable_of_head
from facesnap.world.facekit.head import find_head_file

INTEGERS = ("person_id", "index", "seed", "size")
TEXTS = ("preset", "style", "split")
#: Arrays of numbers and their shapes.
SHAPES: dict[str, tuple[int, ...]] = {
    "identity": (100,), "expression": (53,), "gaze": (2,), "landmarks2d": (72, 2), "landmarks3d": (72, 3),
    "points5": (5, 2), "box": (4,),
}  # fmt: skip
#: Arrays of yes and no.
FLAGS = {"visible": (72,), "occluded": (72,)}
#: Named numbers.
NAMED = {"pose": ("yaw", "pitch", "roll"), "camera": ("scale", "cx", "cy", "inverse_distance")}
#: Named values of any kind, at least one.
FREE = ("attributes", "person", "conditions")
CAPTIONS = 3
#: Largest differences from rounding: of projected points in pixels, of landmarks in cm.
PIXELS, EXACT_CM = 0.05, 0.01
#: The packaged model keeps 32 of 100 components; over 1,500 people it is up to 0.21 cm off.
PACKAGED_CM = 0.3


@dataclass(frozen=True)
class LandmarkReference:
    """What landmarks are recomputed with: a linear model, how far it may be off in cm, and its name in words."""

    model: MorphableLandmarks
    tolerance: float
    name: str


def landmark_reference() -> LandmarkReference | None:
    """The head model's 72 points where the head model is at hand, else the packaged ones; None without either."""
    try:
        return LandmarkReference(morphable_of_head(find_head_file(), 100), EXACT_CM, "the head model")
    except (FaceSnapError, OSError, KeyError, ValueError):
        pass
    try:
        model = MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)
    except FaceSnapError:
        return None
    return LandmarkReference(model, PACKAGED_CM, "the packaged landmark model")


def parse_labels(content: bytes) -> dict[str, Any]:
    """Labels of a ``.json`` member.

    Raises:
        ValueError: it is no JSON object, or holds NaN or an infinite number somewhere.
    """
    labels = json.loads(content, parse_constant=_refuse)
    if not isinstance(labels, dict):
        raise ValueError("it is no JSON object")
    return labels


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}")


def problems_of(labels: dict[str, Any], reference: LandmarkReference | None) -> list[str]:
    """What is wrong with labels, one phrase each; geometry is looked at once keys and shapes are right."""
    return list(_problems_of_form(labels)) or list(_problems_of_geometry(labels, reference))


def _problems_of_form(labels: dict[str, Any]) -> Iterator[str]:
    known = (*INTEGERS, *TEXTS, *SHAPES, *FLAGS, *NAMED, *FREE, "captions")
    yield from (f"has no {name}" for name in known if name not in labels)
    held = {name: labels[name] for name in known if name in labels}
    for name, value in held.items():
        if name in INTEGERS and type(value) is not int:
            yield f"{name} is no whole number"
        elif name in TEXTS and not (isinstance(value, str) and value):
            yield f"{name} is no text"
        elif name in FREE and not (isinstance(value, dict) and value):
            yield f"{name} is no object with something in it"
        elif name in SHAPES or name in FLAGS:
            yield from _problems_of_array(name, value)
        elif name in NAMED:
            yield from _problems_of_named(name, value)
    captions = held.get("captions", [""] * CAPTIONS)
    if not isinstance(captions, list) or len(captions) != CAPTIONS:
        yield f"captions are not {CAPTIONS}"
    elif "captions" in held and not all(isinstance(text, str) and text.strip() for text in captions):
        yield "a caption is empty"


def _problems_of_array(name: str, value: Any) -> Iterator[str]:
    shape, kinds = (FLAGS[name], "b") if name in FLAGS else (SHAPES[name], "if")
    try:
        array = np.array(value)
    except ValueError:  # rows of several lengths
        yield f"{name} is no array of shape {shape}"
        return
    if array.shape != shape:
        yield f"{name} has shape {array.shape}, not {shape}"
    elif array.dtype.kind not in kinds:
        yield f"{name} holds something else than {'true and false' if kinds == 'b' else 'numbers'}"
    elif name == "expression" and (array.min() < 0 or array.max() > 1):
        yield "expression has weights outside of 0 to 1"


def _problems_of_named(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{name} is no object"
        return
    for part in NAMED[name]:
        if not isinstance(value.get(part), int | float) or isinstance(value[part], bool):
            yield f"{name} has no number {part}"


def _problems_of_geometry(labels: dict[str, Any], reference: LandmarkReference | None) -> Iterator[str]:
    points, points3d = np.array(labels["landmarks2d"]), np.array(labels["landmarks3d"])
    if reference is not None:
        shape = reference.model.shape_from_full(np.array(labels["identity"]))
        expected = reference.model.landmarks3d(shape, np.array(labels["expression"]))
        if (off := float(np.abs(expected - points3d).max())) > reference.tolerance:
            yield f"landmarks3d are {off:.2f} cm off identity and expression (by {reference.name})"
    pose, camera = ({part: labels[name][part] for part in NAMED[name]} for name in ("pose", "camera"))
    projected = Camera(**camera).project(points3d @ rotation_matrix(**pose).T)
    if (off := float(np.abs(projected - points).max())) > PIXELS:
        yield f"landmarks2d are {off:.2f} pixels off landmarks3d under pose and camera"
    if (off := float(np.abs(five_points(points) - labels["points5"]).max())) > PIXELS:
        yield f"points5 are {off:.2f} pixels off landmarks2d"
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    if (off := float(np.abs(box - labels["box"]).max())) > PIXELS:
        yield f"box is {off:.2f} pixels off landmarks2d"
