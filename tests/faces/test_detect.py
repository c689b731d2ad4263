import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from facesnap.core.errors import FaceTooSmallError, ImageError, InputError, NoFaceError, UsageError
from facesnap.core.images import load_image
from facesnap.core.types import Face
from facesnap.faces.detect import LANDMARK_SHARE, NOTICED, SMALLEST, HaarDetector, _turn, pick_face

PORTRAIT = Path(__file__).parents[2] / "examples" / "eileen_collins.jpg"

#: Measured by hand in the portrait: eyes, nose tip, mouth corners, in the template's order.
POINTS = np.array([[202, 102], [247, 102.5], [223.5, 124], [205, 138.5], [243, 139]])


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return load_image(PORTRAIT)


def check_is_her(faces: list[Face], expected: np.ndarray = POINTS) -> None:
    assert len(faces) == 1
    scale = np.linalg.norm(expected[0] - expected[1]) / 45
    assert np.linalg.norm(faces[0].points5 - expected, axis=1).max() < 14 * scale
    centre = (faces[0].box[:2] + faces[0].box[2:]) / 2
    eyes, mouth = expected[:2].mean(axis=0), expected[3:].mean(axis=0)
    assert np.linalg.norm(centre - (eyes + 0.84 * (mouth - eyes))) < 14 * scale  # midway between brows and chin
    assert 62 * scale < faces[0].size < 110 * scale
    assert 0.5 <= faces[0].score <= 1


def moved(matrix: np.ndarray) -> np.ndarray:
    return POINTS @ matrix[:, :2].T + matrix[:, 2]


def test_exactly_her_face(portrait):
    check_is_her(HaarDetector().detect(PORTRAIT))
    check_is_her(HaarDetector().detect(portrait))


def test_the_box_is_the_landmarks_from_brows_to_chin(portrait):
    """What E_3d is handed is what it was trained on: cascades' own boxes lie a sixth higher."""
    x0, y0, x1, y1 = HaarDetector().detect(portrait)[0].box
    brows, chin, width = 89, 177, 89  # measured by hand, to a few pixels
    assert (y0 + y1) / 2 == pytest.approx((brows + chin) / 2, abs=6)
    assert x1 - x0 == pytest.approx(width, abs=10)


@pytest.mark.parametrize("angle", [25, 90, -90])
def test_turned_photographs(portrait, angle):
    turned, back = _turn(portrait, angle)
    check_is_her(HaarDetector().detect(turned), moved(cv2.invertAffineTransform(back)))


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_other_sizes(portrait, scale):
    resized = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    check_is_her(HaarDetector().detect(resized), POINTS * scale)


def test_a_tight_crop(portrait):
    check_is_her(HaarDetector().detect(portrait[72:165, 180:272]), POINTS - [180, 72])


def test_a_face_that_is_small_in_a_large_picture(portrait):
    canvas = np.full((1400, 2000, 3), 120, dtype=np.uint8)
    canvas[800:1312, 1200:1712] = portrait
    half = cv2.resize(canvas, (1600, 1120), interpolation=cv2.INTER_AREA)
    check_is_her(HaarDetector().detect(half), (POINTS + [1200, 800]) * 0.8)


def test_two_faces_the_larger_first(portrait):
    small = cv2.resize(portrait, (360, 360), interpolation=cv2.INTER_AREA)
    canvas = np.full((512, 872, 3), 120, dtype=np.uint8)
    canvas[:360, :360], canvas[:, 360:] = small, portrait
    faces = HaarDetector().detect(canvas)
    assert len(faces) == 2
    check_is_her(faces[:1], POINTS + [360, 0])
    check_is_her(faces[1:], POINTS * 360 / 512)


@pytest.fixture(scope="module")
def crowds(portrait):
    """She alone and among smaller and larger copies, mirrored, and where the first cascades don't see her at all."""
    canvas = np.full((700, 900, 3), 120, dtype=np.uint8)
    for side, x, y in ((512, 0, 0), (360, 530, 0), (200, 0, 500), (300, 500, 380)):
        small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)[: 700 - y]
        canvas[y : y + len(small), x : x + side] = small
    large = cv2.resize(portrait, (1600, 1600), interpolation=cv2.INTER_CUBIC)
    turned = cv2.rotate(portrait, cv2.ROTATE_90_CLOCKWISE)
    return [portrait, np.ascontiguousarray(portrait[:, ::-1]), portrait[72:165, 180:272], canvas, large, turned]


@pytest.mark.parametrize("number", range(6))
def test_the_largest_alone_is_the_first_of_all(crowds, number):
    everyone, quickly = HaarDetector().detect(crowds[number]), HaarDetector().largest(crowds[number])
    assert quickly
    assert np.array_equal(quickly[0].box, everyone[0].box)
    assert len(quickly) <= len(everyone)


def test_who_wants_the_largest_searches_for_nothing_much_smaller(portrait, monkeypatch):
    asked = []
    run = HaarDetector._run
    monkeypatch.setattr(HaarDetector, "_run", lambda *given: asked.append(given[-1]) or run(*given))
    (face,) = HaarDetector().largest(portrait)
    assert asked[0] == SMALLEST
    assert set(asked[1:]) == {int(NOTICED * face.size / LANDMARK_SHARE)}
    asked.clear()
    HaarDetector().detect(portrait)
    assert set(asked) == {SMALLEST}
    asked.clear()
    HaarDetector(lambda image, box: (box, POINTS, 0.0)).largest(portrait)  # nobody is sure of anything
    assert set(asked) == {SMALLEST}


def test_a_picture_without_a_face():
    x = np.linspace(0, 255, 320)
    assert HaarDetector().detect(np.repeat(x[None, :, None], 240, axis=0).repeat(3, axis=2).astype(np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 1), (10_000, 20), (20, 10_000), (31, 33), (3, 500), (33, 33)])
def test_odd_shapes_are_no_exception(shape):
    def refuse(image, box):
        return box, np.zeros((5, 2)), 0.0

    for detector in (HaarDetector(), HaarDetector(refuse)):
        assert detector.detect(np.full((*shape, 3), 90, dtype=np.uint8)) == []


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError):
        HaarDetector().detect(np.zeros((0, 4, 3), dtype=np.uint8))


# --- the refiner ---


def test_the_refiner_has_the_last_word_on_box_and_points(portrait):
    seen = []

    def refine(image, box):
        seen.append((image.shape, box))
        return np.array([180, 70, 270, 160]), POINTS, 0.9

    face = HaarDetector(refine).detect(portrait)[0]
    assert (face.points5 == POINTS).all()
    assert face.box.tolist() == [180, 70, 270, 160]
    assert all(shape == portrait.shape for shape, _ in seen)


def test_the_refiner_rejects_false_alarms(portrait):
    near = portrait[20:220, 120:330]
    assert HaarDetector(lambda image, box: (box, POINTS, 0.001)).detect(near) == []
    assert HaarDetector(lambda image, box: (box, POINTS * np.nan, 1.0)).detect(near) == []


def test_a_refiner_that_loses_the_face_rejects_it(portrait):
    def lose(image, box):
        raise InputError("nothing there")

    assert HaarDetector(lose).detect(portrait[20:220, 120:330]) == []


def test_proposals_that_become_one_face_are_one(portrait):
    canvas = np.concatenate([portrait, portrait], axis=1)
    same = np.array([180, 70, 270, 160])
    assert len(HaarDetector(lambda image, box: (same, POINTS, 0.9)).detect(canvas)) == 1


def test_a_crop_that_no_cascade_sees_needs_a_very_sure_refiner():
    blank = np.full((80, 70, 3), 128, dtype=np.uint8)
    points = np.arange(10.0).reshape(5, 2)
    assert len(HaarDetector(lambda image, box: (box, points, 0.99)).detect(blank)) == 1
    assert HaarDetector(lambda image, box: (box, points, 0.8)).detect(blank) == []


def test_points_found_in_a_turned_picture_come_back(portrait):
    turned, back = _turn(portrait, 90)

    def refine(image, box):  # knows her only upright: the search turns the picture back by a quarter
        upright = image.shape == portrait.shape and np.abs(image.astype(int) - portrait).mean() < 3
        return box, POINTS, 0.95 if upright else 0.01

    faces = HaarDetector(refine).detect(turned)
    assert len(faces) == 1
    assert np.allclose(faces[0].points5, moved(cv2.invertAffineTransform(back)), atol=0.1)


# --- choosing ---


def face(size: float) -> Face:
    return Face(np.array([0, 0, size, size * 0.8]), np.zeros((5, 2)), 0.9)


def test_the_largest_is_taken_and_said(caplog):
    with caplog.at_level(logging.WARNING, logger="facesnap"):
        assert pick_face([face(200), face(90)], source="us.jpg").size == 200
        assert caplog.messages == ["us.jpg has several faces: the largest was taken (choose another with --face N)"]
        caplog.clear()
        assert pick_face([face(200)]).size == 200
        assert pick_face([face(200), face(90)], index=1).size == 90
        assert caplog.messages == []


def test_choices_that_can_not_be_made():
    with pytest.raises(NoFaceError, match=r"me\.jpg"):
        pick_face([], source="me.jpg")
    for index in (2, -1):
        with pytest.raises(UsageError, match=r"2 face\(s\)"):
            pick_face([face(200), face(90)], index=index)
    with pytest.raises(FaceTooSmallError, match="30 pixels, at least 48"):
        pick_face([face(30)])
    assert pick_face([face(30)], min_size=20).size == 30
