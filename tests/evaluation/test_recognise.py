from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from facesnap.core.errors import UsageError
from facesnap.evaluation import recognise as module
from facesnap.evaluation.recognise import before_face, clean, conditions, figures, recognise, table
from facesnap.training.mini.data import Split
from facesnap.world.datasets.reading import WorldData

PEOPLE, PICTURES = 30, 6
#: Per picture of a person: yaw, style, occluder, glasses.
SHOWN = (
    (0.0, "photo", "none", "none"), (5.0, "photo", "none", "none"), (-50.0, "photo", "none", "none"),
    (3.0, "pencil", "none", "none"), (2.0, "photo", "mask", "none"), (1.0, "photo", "none", "aviator sunglasses"),
)  # fmt: skip


@pytest.fixture
def split() -> Split:
    count = PEOPLE * PICTURES
    rng = np.random.default_rng(0)
    yaw = np.tile([s[0] for s in SHOWN], PEOPLE)
    points = rng.uniform(20, 44, (count, 72, 2)).astype(np.float32)
    points[:, 36:44, 0], points[:, 44:52, 0] = 22, 42  # eyes apart, so that crops can be aligned
    shown = [
        {"style": s, "occluder": o, "occluder_hides": "mouth" if o == "mask" else "none", "glasses": g}
        for _ in range(PEOPLE)
        for _, s, o, g in SHOWN
    ]
    return Split(
        WorldData(
            images=rng.integers(0, 255, (count, 64, 64, 3)).astype(np.uint8),
            person=np.repeat(np.arange(PEOPLE), PICTURES) + 5, identity=np.zeros((count, 100), np.float32),
            pose=np.stack([yaw, 0 * yaw, 0 * yaw], axis=1).astype(np.float32), camera=np.zeros((count, 4), np.float32),
            expression=np.zeros((count, 53), np.float32), landmarks2d=points,
            landmarks3d=np.zeros((count, 72, 3), np.float32), visible=np.ones((count, 72), bool),
            captions=[["a person"]] * count, attributes=shown, style=[a["style"] for a in shown],
        )
    )  # fmt: skip


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_perfect_and_blind_recognisers_get_their_figures(split):
    rng = np.random.default_rng(1)
    own = np.repeat(_unit(rng.normal(size=(PEOPLE, 64))), PICTURES, axis=0)
    perfect = figures(own, split)
    assert (perfect["accuracy"], perfect["tar_at_far_1e-3"]) == (1.0, 1.0)
    assert perfect["pairs_same"] == PEOPLE * PICTURES * (PICTURES - 1) // 2
    blind = figures(_unit(rng.normal(size=own.shape)), split)
    assert blind["accuracy"] == pytest.approx(0.5, abs=0.06)
    assert blind["tar_at_far_1e-3"] < 0.02


@pytest.mark.parametrize(
    ("worn", "before"),
    [
        ({}, "nothing"),
        ({"glasses": "cat-eye"}, "clear glasses"),
        ({"glasses": "round sunglasses"}, "sunglasses"),
        ({"occluder": "scarf", "occluder_hides": "neck, other folds"}, "nothing"),
        ({"occluder": "scarf", "occluder_hides": "mouth", "glasses": "round"}, "scarf"),
    ],
)
def test_what_is_before_the_face(worn, before):
    assert before_face({"occluder": "none", "occluder_hides": "none", "glasses": "none", **worn}) == before


def test_a_condition_that_hides_identity_shows(split):
    rng = np.random.default_rng(2)
    vectors = np.repeat(_unit(rng.normal(size=(PEOPLE, 64))), PICTURES, axis=0)
    drawn = np.array(split.world.style) == "pencil"
    vectors[drawn] = _unit(rng.normal(size=(int(drawn.sum()), 64)))
    by = figures(vectors, split)["by_condition"]
    assert by["style: pencil"]["tar"] < 0.05
    assert (
        by["yaw 45 to 60"]["tar"]
        == by["before the face: mask"]["tar"]
        == by["before the face: sunglasses"]["tar"]
        == 1.0
    )
    assert by["style: pencil"]["pictures"] == PEOPLE


def test_conditions_are_what_they_say(split):
    assert clean(split).reshape(PEOPLE, PICTURES)[0].tolist() == [True, True, False, False, False, False]
    named = {name: chosen.reshape(PEOPLE, PICTURES)[0].tolist() for name, chosen in conditions(split).items()}
    assert named["yaw 45 to 60"] == [False, False, True, False, False, False]
    assert named["style: pencil"] == [False, False, False, True, False, False]
    assert named["before the face: nothing"] == [True, True, False, False, False, False]


def test_training_and_asking_in_one_go(split, tmp_path, monkeypatch):
    others = Split(dataclasses.replace(split.world, person=split.world.person + 1000))
    monkeypatch.setattr(module.Split, "read", lambda folder: others if folder == tmp_path / "others" else split)
    with pytest.raises(UsageError, match="another split"):
        recognise(tmp_path, tmp_path, tmp_path / "out", steps=2)
    found = recognise(tmp_path, tmp_path / "others", tmp_path / "out", steps=2, say=lambda line: None)
    assert json.loads((tmp_path / "out" / "recognition.json").read_text()) == found
    assert found["steps"] == 2
    assert 0 <= found["accuracy"] <= 1
    assert "| style: pencil | 30 |" in table(found)
    again = recognise(
        *(tmp_path, tmp_path / "others", tmp_path / "again"),
        steps=1,
        start=tmp_path / "out" / "recogniser",
        say=lambda line: None,
    )
    assert again["start"] == "recogniser"
