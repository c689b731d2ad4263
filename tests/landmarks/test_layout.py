from __future__ import annotations

import numpy as np

from facesnap.landmarks.layout import (
    COLOURS,
    FROM_68,
    GROUPS,
    MIRROR,
    NUM_LANDMARKS,
    OUTER_EYE_CORNERS,
    five_points,
    nme,
)
from facesnap.landmarks.morphable import MorphableLandmarks


def test_the_groups_cover_the_points_once_and_each_has_a_colour() -> None:
    covered = [i for group in GROUPS.values() for i in range(NUM_LANDMARKS)[group]]
    assert covered == list(range(NUM_LANDMARKS))
    assert GROUPS.keys() == COLOURS.keys()
    assert len(FROM_68) == NUM_LANDMARKS


def test_the_mean_head_is_its_own_mirror_image(morphable: MorphableLandmarks) -> None:
    flipped = morphable.mean[list(MIRROR)] * np.array([-1.0, 1.0, 1.0])
    assert np.abs(flipped - morphable.mean).max() < 1e-3
    assert [MIRROR[MIRROR[i]] for i in range(NUM_LANDMARKS)] == list(range(NUM_LANDMARKS))


def test_groups_lie_where_their_names_say(morphable: MorphableLandmarks) -> None:
    x = {name: morphable.mean[group, 0].mean() for name, group in GROUPS.items()}
    y = {name: morphable.mean[group, 1].mean() for name, group in GROUPS.items()}
    assert x["eye_l"] < -2  # the picture's left is the subject's right, which is negative x
    assert x["eye_r"] > 2
    assert x["brow_l"] < 0 < x["brow_r"]
    assert y["brow_l"] > y["eye_l"] > y["nose"] > y["mouth"]


def test_five_points_run_from_the_pictures_left(morphable: MorphableLandmarks) -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = five_points(morphable.mean)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert nose[2] > 3  # the tip sticks out


def test_nme_of_a_known_shift() -> None:
    requested = np.zeros((2, 72, 2))
    left, right = OUTER_EYE_CORNERS
    requested[:, left], requested[:, right] = (10, 0), (60, 0)  # 50 px apart
    found = requested + np.array([3.0, 4.0])  # every point 5 px away
    found[1] = np.nan
    np.testing.assert_allclose(nme(found, requested), [0.1, np.nan])
