"""A batch of portraits: each is what a call by itself makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.passes.many import Portrait


@pytest.fixture
def people(snap: FaceSnap) -> list[Identity]:
    photos = np.random.default_rng(5).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)
    snap.analyser.detector = FixedDetector((30, 30, 120, 120))
    return [snap.enroll(photo) for photo in photos]


def bytes_of(image: Any) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_each_is_as_by_itself(snap: FaceSnap, people: list[Identity]) -> None:
    me, you = people
    made = snap.many(
        [
            Portrait("a face", me, Pose(yaw=20), seeds=[3, 4]),
            Portrait("a red hat", you, Pose(yaw=-20), negative_prompt="blue", seeds=5),
        ]
    )
    assert [len(result.images) for result in made] == [2, 1]
    alone = [
        snap("a face", me, Pose(yaw=20), seed=[3, 4], num_images_per_prompt=2),
        snap("a red hat", you, Pose(yaw=-20), negative_prompt="blue", seed=5),
    ]
    for result, single in zip(made, alone, strict=True):
        assert result.settings == single.settings
        assert np.array_equal(result.landmark_map, single.landmark_map)
        for one, other in zip(result.images, single.images, strict=True):
            assert np.abs(bytes_of(one) - bytes_of(other)).max() <= 1  # sums are taken in another order
    assert np.abs(bytes_of(made[0].images[0]) - bytes_of(made[1].images[0])).max() > 1


def test_report_and_files_are_each_ones_own(snap: FaceSnap, people: list[Identity], tmp_path: Any) -> None:
    first, second = snap.many([Portrait("a face", person, seeds=1) for person in people])
    assert len(first.report) == len(second.report) == 1
    assert [path.name for path in second.save(tmp_path)] == ["portrait-1.png"]
    assert first.provenance()["identity"] != second.provenance()["identity"]


def test_knobs_are_shared(snap: FaceSnap, people: list[Identity]) -> None:
    asked = [Portrait("a face", people[0], seeds=1)]
    (strong,), (weak,) = snap.many(asked), snap.many(asked, identity_scale=0.0)
    assert np.abs(bytes_of(strong.images[0]) - bytes_of(weak.images[0])).max() > 0
    assert weak.settings["identity_scale"] == 0.0


def test_a_seed_is_drawn(snap: FaceSnap, people: list[Identity]) -> None:
    (made,) = snap.many([Portrait("a face", people[0])])
    assert made.settings["seeds"][0] >= 0


@pytest.mark.parametrize(
    ("portraits", "options", "says"),
    [
        ([], {}, "at least one portrait"),
        ([{"seeds": []}], {}, "at least one picture"),
        ([{"seeds": -1}], {}, "must not be negative"),
        ([{}], {"prompt_embeds": 1}, "prompt_embeds is not of a batch"),
        ([{}], {"latents": 1}, "latents is not of a batch"),
        ([{}], {"num_inference_step": 1}, "unknown option num_inference_step"),
        ([{"prompt": " "}], {}, "empty"),
    ],
)
def test_refused(
    snap: FaceSnap, people: list[Identity], portraits: list[Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        snap.many([Portrait(**{"prompt": "a face", "identity": people[0], **each}) for each in portraits], **options)


def test_only_portraits_of_one_identity(snap: FaceSnap, people: list[Identity]) -> None:
    for wrong in (people, [Portrait("a face", people)]):  # type: ignore[arg-type, list-item]
        with pytest.raises(UsageError, match="a list of Portrait"):
            snap.many(wrong)  # type: ignore[arg-type]
    (made,) = snap.many([Portrait("a face", people[0], seeds=np.array([3, 4]))])
    assert made.settings["seeds"] == [3, 4]
