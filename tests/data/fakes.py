"""Pictures made on the spot, and encoders for them that any worker can import.

A picture's first pixel says how many faces there are; people are colours, which the recogniser reads. E_c and E_3d are
the tiny random ones.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from facesnap.core.images import save_png
from facesnap.core.types import Face
from facesnap.data.decide import DecideSettings
from facesnap.data.encoders import Encoders, encoders_of
from facesnap.data.examine import ExamineSettings
from facesnap.data.photos import Words
from facesnap.data.prepare import Request
from facesnap.data.quality import Limits
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.landmarks.fit import FaceFitter

#: Everything is kept whose face is found.
LAX = Limits(
    min_face=20, max_enlarge=9, min_score=0, min_sharpness=0, max_yaw=180, max_faces=2, max_watermark=99, min_inside=0
)
COLOURS = {"ada": (200, 60, 60), "bob": (60, 200, 60), "cy": (60, 60, 200), "di": (200, 200, 50)}
FIVE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


class MarkedDetector:
    """Sees as many faces as the first pixel's red says: one in the middle, others small in a corner."""

    def detect(self, image: np.ndarray) -> list[Face]:
        side = min(image.shape[:2])
        boxes = [np.array([0.2, 0.2, 0.8, 0.8]) * side, *([np.array([0.0, 0.0, 0.3, 0.3]) * side] * 9)]
        return [Face(box, box[:2] + FIVE * (box[2] - box[0]), 0.9) for box in boxes[: int(image[0, 0, 0])]]


class ColourRecogniser:
    """E_f of people who are colours: a crop's mean colour, about grey, as a unit vector."""

    identifier, dim = "colours@000000000000", 3

    def encode(self, crops: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        slow = float(os.environ.get("FACESNAP_TEST_SLOW", "0"))
        time.sleep(slow)
        colour = np.stack([crop[30:80, 30:80].reshape(-1, 3).mean(axis=0) for crop in crops]) - 110
        return np.asarray(colour / np.linalg.norm(colour, axis=1, keepdims=True), np.float32)


def load(root: Path) -> Encoders:
    fitter = FaceFitter.from_pretrained(root / "landmarks")
    appearance = AppearanceEncoder.from_pretrained(root / "image_encoder")
    return encoders_of(MarkedDetector(), fitter, ColourRecogniser(), appearance, "tiny-E_3d@1")


def loader(root: Path) -> partial[Encoders]:
    return partial(load, root)


def portrait(person: str, seed: int, size: int = 96, faces: int = 1) -> np.ndarray:
    rng = np.random.default_rng([seed, *person.encode()])
    picture = rng.normal(COLOURS[person], 25, (size, size, 3)).clip(0, 255)
    picture[:: int(rng.integers(5, 12))] *= rng.uniform(0.4, 0.9)  # so that no two hashes are near
    picture[:, : int(rng.integers(2, size // 3))] *= 0.7
    picture[0, 0] = faces
    return picture.astype(np.uint8)


def people(folder: Path, photos: int = 3, names: Sequence[str] = ("ada", "bob", "cy")) -> Path:
    """A folder of people, each with some photos."""
    for name in names:
        for index in range(photos):
            save_png(folder / name / f"{index}.png", portrait(name, index))
    return folder


def request(source: Path, out: Path, **other: object) -> Request:
    parts: dict[str, object] = {
        "words": Words("CC0", folders=True),
        "examine": ExamineSettings(LAX, size=64, margin=1.2),
        "decide": DecideSettings(same=0.8, val=0.3),
        "chunk": 4,
    }
    return Request(source, out, **{**parts, **other})  # type: ignore[arg-type]


def run_to_its_end(source: str, out: str, root: str, workers: str) -> None:
    """What a test starts as a process of its own, to kill it."""
    from facesnap.core.workers import Backend
    from facesnap.data.prepare import prepare

    prepare(request(Path(source), Path(out), chunk=2), loader(Path(root)), Backend(int(workers)))
