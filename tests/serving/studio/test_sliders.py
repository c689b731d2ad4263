from __future__ import annotations

import pytest
from pydantic import ValidationError

from facesnap.core.arkit import INDEX, PRESETS
from facesnap.core.pose import Pose
from facesnap.serving.requests import CameraRequest, PoseRequest
from facesnap.serving.studio import sliders


def test_every_slider_moves_real_weights_once() -> None:
    names = [name for move in sliders.MOVES for name in move.names]
    assert set(names) <= set(INDEX)
    assert len(set(names)) == len(names)
    assert "Smile (mouthSmile)" in [move.shown for move in sliders.MOVES]
    assert "Left eye closed (eyeBlink_L)" in [move.shown for move in sliders.MOVES]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_the_sliders(name: str) -> None:
    weights = sliders.preset(name, 0.8)
    assert sliders.moved(weights, sliders.shown(weights)) == weights
    assert Pose(expression=weights) == Pose(expression={name: 0.8})


def test_a_slider_sets_both_sides_and_nothing_else() -> None:
    weights = {"mouthSmile_L": 0.4, "mouthSmile_R": 0.2, "mouthRollLower": 0.5, "jawOpen": 0.1}
    values = sliders.shown(weights)
    assert values[0] == pytest.approx(0.3)
    values[0] = 0.6
    assert sliders.moved(weights, values) == {**weights, "mouthSmile_L": 0.6, "mouthSmile_R": 0.6}
    values[0] = 0.0
    assert "mouthSmile_L" not in sliders.moved(weights, values)


def test_poses_and_sliders_agree() -> None:
    pose = PoseRequest(
        yaw=20, pitch=-5, roll=3, gaze=(10, -4), scale=0.6, centre=(0.4, 0.5), expression={"jawOpen": 0.3}
    )
    assert sliders.pose_of(sliders.head_of(pose), pose.expression) == pose
    assert sliders.pose_of(sliders.STRAIGHT, {}) == PoseRequest()
    camera = CameraRequest(scale=0.03, cx=0.5, cy=0.5)
    assert sliders.pose_of(sliders.STRAIGHT, {}, camera).camera == camera


def test_a_gaze_takes_the_place_of_eye_weights() -> None:
    weights = {"eyeLookUp_L": 0.5, "jawOpen": 0.2}
    assert sliders.pose_of(sliders.STRAIGHT, weights).expression == weights
    looking = (*sliders.STRAIGHT[:3], 5.0, 0.0, *sliders.STRAIGHT[5:])
    assert sliders.pose_of(looking, weights).expression == {"jawOpen": 0.2}
    with pytest.raises(ValidationError, match="yaw=99"):
        sliders.pose_of((99.0, *sliders.STRAIGHT[1:]), {})


def test_eyes_find_the_camera_as_far_as_they_go() -> None:
    assert sliders.into_camera(20, -10) == (-20, 10)
    assert sliders.into_camera(60, 45) == (-30, -25)


def test_poses_in_words() -> None:
    assert sliders.said(PoseRequest(yaw=12.5, expression={"jawOpen": 0.25})) == (
        "turned 12.5°, up 0°, tilted 0°, jawOpen 0.25"
    )
