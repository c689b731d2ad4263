"""What detector and E_3d read from many labelled pictures, as arrays; the same path as a user's photograph."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from facesnap.core.pose import Pose
from facesnap.core.types import euler_angles
from facesnap.faces.detect import FaceDetector, intersection_over_union
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.fit import FaceFitter, FittedFace

#: A face is found when its box and the landmarks' share this much of what both cover.
OVERLAP: Final = 0.4


@dataclass(frozen=True)
class Readings:
    """Of N pictures; rows whose face was not found are NaN.

    ``boxes`` (N, 4) as the detector found them and ``landmarks`` (N, 72, 2), pixels; ``angles`` (N, 3) degrees, not
    clipped; ``expression`` (N, 53); ``shape`` (N, K); ``poses``: with the picture's framing, None where nothing was
    found; ``alarms``: boxes elsewhere, in all pictures; ``detecting``, ``reading``: seconds per picture (medians).
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    angles: np.ndarray
    expression: np.ndarray
    shape: np.ndarray
    poses: Sequence[Pose | None]
    alarms: int
    detecting: float
    reading: float

    @property
    def found(self) -> np.ndarray:
        """(N,) bool."""
        return np.asarray(np.isfinite(self.landmarks[:, 0, 0]))


def read_all(
    images: Sequence[np.ndarray] | np.ndarray,
    points: np.ndarray,
    detector: FaceDetector,
    fitter: FaceFitter,
    step: Callable[[], None] = lambda: None,
) -> Readings:
    """Detect and read every picture (H, W, 3) uint8; a face counts as found where its landmarks (N, 72, 2) are."""
    fits: list[FittedFace | None] = []
    boxes: list[np.ndarray] = []
    alarms, times = 0, []
    for image, truth in zip(images, points, strict=True):
        start = time.perf_counter()
        faces = detector.detect(image)
        between = time.perf_counter()
        shared = np.array([intersection_over_union(face.box, landmark_box(truth)) for face in faces])
        alarms += int((shared < OVERLAP).sum())
        hit = bool((shared >= OVERLAP).any())
        boxes.append(faces[int(shared.argmax())].box if hit else np.full(4, np.nan))
        fits.append(fitter.fit(image, boxes[-1]) if hit else None)
        times.append((between - start, time.perf_counter() - between if hit else np.nan))
        step()

    def stack(part: Callable[[FittedFace], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        return np.stack([np.full(shape, np.nan) if fit is None else part(fit) for fit in fits]).astype(np.float64)

    detecting, reading = np.array(times).T
    reading = reading[np.isfinite(reading)]
    return Readings(
        boxes=np.stack(boxes).astype(np.float64),
        landmarks=stack(lambda fit: fit.landmarks2d, (72, 2)),
        angles=stack(lambda fit: np.array(euler_angles(fit.rotation)), (3,)),
        expression=stack(lambda fit: fit.pose.weights(), (53,)),
        shape=stack(lambda fit: fit.shape, (fitter.morphable.components,)),
        poses=[None if fit is None else fit.pose for fit in fits],
        alarms=alarms,
        detecting=float(np.median(detecting)),
        reading=float(np.median(reading)) if len(reading) else 0.0,
    )
