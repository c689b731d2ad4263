"""Pass 1: look at photographs, a chunk at a time. What is found goes to one file per chunk; nothing stays in memory.

A photo is decoded, its face found, measured and judged; of a face that is kept, the frozen encoders' features are
computed once, in several augmented views.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from facesnap.core.errors import ImageError, InputError
from facesnap.core.images import write_atomic
from facesnap.core.types import Face
from facesnap.data.encoders import Encoders
from facesnap.data.parts import Arrays, Record, part_bytes, part_path
from facesnap.data.photos import Photo, decoded, digest
from facesnap.data.quality import NO_CONSENT, Limits, Refusal, choose, judge, sharpness
from facesnap.data.watermark import watermark
from facesnap.faces.views import face_view
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.fit import FittedFace

#: How far the middle of the landmarks lies below the square's, as a share of its side: hair needs more room than chins.
LOWERED: Final = 0.04


@dataclass(frozen=True)
class ExamineSettings:
    """What pass 1 depends on, encoders and photos aside.

    ``size``: side of the final pictures; ``margin``: of their square, as a multiple of the landmarks' box; ``views``:
    V; ``seed``: of the views.
    """

    limits: Limits = field(default_factory=Limits)
    size: int = 512
    margin: float = 2.0
    views: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Chunk:
    """Photos that are examined together, and the number of their file."""

    number: int
    photos: list[Photo]


@dataclass(frozen=True)
class Examined:
    """What became of a chunk."""

    number: int
    photos: int
    kept: int


@dataclass(frozen=True)
class Examine:
    """Pass 1 as a worker starts it; ``load`` gives the encoders, ``folder`` is where parts go."""

    load: Callable[[], Encoders]
    settings: ExamineSettings
    folder: Path

    def start(self, device: str) -> Callable[[Chunk], Examined]:
        """Load the encoders; what is returned examines a chunk and writes its part."""
        del device  # ``load`` knows it
        encoders = self.load()

        def work(chunk: Chunk) -> Examined:
            records, arrays = examine(chunk.photos, encoders, self.settings)
            content = part_bytes(digest(chunk.photos), records, arrays)
            write_atomic(part_path(self.folder, chunk.number), content)
            return Examined(chunk.number, len(records), sum(not record["reason"] for record in records))

        return work


@dataclass
class _Seen:
    """A kept face on the way to its features: what E_3d read, and the crops (V, 112, 112, 3) and (V, S, S, 3)."""

    fitted: FittedFace
    face: Face
    square: np.ndarray
    faces: np.ndarray
    looks: np.ndarray


def examine(photos: list[Photo], encoders: Encoders, settings: ExamineSettings) -> tuple[list[Record], list[Arrays]]:
    """Look at photos: a record of each, and of those whose record has no ``reason`` also their arrays, in order."""
    records, seen = [], []
    for photo in photos:
        record, found = _look(photo, encoders, settings)
        records.append(record)
        if found is not None:
            seen.append(found)
    if not seen:
        return records, []
    f_id = encoders.face.encode(np.concatenate([each.faces for each in seen]))
    f_clip = encoders.appearance.encode(np.concatenate([each.looks for each in seen]))
    views = settings.views
    return records, [
        _arrays(each, f_id[row * views : (row + 1) * views], f_clip[row * views : (row + 1) * views])
        for row, each in enumerate(seen)
    ]


def _look(photo: Photo, encoders: Encoders, settings: ExamineSettings) -> tuple[Record, _Seen | None]:
    record: Record = {
        **{name: getattr(photo, name) for name in ("key", "file", "offset", "size", "person", "licence")},
        **{"captions": list(photo.captions), "consent": photo.consent, "reason": "", "detail": "", "scores": {}},
    }
    try:
        if photo.problem:
            return _refused(record, Refusal("unreadable", photo.problem)), None
        if photo.consent == "no":
            return _refused(record, Refusal(NO_CONSENT, "consent was refused, or not given")), None
        content = photo.read()
        image = decoded(content)
    except ImageError as error:
        return _refused(record, Refusal("unreadable", str(error))), None
    record |= {"sha256": hashlib.sha256(content).hexdigest(), "dhash": difference_hash(image)}
    record["pixels"] = [image.shape[1], image.shape[0]]
    try:
        found = _face(image, record, encoders, settings)
    except InputError as error:  # no crop can be cut, no box is left: what looked like a face is none
        found = Refusal("no face", str(error))
    if isinstance(found, Refusal):
        return _refused(record, found), None
    return record, found


def _face(image: np.ndarray, record: Record, encoders: Encoders, settings: ExamineSettings) -> _Seen | Refusal:
    limits = settings.limits
    faces = encoders.detector.detect(image)
    scores = record["scores"]
    scores["faces"] = len(faces)
    if faces:
        scores |= {"face": round(faces[0].size, 1), "score": round(faces[0].score, 4)}
        record["box"] = [round(float(value), 1) for value in faces[0].box]
    face = choose(faces, limits)
    if isinstance(face, Refusal):
        return face
    fitted = encoders.fitter.fit(image, face.box)
    square = square_around(fitted.landmarks2d, (image.shape[1], image.shape[0]), settings.margin)
    measured = {
        "inside": share_inside(fitted.landmarks2d, square),
        "turn": abs(fitted.pose.yaw),
        "enlarge": settings.size / float(square[2]),
        "sharpness": sharpness(image, face.points5),
        "watermark": watermark(image),
    }
    scores |= {name: round(value, 4) for name, value in measured.items()}
    scores["confidence"] = round(float(fitted.confidence.mean()), 4)
    refusal = judge(measured, limits)
    if refusal is not None:
        return refusal
    rng = np.random.default_rng([settings.seed, int(record["sha256"][:16], 16)])  # the photo's own, wherever it is read
    chances = [None, *([rng] * (settings.views - 1))]
    sees = encoders.appearance
    return _Seen(
        fitted,
        face,
        square,
        np.stack([face_view(image, face.points5, chance) for chance in chances]),
        np.stack([face_view(image, face.points5, c, size=sees.crop_size, zoom=sees.zoom) for c in chances]),
    )


def _refused(record: Record, refusal: Refusal) -> Record:
    return {**record, "reason": refusal.reason, "detail": refusal.detail}


def _arrays(seen: _Seen, f_id: np.ndarray, f_clip: np.ndarray) -> Arrays:
    fitted, camera = seen.fitted, seen.fitted.camera
    return {
        "f_id": f_id.astype(np.float16),
        "f_clip": f_clip.astype(np.float16),
        "shape": fitted.shape.astype(np.float32),
        "expression": fitted.pose.weights(),
        "pose": np.array([fitted.pose.yaw, fitted.pose.pitch, fitted.pose.roll], np.float32),
        "camera": np.array([camera.scale, camera.cx, camera.cy, camera.inverse_distance], np.float64),
        "landmarks": fitted.landmarks2d.astype(np.float64),
        "points5": seen.face.points5.astype(np.float64),
        "confidence": fitted.confidence.astype(np.float16),
        "square": seen.square.astype(np.float64),
    }


def square_around(landmarks: np.ndarray, size: tuple[int, int], margin: float) -> np.ndarray:
    """The square (3,) left, top, side of the final picture: ``margin`` times the longer side of the landmarks' box, but
    no larger than the picture (width, height), and shifted to lie in it, so that no border shows.
    """
    box = landmark_box(landmarks)
    side = float(min(margin * max(box[2:] - box[:2]), *size))
    corner = (box[:2] + box[2:]) / 2 - np.array([0.5, 0.5 + LOWERED]) * side
    corner = np.clip(corner, 0, np.array(size) - side)
    return np.array([*corner, side])


def share_inside(landmarks: np.ndarray, square: np.ndarray) -> float:
    """Share of the landmarks that lie in a square that lies in the picture."""
    inside = (landmarks >= square[:2]) & (landmarks < square[:2] + square[2])
    return float(inside.all(axis=1).mean())


def difference_hash(image: np.ndarray) -> int:
    """64 bits that hardly change when a picture is scaled or compressed: whether brightness rises from one cell of a
    grid of 8 rows and 9 columns to the next.
    """
    grey = cv2.cvtColor(cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    bits = (grey[:, 1:] > grey[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def settings_of(settings: ExamineSettings) -> dict[str, Any]:
    """As plain values, limits among the rest."""
    from dataclasses import asdict

    plain = asdict(settings)
    return {**plain.pop("limits"), **plain}
