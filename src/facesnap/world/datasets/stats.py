"""Balance of a data set, measured: how often each attribute, pose, expression ... occurs, and what hangs together.

It knows no attribute by name, except the skin tone, which nothing else should follow from: whatever the labels hold
is counted. The labels come from rendered shards, or, where nothing is rendered, from the sampler.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from facesnap.core.arkit import EXPRESSIONS
from facesnap.core.types import rotation_matrix
from facesnap.landmarks.layout import NUM_LANDMARKS, inter_ocular
from facesnap.world.datasets.association import chance_v, counts_of, cramers_v, evenness
from facesnap.world.datasets.reading import iterate_labels
from facesnap.world.datasets.splits import split_folders

#: The attribute that others are crossed with.
CROSSED = "skin"
#: Top-level labels that are counted like attributes, unless an attribute is called so too.
COUNTED = ("style", "preset", "split")
ABSENT = "(not said)"
#: An expression counts as active from this weight on.
ACTIVE = 0.1
BINS = 24
#: Height of the sensor that focal lengths are given for, mm.
SENSOR = 24.0


class Statistics:
    """Counts pictures one by one; of each, some dozen numbers are kept."""

    def __init__(self) -> None:
        self.people: dict[int, int] = {}
        self._person: list[int] = []
        self._choices: dict[str, list[int]] = {}
        self._codes: dict[str, dict[str, int]] = {}
        self._numbers: dict[str, list[float]] = {}
        self._of_people: dict[str, list[float]] = {}
        self._weights = np.zeros((3, len(EXPRESSIONS)))  #: sums of weights, of active ones, and their number
        self._identity: list[np.ndarray] = []
        self._hidden: dict[str, np.ndarray] = {}

    def add(self, labels: dict[str, Any]) -> None:
        """Count one picture by its labels (all keys but person_id may be missing)."""
        person = int(labels["person_id"])
        if person not in self.people:
            self.people[person] = len(self.people)
            self._add_person(labels)
        attributes = dict(labels.get("attributes", {}))
        attributes |= {name: labels[name] for name in COUNTED if name in labels and name not in attributes}
        for name, value in attributes.items():
            if isinstance(value, float):
                self._numbers.setdefault(name, []).append(value)
            else:
                self._choose(name, _in_words(value))
        self._person.append(self.people[person])
        for name, value in _numbers_of(labels):
            self._numbers.setdefault(name, []).append(value)
        if "expression" in labels:
            weights = np.asarray(labels["expression"], np.float64)
            self._weights += np.stack([weights, weights * (weights > ACTIVE), weights > ACTIVE])
        for name, flags in (("hidden", np.logical_not(labels.get("visible", []))),
                            ("occluded", np.array(labels.get("occluded", [])))):  # fmt: skip
            if len(flags):
                self._hidden[name] = self._hidden.get(name, np.zeros(NUM_LANDMARKS)) + flags

    def _add_person(self, labels: dict[str, Any]) -> None:
        if "identity" in labels:
            self._identity.append(np.asarray(labels["identity"], np.float32))
        for name, value in labels.get("person", {}).items():
            if isinstance(value, float):
                self._of_people.setdefault(name, []).append(value)

    def _choose(self, name: str, value: str) -> None:
        codes = self._codes.setdefault(name, {ABSENT: 0})
        chosen = self._choices.setdefault(name, [])
        chosen.extend([0] * (len(self._person) - len(chosen)))  # pictures so far that didn't say
        chosen.append(codes.setdefault(value, len(codes)))

    def summary(self) -> dict[str, Any]:
        """Everything measured, JSON-ready; shares are fractions of pictures."""
        pictures = len(self._person)
        choices = {name: np.array(codes + [0] * (pictures - len(codes))) for name, codes in self._choices.items()}
        names = {name: list(codes) for name, codes in self._codes.items()}
        found: dict[str, Any] = {"people": len(self.people), "pictures": pictures}
        found["attributes"] = {name: _counted(codes, names[name]) for name, codes in sorted(choices.items())}
        found["numbers"] = {name: _described(values) for name, values in self._numbers.items()}
        found["people_numbers"] = {name: _described(values) for name, values in self._of_people.items()}
        if pictures and self._weights.any():
            mean, strength, active = self._weights
            found["expressions"] = {
                name: {
                    "mean": float(mean[i] / pictures), "active": float(active[i] / pictures),
                    "mean_when_active": float(strength[i] / active[i]) if active[i] else 0.0,
                } for i, name in enumerate(EXPRESSIONS)
            }  # fmt: skip
        if self._identity:
            found["identity"] = _identity(np.stack(self._identity))
        for name, sums in self._hidden.items():
            shares = sums / pictures
            found[f"{name}_landmarks"] = {"mean": float(shares.mean()), "of_each": shares.tolist()}
        varied = {name: codes for name, codes in sorted(choices.items()) if len(np.unique(codes)) > 1}
        found["association"] = _associations(varied)
        found["independence"] = _crossed(np.array(self._person), varied, names)
        return found


def statistics_of(labels: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The summary of many pictures' labels (see :meth:`Statistics.summary`)."""
    statistics = Statistics()
    for each in labels:
        statistics.add(each)
    return statistics.summary()


def labels_in(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Labels of all pictures in a split's folder, or in those below a folder; errors as ``iterate_labels``."""
    for split in split_folders(Path(folder)):
        yield from iterate_labels(split)


def sampled_labels(
    people: int, images_per_person: int, seed: int = 0, preset: str = "full"
) -> Iterator[dict[str, Any]]:
    """Labels of pictures that were only drawn, not rendered: all but what rendering decides (hidden landmarks).

    Raises:
        InputError: the head model is absent.
    """
    from facesnap.landmarks.morphable import morphable_of_head
    from facesnap.world.facekit.head import find_head_file
    from facesnap.world.labels import attributes_of
    from facesnap.world.moments import sample_conditions
    from facesnap.world.people import sample_person

    model = morphable_of_head(find_head_file(), 100)
    for person_id in range(people):
        person = sample_person(seed, person_id)
        for index in range(images_per_person):
            c = sample_conditions(seed, person, index, preset)
            camera = c.camera(1)
            points = model.landmarks3d(model.shape_from_full(person.shape), c.expression)
            yield {
                "person_id": person_id, "preset": preset, "size": 1, "style": c.style,
                "identity": person.shape, "pose": {"yaw": c.yaw, "pitch": c.pitch, "roll": c.roll},
                "camera": {name: getattr(camera, name) for name in ("scale", "cx", "cy", "inverse_distance")},
                "expression": c.expression, "gaze": c.gaze, "attributes": attributes_of(person, c),
                "landmarks2d": camera.project(points @ rotation_matrix(c.yaw, c.pitch, c.roll).T),
                "person": {field.name: getattr(person, field.name) for field in fields(person)},
            }  # fmt: skip


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " + ".join(sorted(map(str, value))) or "none"
    return str(value)


def _numbers_of(labels: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What a picture's labels say in numbers: degrees, centimetres, millimetres, fractions of the picture's side."""
    for name, value in labels.get("pose", {}).items():
        yield f"{name} (degrees)", float(value)
    for name, value in zip(("gaze yaw", "gaze pitch"), labels.get("gaze", ()), strict=False):
        yield f"{name} (degrees)", float(value)
    camera, size = labels.get("camera"), labels.get("size")
    if camera and size:
        height = size / camera["scale"]
        yield "height shown (cm)", height
        if camera["inverse_distance"] > 0:
            yield "camera distance (cm)", 1 / camera["inverse_distance"]
            yield "focal length (mm)", SENSOR / camera["inverse_distance"] / height
        yield "face centre x", camera["cx"] / size
        yield "face centre y", camera["cy"] / size
    if "landmarks2d" in labels and size:
        points = np.asarray(labels["landmarks2d"], np.float64) / size
        yield "face height", float(np.ptp(points[:, 1]))
        yield "eye distance", float(inter_ocular(points))
        yield "landmarks outside", float(((points < 0) | (points > 1)).any(axis=1).mean())


def _counted(codes: np.ndarray, names: list[str]) -> dict[str, Any]:
    counts = np.bincount(codes, minlength=len(names))
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    shares = {names[i]: {"count": int(counts[i]), "share": float(counts[i] / len(codes))} for i in order}
    return {"values": shares, "evenness": evenness(counts[counts > 0])}


def _described(values: list[float]) -> dict[str, Any]:
    array = np.array(values)
    counts, edges = np.histogram(array, BINS)
    quantiles = np.quantile(array, (0.05, 0.5, 0.95)).tolist()
    return {
        "mean": float(array.mean()), "sd": float(array.std()), "min": float(array.min()), "max": float(array.max()),
        **dict(zip(("q05", "median", "q95"), quantiles, strict=True)),
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
    }  # fmt: skip


def _identity(shapes: np.ndarray) -> dict[str, Any]:
    """Spread of the people's shape coefficients (P, 100)."""
    return {
        "mean_of_each": shapes.mean(axis=0).tolist(), "sd_of_each": shapes.std(axis=0).tolist(),
        "all": _described(shapes.ravel().tolist()),
    }  # fmt: skip


def _associations(choices: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Cramer's V of every two choices."""
    return {a: {b: cramers_v(counts_of(choices[a], choices[b])) for b in choices} for a in choices}


def _crossed(person: np.ndarray, choices: dict[str, np.ndarray], names: dict[str, list[str]]) -> dict[str, Any]:
    """Skin tone crossed with every other choice: counts, V, and the V that chance stays below."""
    if CROSSED not in choices:
        return {}
    rows, found = choices[CROSSED], {}
    for name in (name for name in choices if name != CROSSED):
        table = counts_of(rows, choices[name])
        found[name] = {
            "v": cramers_v(table), "chance": chance_v(person, rows, choices[name]),
            "counts": {names[CROSSED][i]: dict(zip(names[name], map(int, row), strict=False))
                       for i, row in enumerate(table) if row.sum()},
        }  # fmt: skip
    return found
