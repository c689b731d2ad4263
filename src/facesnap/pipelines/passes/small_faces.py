"""A second pass for small faces: each is cut out, made anew at the base's own size, and blended back.

In a full-body picture a face is a handful of latents, too few for anyone's likeness. Its landmarks are known, since
they were asked for, so no detector is needed to find it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.images import crop_matrix
from facesnap.landmarks.crop import landmark_box
from facesnap.pipelines.call.masks import face_mask


@dataclass(frozen=True)
class SmallFaces:
    """Settings of the second pass.

    Attributes:
        under: a face whose landmarks are lower than this share of the base's own picture is small. (The default
            composition has 0.53.)
        strength: how much of the first pass is lost to noise, from 0 to 1.
        fill: what the landmarks fill of the cut-out picture's height.

    Raises:
        UsageError: a value out of (0, 1].
    """

    under: float = 0.3
    strength: float = 0.55
    fill: float = 0.5

    def __post_init__(self) -> None:
        for name in ("under", "strength", "fill"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise UsageError(f"small_faces: {name}={getattr(self, name)} must be over 0 and at most 1")

    def finds(self, landmarks: np.ndarray, own_side: int) -> bool:
        """Whether a face (72, 2) is small for a base of ``own_side`` pixels."""
        x0, y0, x1, y1 = landmark_box(landmarks)
        return float(max(x1 - x0, y1 - y0)) < self.under * own_side


#: Makes a face anew: (cut-out picture (S, S, 3) uint8, landmarks (72, 2) in it, affine (2, 3) from the picture to it)
#: -> (S, S, 3) uint8, or None to leave it.
Repaint = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray | None]


def repaint_faces(
    picture: np.ndarray, faces: list[np.ndarray], side: int, settings: SmallFaces, repaint: Sequence[Repaint]
) -> np.ndarray:
    """A picture (H, W, 3) uint8 with its small faces made anew, one after the other; the same array if none is.

    Args:
        picture: of the first pass.
        faces: landmarks (72, 2) of everyone in it.
        side: the base's own picture's, in pixels.
        settings: which faces, and how.
        repaint: per face.
    """
    for landmarks, make in zip(faces, repaint, strict=True):
        if settings.finds(landmarks, side):
            picture = _one(picture, landmarks, side, settings, make)
    return picture


def _one(picture: np.ndarray, landmarks: np.ndarray, side: int, settings: SmallFaces, make: Repaint) -> np.ndarray:
    matrix = crop_matrix(landmark_box(landmarks), side, 1.0 / settings.fill)
    crop = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    placed = landmarks @ matrix[:, :2].T + matrix[:, 2]
    new = make(crop, placed, matrix)
    if new is None:
        return picture
    size = picture.shape[1], picture.shape[0]
    back = cv2.WARP_INVERSE_MAP
    # Many pixels become one on the way back, so the picture is softened by as much first.
    sigma = 0.5 * (float(matrix[0, 0]) - 1)
    smooth = cv2.GaussianBlur(new, (0, 0), sigma) if sigma > 0 else new
    returned = cv2.warpAffine(smooth, matrix, size, flags=cv2.INTER_LINEAR | back, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(face_mask([placed], (side, side)), matrix, size, flags=cv2.INTER_LINEAR | back)[..., None]
    return np.asarray((picture * (1 - share) + returned * share).round().astype(np.uint8))
