from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.serving.scripted import request

from facesnap.core.errors import UsageError
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.serving.config import Limits, first_problem
from facesnap.serving.requests import GenerationRequest, JobState, PoseRequest, PreviewRequest


def test_a_pose_travels_there_and_back() -> None:
    pose = Pose(20, -5, 3, {"smile": 0.5}, (4.0, 1.0), camera=Camera(0.02, 0.5, 0.4, 0.01))
    sent = PoseRequest.of(pose).model_dump_json()
    assert PoseRequest.model_validate_json(sent).pose() == pose
    assert PoseRequest().pose() == Pose()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"yaw": 99}, "yaw=99 is out of range: use -60 to 60 degrees"),
        ({"expression": {"grin": 1}}, "unknown expression 'grin'"),
        ({"gaze": (90, 0)}, "gaze yaw=90 is out of range"),
        ({"scale": 9}, "scale=9 is out of range"),
        ({"yaw": float("nan")}, "finite"),
        ({"expression": {"smile": float("inf")}}, "finite"),
        ({"tilt": 1}, "tilt"),
    ],
)
def test_wrong_poses_say_what_core_says(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PoseRequest(**values)
    assert said in first_problem(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"identity": "../../etc/passwd!"},
        {"identity": "a" * 16 + "\n"},
        {"identity": "a" * 17},
        {"prompt": " \n "},
        {"num_images": 0},
        {"seed": -1},
        {"seed": 2**53},
        {"guidance_scale": float("nan")},
        {"width": -8},
        {"image": "/etc/passwd"},
    ],
)
def test_requests_that_nobody_could_follow_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**values)


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        ({"num_images": 9}, "num_images: 9 .* at most 8"),
        ({"num_inference_steps": 101}, "num_inference_steps: 101 .* at most 100"),
        ({"width": 2048}, "width: 2048 .* at most 1024"),
        ({"height": 1032}, "height: 1032 .* at most 1024"),
        ({"prompt": "a" * 2001}, "prompt: 2001 .* at most 2000"),
        ({"negative_prompt": "a" * 2001}, "negative_prompt: 2001 .* at most 2000"),
    ],
)
def test_limits_are_named_with_their_bound(values: dict[str, Any], bound: str) -> None:
    asked = request(**values)
    with pytest.raises(UsageError, match=bound):
        asked.check(Limits())


def test_what_the_limits_allow_passes() -> None:
    most = request(num_images=8, num_inference_steps=100, width=1024, height=1024, prompt="a" * 2000)
    most.check(Limits())
    PreviewRequest(identity="a" * 16, width=1024).check(Limits())
    with pytest.raises(UsageError, match="width"):
        PreviewRequest(identity="a" * 16, width=1032).check(Limits())


def test_only_jobs_that_can_be_painted_at_once_share_their_key() -> None:
    one = request(carry=["hair", "beard"])
    others = request("b" * 16, prompt="else", negative_prompt="x", seed=4, num_images=2, carry=["beard", "hair"])
    posed = request(pose=PoseRequest(yaw=5), carry=["beard", "hair"])
    assert one.shared_key() == others.shared_key() == posed.shared_key()
    different: list[dict[str, Any]] = [
        {"model": "other"}, {"width": 64}, {"height": 64}, {"num_inference_steps": 5}, {"guidance_scale": 1.0},
        {"identity_scale": 0.5}, {"landmark_scale": 0.5}, {"speed": "fast"}, {"carry": []},
    ]  # fmt: skip
    keys = {request(**values).shared_key() for values in different}
    assert len(keys) == len(different)
    assert request().shared_key() not in keys
    assert {name for values in different for name in values} | {
        "identity", "prompt", "negative_prompt", "pose", "seed", "num_images"
    } == set(GenerationRequest.model_fields)  # fmt: skip


def test_states_know_their_end() -> None:
    assert [state.value for state in JobState if not state.final] == ["queued", "running"]
    assert json.dumps(JobState.done) == '"done"'
