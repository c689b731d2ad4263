"""Options shared by commands: poses spelled out in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesnap.cli import options
from facesnap.core.errors import ImageError, UsageError


@pytest.mark.parametrize(
    ("words", "carried"), [("hair,beard", ("hair", "beard")), (" beard ", ("beard",)), ("none", ()), ("None", ())]
)
def test_what_is_carried_is_a_list_or_none(words: str, carried: tuple[str, ...]) -> None:
    assert options.parse_carry(words) == carried


def test_no_option_asks_for_no_pose() -> None:
    assert options.parse_pose(None) is None
    assert options.parse_pose(Path("driver.jpg"), expression=[]) is None


def test_angles_and_expressions_become_a_pose() -> None:
    pose = options.parse_pose(None, yaw=20.0, roll=-5.0, expression=["jawOpen=0.5", "mouthPucker"])
    assert pose is not None
    assert (pose.yaw, pose.pitch, pose.roll) == (20.0, 0.0, -5.0)
    assert dict(pose.expression) == {"jawOpen": 0.5, "mouthPucker": 1.0}


def test_an_angle_of_zero_is_a_pose_too() -> None:
    pose = options.parse_pose(None, yaw=0.0)
    assert pose is not None
    assert pose.yaw == 0.0


def test_pose_from_excludes_a_spelled_out_pose() -> None:
    with pytest.raises(UsageError, match="--pose-from"):
        options.parse_pose(Path("driver.jpg"), expression=["smile"])


@pytest.mark.parametrize("word", ["smile=", "smile = 1", "smile"])
def test_amount_is_optional_and_spaces_do_no_harm(word: str) -> None:
    assert options.parse_expression([word]) == {"smile": 1.0}


def test_amount_must_be_a_number() -> None:
    with pytest.raises(UsageError, match="'lots' is not a number"):
        options.parse_expression(["smile=lots"])


def test_a_missing_photo_is_refused_before_any_model_is_loaded() -> None:
    with pytest.raises(ImageError, match=r"nobody\.jpg"):
        options.check_photos(None, Path("nobody.jpg"))


def test_gaze_and_framing_are_part_of_a_pose() -> None:
    pose = options.parse_pose(None, gaze="-20, 5", face_scale=0.4, face_centre="0.3,0.6")
    assert pose is not None
    assert (pose.gaze, pose.scale, pose.centre) == ((-20.0, 5.0), 0.4, (0.3, 0.6))
    for words in ("5", "1,2,3", "a,b"):
        with pytest.raises(UsageError, match="write two numbers"):
            options.parse_pose(None, gaze=words)


def test_arkits_weights_leave_the_head_to_the_angles(tmp_path: Path) -> None:
    file = tmp_path / "take.json"
    file.write_text('{"jawOpen": 0.5}')
    pose = options.parse_pose(file, yaw=10.0)
    assert pose is not None
    assert (pose.yaw, dict(pose.expression)) == (10.0, {"jawOpen": 0.5})
    with pytest.raises(UsageError, match=r"take\.json says the expression"):
        options.parse_pose(file, expression=["smile"])
