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
    assert options.parse_pose(None, None, None, None, None) is None
    assert options.parse_pose(Path("driver.jpg"), None, None, None, []) is None


def test_angles_and_expressions_become_a_pose() -> None:
    pose = options.parse_pose(None, 20.0, None, -5.0, ["jawOpen=0.5", "mouthPucker"])
    assert pose is not None
    assert (pose.yaw, pose.pitch, pose.roll) == (20.0, 0.0, -5.0)
    assert dict(pose.expression) == {"jawOpen": 0.5, "mouthPucker": 1.0}


def test_an_angle_of_zero_is_a_pose_too() -> None:
    pose = options.parse_pose(None, 0.0, None, None, None)
    assert pose is not None
    assert pose.yaw == 0.0


def test_pose_from_excludes_a_spelled_out_pose() -> None:
    with pytest.raises(UsageError, match="--pose-from"):
        options.parse_pose(Path("driver.jpg"), None, None, None, ["smile"])


@pytest.mark.parametrize("word", ["smile=", "smile = 1", "smile"])
def test_amount_is_optional_and_spaces_do_no_harm(word: str) -> None:
    assert options.parse_expression([word]) == {"smile": 1.0}


def test_amount_must_be_a_number() -> None:
    with pytest.raises(UsageError, match="'lots' is not a number"):
        options.parse_expression(["smile=lots"])


def test_a_missing_photo_is_refused_before_any_model_is_loaded() -> None:
    with pytest.raises(ImageError, match=r"nobody\.jpg"):
        options.check_photos(None, Path("nobody.jpg"))
