"""Which part of a picture is made anew: masks by name, around faces, or drawn by the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.images import load_image
from facesnap.landmarks.layout import GROUPS

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: What a mask may be called instead of being drawn.
NAMED_MASKS: Final = ("face", "background")

#: How far a face's mask reaches beyond its landmarks, as a share of the face's height; and upwards, over the forehead.
MARGIN: Final = 0.08
FOREHEAD: Final = 0.35

#: Where the mask's edge fades, as a share of the face's height.
FEATHER: Final = 0.06

#: How far a mask's proportions may differ from its image's: sizes are whole pixels.
_TOLERANCE: Final = 0.02


def is_named(mask_image: Any) -> bool:
    """Whether a mask is given by its name."""
    return isinstance(mask_image, str) and mask_image in NAMED_MASKS


def named_mask(
    name: str, asked: Sequence[np.ndarray], found: Sequence[np.ndarray], size: tuple[int, int]
) -> np.ndarray:
    """A mask by its name, (H, W) float32 in [0, 1], 1 where the picture is made anew.

    Args:
        name: ``"face"`` is where faces were and where they shall be; ``"background"`` is all but those that were.
        asked: landmarks (72, 2) of the faces that shall be there.
        found: the same of the faces that were found in the image.
        size: (width, height).
    """
    if name == "face":
        return face_mask([*asked, *found], size)
    return np.asarray(1.0 - face_mask(found, size))


def drawn_mask(mask_image: ImageSource, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask that is a picture, white where the image is made anew, cut and scaled as the image is.

    Args:
        mask_image: the picture.
        image: (H, W, 3), before it was cut.
        size: (width, height) of the call.

    Raises:
        ImageError: not a picture. UsageError: it has other proportions than the image, so that it would be cut
            differently.
    """
    mask = load_image(mask_image)
    (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape[:2]
    if abs(width * mask_height / (height * mask_width) - 1) > _TOLERANCE:
        raise UsageError(
            f"mask_image has {mask_width} x {mask_height} pixels, the image {width} x {height}: give a mask of the"
            " image's proportions"
        )
    return np.asarray(cut_to(mask, size).astype(np.float32).mean(axis=-1) / 255)


def face_mask(faces: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Where faces are: their landmarks (72, 2) with forehead and margin, softly edged; (H, W) float32 in [0, 1]."""
    canvas = np.zeros((size[1], size[0]), dtype=np.uint8)
    height = 1.0
    for points in faces:
        height = float(np.ptp(points[:, 1]))
        brows = np.concatenate([points[GROUPS[name]] for name in ("brow_l", "brow_r")])
        outline = np.concatenate([points, brows - [0.0, FOREHEAD * height]])
        middle = outline.mean(axis=0)
        wider = middle + (outline - middle) * (1 + 2 * MARGIN)
        cv2.fillConvexPoly(canvas, cv2.convexHull(wider.round().astype(np.int32)), 255)
    return cv2.GaussianBlur(canvas, (0, 0), max(1.0, FEATHER * height)).astype(np.float32) / 255


def touches(mask: np.ndarray, points: np.ndarray) -> bool:
    """Whether a mask (H, W) lets anything of a face (its landmarks (72, 2)) be made anew."""
    return bool((mask * face_mask([points], (mask.shape[1], mask.shape[0]))).max() > 0.5)


def cut_to(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) uint8 cut (around its middle) and scaled to (width, height)."""
    scale, shift = cut(picture, size)
    height, width = picture.shape[:2]
    wide, high = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, (wide, high), interpolation=method)
    left, top = (-shift).astype(int)
    return np.ascontiguousarray(scaled[top : top + size[1], left : left + size[0]])


def cut(picture: np.ndarray, size: tuple[int, int]) -> tuple[float, np.ndarray]:
    """What :func:`cut_to` does to pixels: they are multiplied by the first, and then moved by the second (2,)."""
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    sides = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    return scale, -((np.array(sides) - size) // 2).astype(np.float64)
