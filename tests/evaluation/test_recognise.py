from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from facesnap.core.errors import InputError, UsageError
from facesnap.evaluation import recognise as module
from facesnap.evaluation.recognise import before_face, clean, conditions, figures, recognise, table
from facesnap.faces.networks import build_network
from facesnap.training.config import mini_config
from facesnap.training.mini.data import Split
from facesnap.training.mini.face import FaceStage
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


def _part(split: Split, rows: slice, step: int = 1) -> Split:
    """Rows of a split; every ``step``-th pixel."""
    world = split.world
    values = {field.name: getattr(world, field.name) for field in dataclasses.fields(world)}
    cut = {name: value[rows] for name, value in values.items() if value is not None}
    return Split(dataclasses.replace(world, **{**cut, "images": world.images[rows, ::step, ::step]}))


@pytest.mark.parametrize(
    ("rows", "step", "said"),
    [
        (slice(0, 5 * PICTURES), 1, "holds 5 people with 6 or more pictures: ask about at least 20 with 2"),
        (slice(0, None, PICTURES), 1, "holds 30 people with 1 or more pictures"),
        (slice(None), 2, "are 64 px, those of .* 32"),
    ],
)
def test_what_gives_no_figures_is_refused_before_training(split, tmp_path, monkeypatch, rows, step, said):
    others = Split(dataclasses.replace(split.world, person=split.world.person + 1000))
    asked = _part(others, rows, step)
    monkeypatch.setattr(module.Split, "read", lambda folder: asked if folder == tmp_path / "others" else split)
    with pytest.raises(InputError, match=said):
        recognise(tmp_path, tmp_path / "others", tmp_path / "out", steps=2)
    assert not (tmp_path / "out").exists()


def test_a_trained_start_knows_its_people_before_the_first_step(split, tmp_path):
    config = mini_config("cpu").face
    network = build_network({"architecture": config.architecture})
    colours = np.random.default_rng(3).integers(0, 255, (PEOPLE, 1, 1, 3))
    images = np.repeat(np.broadcast_to(colours, (PEOPLE, 64, 64, 3)), PICTURES, axis=0).astype(np.uint8)
    points = np.broadcast_to(split.world.landmarks2d[:1], split.world.landmarks2d.shape)
    split = Split(dataclasses.replace(split.world, images=images, landmarks2d=points))
    stage = FaceStage(config, split, split, tmp_path, torch.device("cpu"), "recogniser")

    def known() -> float:
        vectors = torch.from_numpy(stage.embed(split))
        classes = torch.nn.functional.normalize(stage.head.weight.detach())
        cosine = (vectors - vectors.mean(dim=0)) @ classes.T  # without training, all vectors are almost the same
        return float((cosine.argmax(dim=1) == stage.person).float().mean())

    assert known() < 0.2
    stage.start_from(network)
    assert known() > 0.8


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
