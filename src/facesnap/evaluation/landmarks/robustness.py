"""What spoils a photograph, one thing at a time; and faces small and large, several to a picture, or none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from facesnap.evaluation.landmarks.readings import OVERLAP, Readings, read_all
from facesnap.evaluation.metrics import Interval, bootstrap_mean, wilson
from facesnap.faces.augment import STEPS, photograph, texture
from facesnap.faces.detect import FaceDetector, intersection_over_union
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.layout import nme
from facesnap.training.mini.data import Split

#: E_3d's looks that are compared; the product takes two.
LOOKS: Final = (1, 2, 3)
#: Composites: their (width, height), sides of the renders pasted in, and how many a picture has at most.
CANVAS: Final = (640, 480)
SIDES: Final = (110, 320)
MOST: Final = 4
#: Heights of faces (the landmarks' box) in pixels, from small to large.
HEIGHT_BINS: Final = ((0, 64), (64, 96), (96, 1000))


def under_augmentation(
    split: Split, rows: np.ndarray, detector: FaceDetector, fitter: FaceFitter, seed: int
) -> dict[str, dict[str, Interval]]:
    """Augmentation -> share of faces found, NME of those; ``nothing`` first, all together (``photograph``) last."""
    points = split.world.landmarks2d[rows].astype(np.float64)
    changes = {"nothing": None, **{step.__name__: step for step, _ in STEPS}, "photograph": photograph}
    found = {}
    for name, change in changes.items():
        rng = np.random.default_rng(seed)
        images = [split.world.images[row] if change is None else change(split.world.images[row], rng) for row in rows]
        read = read_all(images, points, detector, fitter)
        found[name] = {
            "found": wilson(read.found.astype(np.float64)),
            "nme": bootstrap_mean(nme(read.landmarks, points), seed),
        }
    return found


def by_looks(
    split: Split, rows: np.ndarray, readings: Readings, fitter: FaceFitter, seed: int
) -> dict[str, tuple[Interval, float]]:
    """How many times E_3d looks at a face, each time at a crop around what it found -> NME, and milliseconds."""
    rows = rows[readings.found[rows]]
    truth, found = split.world.landmarks2d[rows].astype(np.float64), {}
    for passes in LOOKS:
        points, seconds = [], []
        for row in rows:
            start = time.perf_counter()
            points.append(fitter.fit(split.world.images[row], readings.boxes[row], passes=passes).landmarks2d)
            seconds.append(time.perf_counter() - start)
        found[str(passes)] = bootstrap_mean(nme(np.stack(points), truth), seed), 1000 * float(np.median(seconds))
    return found


@dataclass(frozen=True)
class Composite:
    """A picture (H, W, 3) uint8 and the landmarks' boxes (F, 4) of the faces in it."""

    image: np.ndarray
    boxes: np.ndarray


def composite(split: Split, rng: np.random.Generator) -> Composite:
    """Renders of several sizes on random texture, side by side; one in :data:`MOST` + 1 shows nobody."""
    width, height = CANVAS
    canvas, boxes = texture((height, width, 3), rng), []
    across = int(rng.integers(0, MOST + 1))
    for place in range(across):
        room = width // across
        side = int(rng.integers(SIDES[0], min(SIDES[1], room) + 1)) if room > SIDES[0] else room
        row = int(rng.integers(len(split)))
        left = place * room + int(rng.integers(0, room - side + 1))
        top = int(rng.integers(0, height - side + 1))
        scale = side / split.world.images.shape[1]
        small = cv2.resize(split.world.images[row], (side, side), interpolation=cv2.INTER_AREA)
        canvas[top : top + side, left : left + side] = small
        boxes.append(landmark_box(split.world.landmarks2d[row].astype(np.float64) * scale + [left, top]))
    return Composite(canvas, np.array(boxes).reshape(-1, 4))


def detection(split: Split, detector: FaceDetector, pictures: int, seed: int) -> Mapping[str, Any]:
    """Recall by the face's height, and false alarms per 100 composites."""
    rng = np.random.default_rng(seed)
    heights: list[float] = []
    hits: list[float] = []
    alarms = 0
    for _ in range(pictures):
        made = composite(split, rng)
        boxes = [face.box for face in detector.detect(made.image)]
        shared = np.array([[intersection_over_union(box, truth) for box in boxes] for truth in made.boxes])
        shared = shared.reshape(len(made.boxes), len(boxes))
        heights += (made.boxes[:, 3] - made.boxes[:, 1]).tolist()
        hits += (shared >= OVERLAP).any(axis=1).astype(float).tolist()
        alarms += int((~(shared >= OVERLAP).any(axis=0)).sum())
    height, hit = np.array(heights), np.array(hits, dtype=np.float64)
    bins = {f"{low} to {high} px": (height >= low) & (height < high) for low, high in HEIGHT_BINS}
    recall = {name: wilson(hit[chosen]) for name, chosen in bins.items() if chosen.any()}
    return {"pictures": pictures, "recall": {"all": wilson(hit), **recall}, "false_alarms": 100 * alarms / pictures}
