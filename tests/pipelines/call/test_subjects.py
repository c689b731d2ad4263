"""Several people in one picture, each with an identity, a pose and a place of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.call.subjects import Subject, everyone
from facesnap.pipelines.facade import FaceSnap

WIDE = {"width": 128, "height": 64}
LEFT, RIGHT = (0, 0, 64, 64), (64, 0, 128, 64)


@pytest.fixture
def pair(snap: FaceSnap, photo: np.ndarray) -> tuple[Identity, Identity]:
    return snap.enroll(photo), snap.enroll(photo[::-1].copy())


def made(snap: FaceSnap, people: list[Subject], **options: Any) -> np.ndarray:
    given = {**WIDE, "seed": 1, "output_type": "np", "num_inference_steps": 2, **options}
    return np.asarray(snap("two people", people, **given).images[0])


def test_each_is_drawn_in_their_own_place(snap: FaceSnap, pair: tuple[Identity, Identity]) -> None:
    me, you = pair
    result = snap("two people", [Subject(me, Pose(), LEFT), Subject(you, Pose(yaw=20), RIGHT)], seed=1, **WIDE)
    first, second = result.landmarks
    assert first[:, 0].max() < 64 < second[:, 0].min()
    alone = snap.conditions(you, Pose(yaw=20), (64, 64)).landmarks
    assert np.allclose(second, alone + [64, 0], atol=1e-6), "a pose's framing is relative to the box"
    assert result.landmark_map[:, :64].any()
    assert result.landmark_map[:, 64:].any()


def test_everyone_matters(snap: FaceSnap, pair: tuple[Identity, Identity]) -> None:
    me, you = pair
    both = made(snap, [Subject(me, Pose(), LEFT), Subject(you, Pose(), RIGHT)])
    for others in ((you, you), (me, me), (you, me)):
        swapped = made(snap, [Subject(others[0], Pose(), LEFT), Subject(others[1], Pose(), RIGHT)])
        assert np.abs(both - swapped).max() > 1e-4
    posed = made(snap, [Subject(me, Pose(), LEFT), Subject(you, Pose(yaw=30), RIGHT)])
    assert np.abs(both - posed).max() > 1e-4


def test_one_in_the_whole_picture_is_the_plain_call(snap: FaceSnap, pair: tuple[Identity, Identity]) -> None:
    plain = made(snap, pair[0], pose=Pose())  # type: ignore[arg-type]
    assert np.array_equal(made(snap, [Subject(pair[0], Pose())]), plain)
    everywhere = made(snap, [Subject(pair[0], Pose(), np.ones((64, 128), bool))])
    assert np.abs(everywhere - plain).max() < 1e-4


def test_a_mask_does_what_its_box_does(snap: FaceSnap, pair: tuple[Identity, Identity]) -> None:
    mask = np.zeros((64, 128), dtype=bool)
    mask[:, :64] = True
    boxed, masked = (
        made(snap, [Subject(pair[0], Pose(), region), Subject(pair[1], Pose(), RIGHT)]) for region in (LEFT, mask)
    )
    assert np.array_equal(boxed, masked)


def test_the_report_speaks_of_everyone(snap: FaceSnap, pair: tuple[Identity, Identity]) -> None:
    people = [Subject(pair[0], Pose(), (0, 0, 96, 96)), Subject(pair[1], Pose(), (96, 0, 192, 96))]
    result = snap("two people", people, seed=3, width=192, height=96, num_inference_steps=2)
    snap.analyser.detector = FixedDetector((2, 2, 90, 90), (98, 2, 190, 90))
    report = result.report
    assert [(each.seed, each.subject) for each in report] == [(3, 0), (3, 1)]
    assert "person 2" in str(report)
    assert all(each.landmark_nme is not None and each.landmark_nme < 3 for each in report), "each their own face"
    assert len(result.settings["pose"]) == 2


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((0, 0, 20, 64), "under 32 pixels"),
        ((0, 0, 64), "a box"),
        ("left", "a box"),
        (np.zeros((64, 128)), "empty"),
        (np.full((64, 128), 2.0), "from 0 to 1"),
    ],
)
def test_regions_that_are_none(snap: FaceSnap, pair: tuple[Identity, Identity], region: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Subject(pair[0], region=region)


def test_people_that_cannot_be(snap: FaceSnap, pair: tuple[Identity, Identity]) -> None:
    me, you = pair
    for people, message in (
        ([Subject(me), Subject(you, region=RIGHT)], "needs a region"),
        ([], "give an identity"),
        ([me, you], "list of Subject"),
        ([Subject(me, Pose(), (64, 0, 140, 64))], "does not lie in a picture of 128 x 64"),
        ([Subject(me, Pose(), np.ones((32, 32)))], "of the picture's size"),
    ):
        with pytest.raises(UsageError, match=message):
            made(snap, people)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="leave out pose"):
        everyone([Subject(me)], Pose())
