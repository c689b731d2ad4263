"""Which landmarks are seen, on hand-made depth maps: no head model, no OpenGL."""

from __future__ import annotations

import numpy as np
import pytest

from facesnap.core.types import Camera
from facesnap.world.labels import HIDDEN_BEHIND, WORN_BEFORE, seen_landmarks

SIZE, SIDE = 64, 32  # pixels of the picture, and of its depth maps: one landmark's pixel is at half of both
CAMERA = Camera(scale=4.0, cx=32.0, cy=32.0)
EMPTY = -1e3
HEAD = 2.0  # z of the head where it is drawn, cm
MIDDLE = SIDE // 2


def _maps(dressed: float = HEAD, rows: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """The head drawn at z = HEAD all over, something worn at ``dressed`` in the first rows of the maps."""
    bare = np.full((SIDE, SIDE), HEAD)
    worn = bare.copy()
    worn[:rows] = np.maximum(worn[:rows], dressed)
    return bare, worn


def _seen(point: tuple[float, float, float], bare: np.ndarray, dressed: np.ndarray) -> tuple[bool, bool]:
    """Visible and occluded of one landmark among 72, the others being far outside of the picture."""
    posed = np.tile([1e3, 1e3, 0.0], (72, 1))
    posed[5] = point
    visible, occluded = seen_landmarks(posed, CAMERA, SIZE, bare, dressed)
    assert visible.shape == occluded.shape == (72,)
    assert not np.delete(visible, 5).any()
    assert not np.delete(occluded, 5).any()
    return bool(visible[5]), bool(occluded[5])


def test_a_landmark_on_the_drawn_surface_is_visible():
    assert _seen((0, 0, HEAD), *_maps()) == (True, False)
    assert _seen((0, 0, HEAD - 0.9 * HIDDEN_BEHIND), *_maps()) == (True, False)
    assert _seen((0, 0, HEAD), np.full((SIDE, SIDE), EMPTY), np.full((SIDE, SIDE), EMPTY)) == (True, False)


def test_a_landmark_behind_the_head_is_hidden_and_never_occluded():
    behind = (0, 0, HEAD - 1.1 * HIDDEN_BEHIND)
    assert _seen(behind, *_maps()) == (False, False)
    assert _seen(behind, *_maps(dressed=HEAD + 3)) == (False, False)


def test_one_free_pixel_beside_it_is_enough_to_see_a_landmark():
    bare, _ = _maps()
    bare[MIDDLE - 1, MIDDLE + 1] = EMPTY
    assert _seen((0, 0, HEAD - 3), bare, bare) == (True, False)
    bare[MIDDLE - 1, MIDDLE + 1], bare[MIDDLE - 2, MIDDLE] = HEAD, EMPTY  # two pixels away it is not
    assert _seen((0, 0, HEAD - 3), bare, bare) == (False, False)


def test_a_landmark_under_something_worn_is_visible_but_occluded():
    assert _seen((0, 0, HEAD), *_maps(dressed=HEAD + 2 * WORN_BEFORE)) == (True, True)
    assert _seen((0, 0, HEAD), *_maps(dressed=HEAD + 0.5 * WORN_BEFORE)) == (True, False)


def test_a_landmark_at_the_rim_of_something_worn_is_not_occluded():
    assert _seen((0, 0, HEAD), *_maps(dressed=HEAD + 1, rows=MIDDLE + 1)) == (True, False)
    assert _seen((0, 0, HEAD), *_maps(dressed=HEAD + 1, rows=MIDDLE + 2)) == (True, True)


@pytest.mark.parametrize(("x", "y"), [(8.1, 0.0), (-8.1, 0.0), (0.0, 8.1), (0.0, -8.1)])
def test_a_landmark_outside_of_the_picture_is_neither(x, y):
    """The picture shows 8 cm to every side."""
    assert _seen((x, y, HEAD), *_maps(dressed=HEAD + 1)) == (False, False)
    assert _seen((0.97 * x, 0.97 * y, HEAD), *_maps(dressed=HEAD + 1)) == (True, True)
