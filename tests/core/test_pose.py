"""Pose as a value: ranges, gaze, mirrors, what lies between two poses, and other people's files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesnap.core.arkit import EXPRESSIONS, INDEX, blendshapes, mirrored_name
from facesnap.core.errors import InputError, UsageError
from facesnap.core.pose import Pose
from facesnap.core.types import Camera

CAMERA = Camera(0.03, 0.4, 0.5, 0.01)
FULL = Pose(20.0, -5.0, 3.0, {"jawOpen": 0.5, "mouthSmile_L": 0.25, "jawLeft": 0.125}, (-20.0, 5.0), 0.4, (0.3, 0.6))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"yaw": 90}, r"yaw=90 is out of range: use -60 to 60 degrees"),
        ({"pitch": float("nan")}, r"pitch=nan"),
        ({"expression": {"jawOpen": 1.5}}, r"jawOpen=1\.5 is out of range: use 0 to 1"),
        ({"expression": {"grin": 1}}, r"unknown expression 'grin'"),
        ({"gaze": (40, 0)}, r"gaze yaw=40 is out of range: use -30 to 30 degrees"),
        ({"gaze": 10}, r"gaze=10 must be two numbers"),
        ({"gaze": (5, 0), "expression": {"eyeLookUp_L": 0.1}}, r"eyeLookUp_L: leave one of them out"),
        ({"scale": 0}, r"scale=0 is out of range"),
        ({"centre": (0.5, 1.5)}, r"centre y=1\.5 is out of range: use 0 to 1"),
    ],
)
def test_what_is_out_of_range_is_named_with_the_range(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Pose(**wrong)


def test_a_gaze_to_the_subjects_left_moves_the_lids_there() -> None:
    weights = Pose(gaze=(-15.0, -12.5)).weights()  # as a yaw: above 0 is to the subject's right
    moved = {name: weights[INDEX[name]] for name in EXPRESSIONS if weights[INDEX[name]]}
    assert moved == {
        "eyeLookOut_L": pytest.approx(0.5), "eyeLookIn_R": pytest.approx(0.5),
        "eyeLookDown_L": pytest.approx(0.5), "eyeLookDown_R": pytest.approx(0.5),
    }  # fmt: skip
    closed = Pose(gaze=(-15.0, 0.0), expression={"eyeBlink_L": 1.0}).weights()
    assert closed[INDEX["eyeLookOut_L"]] == 0
    assert closed[INDEX["eyeLookIn_R"]] == pytest.approx(0.5)


def test_a_mirror_twice_is_the_pose() -> None:
    mirrored = FULL.framed(CAMERA).mirrored()
    assert mirrored.expression == {"jawOpen": 0.5, "mouthSmile_R": 0.25, "jawRight": 0.125}
    assert (mirrored.yaw, mirrored.pitch, mirrored.roll) == (-20.0, -5.0, -3.0)
    assert mirrored.gaze == (20.0, 5.0)
    assert mirrored.camera is not None
    assert mirrored.camera.cx == pytest.approx(0.6)
    again = mirrored.mirrored()
    assert again.expression == FULL.expression
    assert again.centre == pytest.approx(FULL.centre)
    assert {mirrored_name(name) for name in EXPRESSIONS} == set(EXPRESSIONS)


def test_half_way_is_the_mean() -> None:
    half = Pose(yaw=-10.0, gaze=(10.0, 0.0)).towards(FULL, 0.5)
    assert (half.yaw, half.pitch) == (5.0, -2.5)
    assert half.expression["jawOpen"] == pytest.approx(0.25)
    np.testing.assert_allclose(half.weights(), (Pose(gaze=(10.0, 0.0)).weights() + FULL.weights()) / 2, atol=1e-6)
    assert half.centre == pytest.approx((0.4, (0.515 + 0.6) / 2))
    np.testing.assert_allclose(FULL.towards(Pose(), 0.0).weights(), FULL.weights(), atol=1e-6)
    framed = Pose().framed(CAMERA).towards(Pose().framed(Camera(0.05, 0.4, 0.5, 0.01)), 0.5)
    assert framed.camera == Camera(0.04, 0.4, 0.5, 0.01)


def test_between_a_camera_and_none_there_is_nothing() -> None:
    with pytest.raises(UsageError, match="one pose has a camera"):
        Pose().towards(Pose().framed(CAMERA), 0.5)
    with pytest.raises(UsageError, match=r"share=2 is out of range: use 0 to 1"):
        Pose().towards(FULL, 2)


@pytest.mark.parametrize("pose", [Pose(), FULL, FULL.framed(CAMERA)])
def test_json_and_pickle_keep_a_pose(pose: Pose) -> None:
    assert Pose.from_json(json.loads(json.dumps(pose.to_json()))) == pose
    assert pickle.loads(pickle.dumps(pose)) == pose


@pytest.mark.parametrize(
    "wrong", [{"smile": 1}, {"camera": {"focal": 50}}, {"gaze": 5}, {"expression": ["smile"]}, {"yaw": "left"}]
)
def test_json_of_something_else_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Pose.from_json(wrong)


def test_lists_are_taken_for_pairs() -> None:
    pose = Pose(centre=[0.4, 0.5], gaze=[1, 2])  # type: ignore[arg-type]
    assert (pose.centre, pose.gaze) == ((0.4, 0.5), (1.0, 2.0))
    assert pose.towards(Pose(), 0.5).centre == pytest.approx((0.45, 0.5075))


@pytest.mark.parametrize(
    "layout",
    [
        {"jawOpen": 0.5, "mouthSmileLeft": 0.25, "browInnerUp": 0.125, "tongueOut": 0.75, "jawLeft": 0.0},
        {"blendShapes": {"JawOpen": 0.5, "MouthSmileLeft": 0.25, "BrowInnerUp": 0.125}, "time": "0:01"},
        {"faceBlendshapes": [{"categories": [
            {"categoryName": "_neutral", "score": 0.9}, {"categoryName": "jawOpen", "score": 0.5},
            {"categoryName": "mouthSmileLeft", "score": 0.25}, {"categoryName": "browInnerUp", "score": 0.125},
        ]}]},
    ],
)  # fmt: skip
def test_arkits_layouts_say_the_same(layout: dict[str, Any], tmp_path: Path) -> None:
    expected = {"jawOpen": 0.5, "mouthSmile_L": 0.25, "browInnerUp_L": 0.125, "browInnerUp_R": 0.125}
    assert dict(Pose.from_arkit(layout).expression) == expected
    (tmp_path / "take.json").write_text(json.dumps(layout))
    pose = Pose.from_arkit(tmp_path / "take.json", yaw=10.0)
    assert (dict(pose.expression), pose.yaw) == (expected, 10.0)


def test_arkits_52_names_are_all_known() -> None:
    single = {name for name in EXPRESSIONS if not name.endswith(("_L", "_R"))}
    sided = {name.removesuffix("_L") for name in EXPRESSIONS if name.endswith("_L")} - {"browInnerUp", "cheekPuff"}
    names = [*single, "browInnerUp", "cheekPuff", *(f"{n}{side}" for n in sided for side in ("Left", "Right"))]
    assert len(names) == 51  # and tongueOut
    assert set(blendshapes(dict.fromkeys(names, 0.5))) == set(EXPRESSIONS)


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ({"jawOpened": 0.5}, UsageError, "unknown blendshape 'jawOpened'"),
        ({}, UsageError, "no blendshapes"),
        ([], UsageError, "no blendshapes"),
        ("nowhere.json", InputError, r"can't read nowhere\.json"),
        ([{"categoryName": "jawOpen"}], InputError, "names with weights"),
        ([{"jawOpen": 0.1}, {"jawOpen": 0.2}], InputError, "2 faces or frames"),
        ([1, 2], InputError, "names with weights"),
    ],
)
def test_what_is_no_blendshape_is_refused(source: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Pose.from_arkit(source)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"a\.json is not JSON"):
        Pose.from_arkit(tmp_path / "a.json")
