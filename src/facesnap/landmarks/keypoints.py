"""InstantID's control image: five keypoints of a face, and limbs from four of them to the nose.

As InstantID publishes it (``draw_kps`` in github.com/instantX-research/InstantID): on black, an ellipse per limb, as
long as the limb and :data:`LIMB_RADIUS` to either side, in the colour of its outer end; then all of it dimmed to
:data:`LIMB_LIGHT`; then a full disc per keypoint. No smooth edges: the network has only seen hard ones.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

#: RGB per keypoint, in ArcFace's order: eye at the picture's left, eye at its right, nose tip, mouth corner left,
#: mouth corner right.
KEYPOINT_COLOURS: Final[tuple[tuple[int, int, int], ...]] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
)
NOSE: Final = 2
#: Keypoints with a limb to the nose, in the order in which they are drawn.
LIMBS: Final = (0, 1, 3, 4)
LIMB_RADIUS: Final = 4
LIMB_LIGHT: Final = 0.6
DISC_RADIUS: Final = 10
#: The published sizes are pixels of pictures whose longer side is 1280; they hold for all of SDXL's formats.
FULL_SIDE: Final = 1024


def drawing_scale(size: tuple[int, int]) -> float:
    """What the published radii are multiplied by, for a picture of (width, height).

    1 where the longer side has at least 1024 pixels: the published drawing never scales, and SDXL makes no smaller
    pictures. In proportion below that, where full-size discs would cover a face.
    """
    return min(1.0, max(size) / FULL_SIDE)


def draw_keypoints(points5: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw InstantID's control image.

    Args:
        points5: (5, 2) pixels in ArcFace's order (:func:`facesnap.landmarks.layout.five_points`); a point that is NaN
            is left out, with its limb.
        size: (width, height).

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: points of another shape.

    Example:
        >>> control = draw_keypoints(five_points(predictor.predict(shape, Pose(yaw=20), (1024, 1024))), (1024, 1024))
    """
    points = np.asarray(points5, dtype=np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"keypoints must have shape (5, 2), not {points.shape}")
    canvas = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    scale = drawing_scale(size)
    known = np.asarray(np.isfinite(points).all(axis=1))
    for end in LIMBS:
        if known[end] and known[NOSE]:
            _limb(canvas, points[end], points[NOSE], round(scale * LIMB_RADIUS), KEYPOINT_COLOURS[end])
    canvas = (canvas * LIMB_LIGHT).astype(np.uint8)
    for point, colour in zip(points[known], np.array(KEYPOINT_COLOURS)[known].tolist(), strict=True):
        cv2.circle(canvas, _pixel(point), round(scale * DISC_RADIUS), colour, cv2.FILLED)
    return canvas


def _limb(canvas: np.ndarray, end: np.ndarray, nose: np.ndarray, radius: int, colour: tuple[int, int, int]) -> None:
    along = end - nose
    half, angle = int(np.hypot(*along) / 2), math.degrees(math.atan2(along[1], along[0]))
    cv2.ellipse(canvas, _pixel((end + nose) / 2), (half, radius), angle, 0, 360, colour, cv2.FILLED)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    """The pixel that a point lies in."""
    return math.floor(point[0]), math.floor(point[1])
