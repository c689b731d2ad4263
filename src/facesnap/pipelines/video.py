"""A short clip, or a folder of frames, as driver: one pose per frame, followed from frame to frame and smoothed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from facesnap.core.arkit import EXPRESSIONS
from facesnap.core.errors import ImageError, InputError, NoFaceError, UsageError
from facesnap.core.images import load_image
from facesnap.core.pose import MAX_ANGLE, Pose
from facesnap.core.types import Camera

if TYPE_CHECKING:
    from facesnap.landmarks.fit import FittedFace
    from facesnap.pipelines.analyser import Analyser

#: What is taken for a clip by its name; anything else is a picture.
CLIPS: Final = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
#: Most frames that are read: a minute at 25 per second.
MOST_FRAMES: Final = 1500
#: Frames per second of a folder, which doesn't say.
FOLDER_RATE: Final = 25.0
#: Seconds (standard deviation) over which poses are averaged: E_3d's jitter goes, a blink of 0.1 s stays.
SMOOTHING: Final = 0.04
#: Below this score of E_3d the face is lost, and is looked for anew.
LOST: Final = 0.5


def is_clip(path: Path) -> bool:
    """Whether a path is a film or a folder, and not a picture."""
    return path.suffix.lower() in CLIPS or path.is_dir()


def poses_of(
    analyser: Analyser,
    clip: str | Path,
    *,
    smoothing: float = SMOOTHING,
    keep_framing: bool = False,
    step: Callable[[], None] = lambda: None,
) -> tuple[list[Pose], float]:
    """The poses of the largest face of a clip, and frames per second.

    The face is detected once and then followed: each frame is read round where the last one's face was. Frames
    without a face get what lies between their neighbours.

    Args:
        analyser: detector and E_3d.
        clip: a film that OpenCV reads, or a folder of pictures in the order of their names.
        smoothing: standard deviation in seconds of the average over time; 0 leaves every frame as it was read.
        keep_framing: take the face's size and place in the frames too.
        step: is called after each frame.

    Raises:
        ImageError: it can't be read. NoFaceError: no frame shows a face.
        UsageError: it has too many frames, or ``smoothing`` is negative.
    """
    if not 0 <= smoothing < float("inf"):
        raise UsageError(f"smoothing={smoothing:g} seconds must not be negative")
    clip = Path(clip)
    frames, rate = _frames(clip)
    found: list[Pose | None] = []
    last: FittedFace | None = None
    for frame in frames:
        _check_length(clip, len(found) + 1)  # not every film says truly how long it is
        last = _followed(analyser, frame, last)
        found.append(None if last is None else last.pose)
        step()
    if not any(found):
        raise NoFaceError(f"no face found in any of the {len(found)} frames of {clip.name}")
    poses = smoothed(found, smoothing * rate)
    return [pose if keep_framing else pose.framed(None) for pose in poses], rate


def _followed(analyser: Analyser, frame: np.ndarray, last: FittedFace | None) -> FittedFace | None:
    """The face where it was, else the largest one; None if there is none."""
    if last is not None:
        try:
            fitted = analyser.fitter.fit(frame, last.box, roll=last.pose.roll)
        except InputError:
            fitted = None
        if fitted is not None and fitted.score >= LOST:
            return fitted
    try:
        return analyser.read(frame, face=0).fitted
    except InputError:
        return None


def smoothed(poses: Sequence[Pose | None], deviation: float) -> list[Pose]:
    """Average each pose with its neighbours in time, by a Gaussian of ``deviation`` frames; gaps are bridged evenly.

    Every pose must have a camera, at least one must be there, and gazes count as their lids' weights.
    """
    times = np.arange(len(poses), dtype=np.float64)
    there = np.array([pose is not None for pose in poses])
    values = np.stack([_numbers(pose) for pose in poses if pose is not None])
    track = np.stack([np.interp(times, times[there], column) for column in values.T], axis=1)
    if deviation > 0:
        weights = np.exp(-0.5 * ((times[:, None] - times) / deviation) ** 2)
        track = (weights / weights.sum(axis=1, keepdims=True)) @ track
    return [_pose(row) for row in track]


def _numbers(pose: Pose) -> np.ndarray:
    """Angles (3), weights (53), camera (4)."""
    assert pose.camera is not None
    camera = list(asdict(pose.camera).values())
    return np.concatenate([[pose.yaw, pose.pitch, pose.roll], pose.weights(), camera]).astype(np.float64)


def _pose(numbers: np.ndarray) -> Pose:
    limits = np.array(list(MAX_ANGLE.values()))  # an average of 60s may be 60.00000000000001
    yaw, pitch, roll = np.clip(numbers[:3], -limits, limits).tolist()
    weights = dict(zip(EXPRESSIONS, np.clip(numbers[3:-4], 0.0, 1.0).tolist(), strict=True))
    return Pose(yaw, pitch, roll, weights, camera=Camera(*numbers[-4:].tolist()))


def check_clip(clip: Path) -> int:
    """How many frames a clip says it has, before anything is loaded to read them; errors as :func:`poses_of`."""
    if clip.is_dir():
        count = len(_pictures(clip))
    else:
        film = _opened(clip)
        count = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
        film.release()
    _check_length(clip, count)
    return count


def _check_length(clip: Path, frames: int) -> None:
    if frames > MOST_FRAMES:
        raise UsageError(f"{clip.name} has more than {MOST_FRAMES} frames: cut it")


def _frames(clip: Path) -> tuple[Iterator[np.ndarray], float]:
    """Frames (H, W, 3) RGB uint8 of a film or a folder, and how many there are per second."""
    if clip.is_dir():
        return (load_image(path) for path in _pictures(clip)), FOLDER_RATE
    film = _opened(clip)
    return _film(film), film.get(cv2.CAP_PROP_FPS)


def _pictures(folder: Path) -> list[Path]:
    """A folder's files by name, numbers by their value: frame2 before frame10."""
    pictures = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not pictures:
        raise ImageError(f"the folder {folder} holds no pictures")

    def key(path: Path) -> list[tuple[int, int | str]]:
        parts = re.split(r"(\d+)", path.name)
        return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]

    return sorted(pictures, key=key)


def _opened(clip: Path) -> cv2.VideoCapture:
    if not clip.is_file():
        raise ImageError(f"{clip} does not exist")
    film = cv2.VideoCapture(str(clip))
    if not film.isOpened() or not 0 < film.get(cv2.CAP_PROP_FPS) < 1000:
        raise ImageError(f"{clip.name} is not a clip that can be read: use an MP4, or a folder of pictures")
    return film


def _film(film: cv2.VideoCapture) -> Iterator[np.ndarray]:
    try:
        while True:
            there, frame = film.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        film.release()
