"""What makes a photograph unfit to learn a face from: measures in numbers, limits as options, reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import cv2
import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.types import Face
from facesnap.faces.align import align

#: Side of the crop whose sharpness is measured: about the size at which encoders and small faces meet.
SHARPNESS_SIDE: Final = 112
#: The reason that shows nothing of the photo, not even in the report.
NO_CONSENT: Final = "no consent"
#: Of several faces, the largest must be so many times larger than the next.
DOMINANCE: Final = 1.5


@dataclass(frozen=True)
class Limits:
    """What is kept; see docs/DATA.md for where the defaults come from.

    Attributes:
        min_face: pixels of the face's box, its longer side.
        max_enlarge: how many times a crop may be enlarged to its final size.
        min_score: of the detector, in [0, 1].
        min_sharpness: see :func:`sharpness`.
        max_yaw: degrees to either side.
        max_faces: in the picture; of several, the largest must dominate.
        max_watermark: see :func:`facesnap.data.watermark.watermark`.
        min_inside: share of the 72 landmarks that must lie in the picture.
    """

    min_face: float = 64
    max_enlarge: float = 2.0
    min_score: float = 0.6
    min_sharpness: float = 0.02
    max_yaw: float = 60
    max_faces: int = 3
    max_watermark: float = 1.0
    min_inside: float = 0.9

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise UsageError(f"{name}={value} must be 0 or more")
        if self.max_faces < 1:
            raise UsageError(f"max_faces={self.max_faces} must be 1 or more")


@dataclass(frozen=True)
class Refusal:
    """Why a photo is left out: ``reason`` from a short list, to be counted; ``detail`` with the numbers."""

    reason: str
    detail: str


def sharpness(image: np.ndarray, points5: np.ndarray) -> float:
    """Variance of the aligned face's Laplacian, as a share of the face's own variance (so that contrast doesn't count).

    Args:
        image: (H, W, 3) uint8.
        points5: (5, 2) pixels.
    """
    grey = cv2.cvtColor(align(image, points5, SHARPNESS_SIDE), cv2.COLOR_RGB2GRAY).astype(np.float32)
    inner = grey[8:-8, 8:-8]  # where a crop leaves the picture it is black, with hard edges, mostly at its border
    return float(cv2.Laplacian(inner, cv2.CV_32F).var() / max(float(inner.var()), 1.0))


def choose(faces: Sequence[Face], limits: Limits) -> Face | Refusal:
    """The face to learn from, or why there is none; ``faces``: the largest first."""
    if not faces:
        return Refusal("no face", "no face was found")
    if len(faces) > limits.max_faces:
        return Refusal("too many faces", f"{len(faces)} faces, at most {limits.max_faces}")
    face = faces[0]
    if len(faces) > 1 and face.size < DOMINANCE * faces[1].size:
        return Refusal("too many faces", f"{len(faces)} faces, of {face.size:.0f} and {faces[1].size:.0f} pixels")
    if face.size < limits.min_face:
        return Refusal("small face", f"the face is {face.size:.0f} pixels, at least {limits.min_face:.0f}")
    if face.score < limits.min_score:
        return Refusal("unsure face", f"the detector's score is {face.score:.2f}, at least {limits.min_score:.2f}")
    return face


def judge(scores: dict[str, Any], limits: Limits) -> Refusal | None:
    """Why a photo with these scores (``enlarge``, ``inside``, ``yaw``, ``sharpness``, ``watermark``) is left out."""
    checks = (
        ("cut off", "inside", "{:.0%} of the landmarks lie in the picture, at least {:.0%}", limits.min_inside, True),
        ("turned away", "turn", "the head is turned by {:.0f} degrees, at most {:.0f}", limits.max_yaw, False),
        (
            "low resolution",
            "enlarge",
            "the crop would be enlarged {:.1f} times, at most {:.1f}",
            limits.max_enlarge,
            False,
        ),
        ("blurred", "sharpness", "sharpness is {:.3f}, at least {:.3f}", limits.min_sharpness, True),
        ("watermark", "watermark", "the watermark score is {:.2f}, at most {:.2f}", limits.max_watermark, False),
    )
    for reason, name, words, limit, at_least in checks:
        value = scores[name]
        if (value < limit) if at_least else (value > limit):
            return Refusal(reason, words.format(value, limit))
    return None
