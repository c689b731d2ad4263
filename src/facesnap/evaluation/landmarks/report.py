"""The text of LANDMARKS.md, one function per section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from facesnap.evaluation.metrics import Interval

Figures = Mapping[str, Any]

#: Beside the report: real photographs with what is read from them.
SHEET: Final = "landmarks.jpg"

SHAPES: Final = {
    "truth": "of what is read to the person's exact head",
    "several": "the same of the mean over all of a person's pictures",
    "mean head": "of the exact head to the mean head (knowing nothing)",
    "same": "between two pictures of one person",
    "others": "between pictures of two people",
}


def markdown(facts: Mapping[str, Any], figures: Figures, photographs: str = "") -> str:
    """All of it; ``figures`` as :func:`facesnap.evaluation.landmarks.suite.evaluate_landmarks` finds them.

    ``photographs``: names of those on :data:`SHEET`.
    """
    sections = {
        "E_3d on rendered test people, by yaw": _reading(figures["by_yaw"]),
        "Is shape identity?": _shape(figures["shape"]),
        "Identity kept under retargeting": _retargeting(figures["retargeting"], figures["ratios"]),
        "One thing at a time": _augmentations(figures["augmentations"]),
        "How many looks?": _looks(figures["looks"]),
        "Detector": _detector(figures["detection"], figures["alarms"], figures["milliseconds"]),
        "How it was made": _table(["", ""], [[name, str(value)] for name, value in facts.items()]),
    }
    if photographs:
        about = f"What is read from {photographs}; then the same head straight, turned, smiling, surprised:"
        sections = {"Real photographs": [about, "", f"![overlays and maps]({SHEET})"], **sections}
    lines = ["# Landmarks", "", f"Written by `{facts['command']}`; edits are lost with its next run. Means with 95%"
             " intervals over pictures."]  # fmt: skip
    for title, text in sections.items():
        lines += ["", f"## {title}", "", *text]
    return "\n".join(lines) + "\n"


def _reading(bins: Figures) -> list[str]:
    angles = ("yaw", "pitch", "roll")
    rows = [
        [name, _percent(row["recall"]), _percent(row["nme"]), *(f"{row[angle].value:.1f}°" for angle in angles),
         _number(row["expression"], 3)]
        for name, row in bins.items()
    ]  # fmt: skip
    head = ["yaw", "found", "NME", *(f"{angle} error" for angle in angles), "expression error"]
    return [
        *_table(head, rows),
        "",
        "NME: mean distance of the 72 landmarks from their exact places, in percent of the outer eye corners' distance"
        " there. Expression: mean absolute error of the 53 weights.",
    ]


def _shape(shape: Figures) -> list[str]:
    rows = [[words, _number(shape[name], 2)] for name, words in SHAPES.items()]
    auc = f"{shape['auc']:.1%}"
    return [
        *_table(["distance of the 72 landmarks, neutral and upright", "mm"], rows),
        "",
        f"A pair of one person is nearer than one of two people in {auc} of cases (chance: 50%).",
    ]


def _retargeting(errors: Figures, ratios: Figures) -> list[str]:
    shares = {name: _number(ratio, 2) for name, ratio in ratios.items()}
    rows = [[name, _percent(error), shares.get(name, "")] for name, error in errors.items()]
    return [
        "Person A driven by a picture of B; the truth is A's exact head in B's exact expression, pose and camera.",
        "",
        *_table(["landmarks", "NME to the truth", "the predictor's error as a share of it"], rows),
        "",
        "- predictor: A's shape, B's expression, pose and camera, all as read from the two pictures;",
        "- driver: B's landmarks as they are read (InstantID's habit, of five of them);",
        "- similarity: A's landmarks, moved, turned and scaled in the plane onto B's;",
        "- five points: of these alone;",
        "- framing aside: after the scale and shift that bring the landmarks closest to the truth, because no picture"
        " says how large a head is.",
    ]


def _augmentations(found: Figures) -> list[str]:
    rows = [[name, _percent(row["found"]), _percent(row["nme"])] for name, row in found.items()]
    return _table(["done to the picture", "found", "NME"], rows)


def _looks(found: Figures) -> list[str]:
    rows = [[looks, _percent(error), f"{milliseconds:.1f} ms"] for looks, (error, milliseconds) in found.items()]
    return [
        *_table(["looks", "NME", "median time"], rows),
        "",
        "Each look after the first is at an upright crop around what was found. The product takes two.",
    ]


def _detector(detection: Figures, alarms: float, milliseconds: Figures) -> list[str]:
    rows = [[name, _percent(share)] for name, share in detection["recall"].items()]
    return [
        *_table(["height of the face", "found"], rows),
        "",
        f"On {detection['pictures']} pictures of none to four faces; false alarms in 100 of them:"
        f" {detection['false_alarms']:.1f}, in 100 portraits: {alarms:.1f}. Median time of a portrait: detector"
        f" {milliseconds['detector']:.0f} ms, E_3d {milliseconds['E_3d']:.1f} ms (two looks).",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _percent(number: Interval) -> str:
    return f"{number.value:.1%} [{number.low:.1%}, {number.high:.1%}]"


def _number(number: Interval, digits: int) -> str:
    return f"{number.value:.{digits}f} [{number.low:.{digits}f}, {number.high:.{digits}f}]"
