"""Test people come from the test split alone, and each gets one fixed trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.conftest import SHOWN

from facesnap.core.arkit import INDEX, NUM_EXPRESSIONS
from facesnap.core.errors import UsageError
from facesnap.core.types import rotation_matrix
from facesnap.evaluation import subjects
from facesnap.training import heldout
from facesnap.world.datasets.reading import WorldData
from facesnap.world.datasets.splits import SPLITS

SIZE, PEOPLE, RENDERS = 16, 3, 4


def world(first: int = SPLITS["test"]) -> WorldData:
    count = PEOPLE * RENDERS
    rng = np.random.default_rng(0)
    expression = np.zeros((count, NUM_EXPRESSIONS), dtype=np.float32)
    expression[:, INDEX["jawOpen"]] = 0.5
    return WorldData(
        images=rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8),
        person=np.repeat(np.arange(first, first + PEOPLE), RENDERS),
        identity=np.zeros((count, 100), np.float32),
        pose=rng.uniform(-20, 20, (count, 3)).astype(np.float32),
        camera=np.tile(np.array([0.5, 8, 9, 0.01], dtype=np.float32), (count, 1)),
        expression=expression,
        landmarks2d=rng.uniform(0, SIZE, (count, 72, 2)).astype(np.float32),
        landmarks3d=np.zeros((count, 72, 3), np.float32),
        visible=np.ones((count, 72), bool),
        captions=[[f"caption {i}", "short"] for i in range(count)],
        attributes=[SHOWN for _ in range(count)],
        style=["photo"] * count,
    )


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.tar").touch()
    monkeypatch.setattr(heldout, "read_shards", lambda folder: world())
    return tmp_path


def anything(prompt: str) -> bool:
    return True


def load(folder: Path, people: int = PEOPLE) -> list[subjects.Subject]:
    return subjects.load_subjects(folder, "test", people, RENDERS, 0, "cpu", SIZE)


def test_a_trial_asks_for_the_targets_caption_and_pose(shards: Path) -> None:
    people = load(shards, 2)
    assert [subject.person for subject in people] == [SPLITS["test"], SPLITS["test"] + 1]
    trial = subjects.make_trials(people, 0, anything)[1]
    row = RENDERS + 1
    assert (trial.reference, trial.target, trial.gallery) == (0, 1, (2, 3))
    assert trial.prompt == f"caption {row}"
    np.testing.assert_allclose(trial.pose.rotation(), rotation_matrix(*world().pose[row]))
    assert dict(trial.pose.expression) == {"jawOpen": 0.5}
    assert trial.pose.camera is not None
    assert trial.pose.camera.absolute((SIZE, SIZE)).cy == pytest.approx(9)
    np.testing.assert_array_equal(people[1].shots[1].landmarks, world().landmarks2d[row])


def test_a_caption_too_long_gives_way_to_a_shorter_one(shards: Path) -> None:
    people = load(shards)
    assert subjects.make_trials(people, 0, lambda prompt: len(prompt) < 6)[0].prompt == "short"
    with pytest.raises(UsageError, match="too long"):
        subjects.make_trials(people, 0, lambda prompt: False)


def test_seeds_differ_between_people_and_repeat(shards: Path) -> None:
    people = load(shards)
    seeds = [trial.seed for trial in subjects.make_trials(people, 0, anything)]
    assert len(set(seeds)) == PEOPLE
    assert seeds == [trial.seed for trial in subjects.make_trials(people, 0, anything)]
    assert seeds != [trial.seed for trial in subjects.make_trials(people, 1, anything)]


def test_other_renders_make_another_trial(shards: Path) -> None:
    subject = load(shards)[0]
    brighter = replace(subject, shots=[replace(shot, image=shot.image ^ 1) for shot in subject.shots])
    assert subjects.make_trials([subject], 0, anything) != subjects.make_trials([brighter], 0, anything)


@pytest.mark.parametrize("split", ["train", "judge", "nobody"])
def test_what_was_learnt_from_is_refused_by_name(split: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="held out"):
        heldout.held_out(tmp_path, split, 2, 4, 0, "cpu", SIZE)


def test_training_people_in_a_folder_are_refused(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heldout, "read_shards", lambda folder: world(SPLITS["train"]))
    with pytest.raises(UsageError, match="not of the split"):
        load(shards)


def test_too_few_people_and_another_size_are_refused(shards: Path) -> None:
    with pytest.raises(UsageError, match="needed"):
        load(shards, PEOPLE + 1)
    with pytest.raises(UsageError, match="16 pixels"):
        heldout.held_out(shards, "test", 2, 4, 0, "cpu", 2 * SIZE)


def test_an_empty_folder_is_rendered_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(heldout, "render_split", lambda *values: asked.append(values) or tmp_path / "test")
    monkeypatch.setattr(heldout, "read_shards", lambda folder: world())
    load(tmp_path)
    assert asked == [(tmp_path, "test", PEOPLE, RENDERS, 2, 0, "cpu", SIZE)]
