"""The 72 landmarks: order, groups, mirror pairs, and the paper's colours (framework figure, landmark map).

The order is Multi-PIE's 68 points with two more points on each eye, so 8 per eye:

====== ======= ===========================================================
points group   where ("left" and "right" here are the **picture's** sides)
====== ======= ===========================================================
0-16   jaw     from the picture's left ear to its right ear
17-21  brow_l  the brow at the picture's left (the subject's right)
22-26  brow_r  the brow at the picture's right (the subject's left)
27-35  nose    bridge downwards (27-30), then the nostrils left to right
36-43  eye_l   the eye at the picture's left, outer corner first, clockwise
44-51  eye_r   the eye at the picture's right, inner corner first, clockwise
52-71  mouth   outer lip clockwise from the picture's left corner, then inner
====== ======= ===========================================================
"""

from __future__ import annotations

from typing import Final

import numpy as np

NUM_LANDMARKS: Final = 72

#: The head's origin in ICT-FaceKit's coordinates (cm): the centroid of its mean head's 68 landmarks, to
#: the centimetre's hundredth. Everything in FaceSnap is **after** its subtraction, so a head turns about
#: the middle of its face and a camera's ``cx, cy`` say where that middle is.
HEAD_ORIGIN: Final[tuple[float, float, float]] = (0.0, -0.26, 9.44)

GROUPS: Final[dict[str, slice]] = {
    "jaw": slice(0, 17),
    "brow_l": slice(17, 22),
    "brow_r": slice(22, 27),
    "nose": slice(27, 36),
    "eye_l": slice(36, 44),
    "eye_r": slice(44, 52),
    "mouth": slice(52, 72),
}

#: RGB per group, as the paper draws its landmark map.
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "jaw": (255, 255, 255),
    "brow_l": (0, 255, 255),
    "brow_r": (0, 0, 255),
    "nose": (0, 255, 0),
    "eye_l": (255, 0, 255),
    "eye_r": (255, 255, 0),
    "mouth": (255, 0, 0),
}

#: For each of the 72 points, where the extra eye points come from: ``(a, b)`` are Multi-PIE 68
#: indices; ``a == b`` is that point itself, otherwise the lid point nearest to their midpoint.
FROM_68: Final[tuple[tuple[int, int], ...]] = (
    *((i, i) for i in range(36)),
    *((36, 36), (37, 37), (37, 38), (38, 38), (39, 39), (40, 40), (40, 41), (41, 41)),
    *((42, 42), (43, 43), (43, 44), (44, 44), (45, 45), (46, 46), (46, 47), (47, 47)),
    *((i, i) for i in range(48, 68)),
)

#: ``MIRROR[i]`` is the landmark that point ``i`` becomes when the picture is flipped left to right.
MIRROR: Final[tuple[int, ...]] = (
    *range(16, -1, -1),
    *range(26, 21, -1),
    *range(21, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(48, 47, 46, 45, 44, 51, 50, 49),
    *(40, 39, 38, 37, 36, 43, 42, 41),
    *(58, 57, 56, 55, 54, 53, 52, 63, 62, 61, 60, 59),
    *(68, 67, 66, 65, 64, 71, 70, 69),
)

#: The 5 points of the ArcFace template, as sets of landmarks whose mean they are, in its order:
#: eye at the picture's left, eye at its right, nose tip, mouth corner left, mouth corner right.
FIVE_POINTS: Final[tuple[tuple[int, ...], ...]] = (
    tuple(range(36, 44)),
    tuple(range(44, 52)),
    (30,),
    (52,),
    (58,),
)

#: Outer eye corners: their distance is the inter-ocular distance that NME is divided by.
OUTER_EYE_CORNERS: Final = (36, 48)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Reduce landmarks (..., 72, C) to the five points of the ArcFace template (..., 5, C)."""
    return np.stack([landmarks[..., list(group), :].mean(axis=-2) for group in FIVE_POINTS], axis=-2)


def inter_ocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the outer eye corners of landmarks (..., 72, C), in their own unit."""
    left, right = OUTER_EYE_CORNERS
    return np.asarray(np.linalg.norm(landmarks[..., left, :] - landmarks[..., right, :], axis=-1))


def nme(found: np.ndarray, requested: np.ndarray) -> np.ndarray:
    """Normalised mean error of landmarks: mean distance / the requested points' outer eye corner distance.

    The normalisation of 300-W (Sagonas et al., 2013).

    Args:
        found: (N, 72, 2) pixels; NaN where no face was found.
        requested: (N, 72, 2) pixels of the same picture.

    Returns:
        (N,) a fraction (1.0 = one inter-ocular distance; 100% in the reports).
    """
    distance = np.linalg.norm(np.asarray(found, dtype=np.float64) - requested, axis=-1).mean(axis=-1)
    return np.asarray(distance / np.maximum(inter_ocular(np.asarray(requested, dtype=np.float64)), 1e-9))
