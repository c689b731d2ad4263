from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesnap.core.errors import UsageError
from facesnap.core.types import Face
from facesnap.data.examine import difference_hash, share_inside, square_around
from facesnap.data.quality import Limits, Refusal, choose, judge, sharpness
from facesnap.data.watermark import tiled, watermark, written

GOOD = {"inside": 1.0, "turn": 10.0, "enlarge": 1.0, "sharpness": 0.2, "watermark": 0.4}
POINTS = np.array([[120, 130], [180, 130], [150, 165], [125, 200], [175, 200]], float)


def _face(size, score=0.9):
    return Face(np.array([10.0, 10, 10 + size, 10 + 0.9 * size]), np.zeros((5, 2)), score)


def _scene(seed=0, size=256):
    """Soft shapes and grain: what a photograph is to these measures."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(float)
    return (0.7 * smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def _marked(image, places, words="STOCK PHOTO 12345", scale=0.8):
    marked = image.copy()
    for place in places:
        cv2.putText(marked, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return cv2.addWeighted(image, 0.5, marked, 0.5, 0)


@pytest.mark.parametrize(
    ("faces", "reason", "detail"),
    [
        ([], "no face", "no face was found"),
        ([_face(100)] * 4, "too many faces", "4 faces, at most 3"),
        ([_face(100), _face(80)], "too many faces", "2 faces, of 100 and 80 pixels"),
        ([_face(63.4)], "small face", "the face is 63 pixels, at least 64"),
        ([_face(100, 0.5)], "unsure face", "the detector's score is 0.50, at least 0.60"),
    ],
)
def test_faces_that_are_left_out(faces, reason, detail):
    assert choose(faces, Limits()) == Refusal(reason, detail)


def test_the_largest_face_is_taken_where_it_dominates():
    faces = [_face(100), _face(60)]
    assert choose(faces, Limits()) is faces[0]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"inside": 0.85}, "cut off"),
        ({"turn": 61.0}, "turned away"),
        ({"enlarge": 2.5}, "low resolution"),
        ({"sharpness": 0.01}, "blurred"),
        ({"watermark": 1.3}, "watermark"),
    ],
)
def test_photos_that_are_left_out(other, reason):
    assert judge(GOOD, Limits()) is None
    refusal = judge({**GOOD, **other}, Limits())
    assert refusal is not None
    assert refusal.reason == reason
    assert "at " in refusal.detail


def test_limits_are_numbers_that_make_sense():
    with pytest.raises(UsageError, match="min_face=-1 must be 0 or more"):
        Limits(min_face=-1)
    with pytest.raises(UsageError, match="max_yaw=nan"):
        Limits(max_yaw=float("nan"))
    with pytest.raises(UsageError, match="max_faces=0 must be 1 or more"):
        Limits(max_faces=0)


def test_sharpness_falls_with_blur_and_not_with_contrast():
    fine = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    image = cv2.resize(fine, (300, 300), interpolation=cv2.INTER_CUBIC)
    values = [sharpness(cv2.GaussianBlur(image, (0, 0), sigma), POINTS) for sigma in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 5 * values[-1]
    faint = (0.4 * image + 80).astype(np.uint8)
    assert sharpness(faint, POINTS) == pytest.approx(sharpness(image, POINTS), rel=0.15)
    assert sharpness(np.full((300, 300, 3), 9, np.uint8), POINTS) == 0


def test_watermarks_stand_out():
    places = [(x, y) for y in range(30, 256, 60) for x in (-60 + y % 120, 140 + y % 120)]
    for seed in range(3):
        image = _scene(seed)
        assert watermark(image) < 1
        assert tiled(_marked(image, places)) > 1.5 * tiled(image)
        assert watermark(_marked(image, places)) > 1
        image = _scene(seed, 400)
        line = _marked(image, [(15, 385)], "(c) STOCK AGENCY 1234567 www.stock.example", 0.5)
        assert written(line) > 1.5 * written(image)
        assert watermark(line) > 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (40, 40)])
def test_no_picture_is_too_odd_for_the_measures(shape):
    image = np.full((*shape, 3), 70, np.uint8)
    assert watermark(image) == 0
    assert difference_hash(image) == 0


def test_a_hash_survives_scaling_and_compression():
    image = _scene(3)
    smaller = cv2.imdecode(cv2.imencode(".jpg", cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA))[1], 1)
    others = [difference_hash(_scene(seed)) ^ difference_hash(image) for seed in (4, 5, 6)]
    assert bin(difference_hash(image) ^ difference_hash(smaller)).count("1") <= 4
    assert min(bin(other).count("1") for other in others) > 12


def test_a_square_lies_in_the_picture():
    landmarks = np.random.default_rng(0).uniform([40, 60], [80, 110], (72, 2))
    left, top, side = square_around(landmarks, (400, 300), 2.0)
    assert side == pytest.approx(2 * np.ptp(landmarks[:, 1]))
    assert top + side / 2 < landmarks[:, 1].min() / 2 + landmarks[:, 1].max() / 2  # more room above
    assert left >= 0
    narrow = square_around(landmarks, (90, 200), 6.0)
    assert narrow[2] == 90
    assert (narrow[:2] >= 0).all()
    assert narrow[1] + narrow[2] <= 200
    assert share_inside(landmarks, np.array([0, 0, 400.0])) == 1
    assert share_inside(landmarks, np.array([0, 0, 50.0])) < 0.5
