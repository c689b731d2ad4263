"""The landmarks suite on readers whose errors are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesnap.core.images import load_image
from facesnap.core.types import Camera, rotation_matrix
from facesnap.core.weights import mini_folder
from facesnap.evaluation.landmarks import accuracy, retarget, robustness, suite
from facesnap.evaluation.landmarks.readings import Readings, read_all
from facesnap.evaluation.subjects import pose_of
from facesnap.faces.detect import HaarDetector
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.pipelines.analyser import refine_with
from facesnap.training.mini.data import Split
from facesnap.world.datasets.reading import WorldData

SIZE, PEOPLE, PICTURES = 256, 12, 4
PHOTO = Path(__file__).parents[2] / "examples" / "eileen_collins.jpg"


@pytest.fixture(scope="module")
def morphable() -> MorphableLandmarks:
    return MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)


@pytest.fixture(scope="module")
def split(morphable: MorphableLandmarks) -> Split:
    """People whose heads the morphable model says exactly; their pictures are grey."""
    rng = np.random.default_rng(0)
    count = PEOPLE * PICTURES
    full = np.repeat(rng.normal(0, 1, (PEOPLE, 100)), PICTURES, axis=0).astype(np.float32)
    weights = rng.uniform(0, 0.3, (count, 53)).astype(np.float32)
    pose = np.stack([np.linspace(-50, 50, count), rng.normal(0, 5, count), rng.normal(0, 5, count)], 1)
    camera = np.tile([SIZE / 27.0, SIZE / 2, SIZE / 2, 1 / 90], (count, 1))
    heads = morphable.landmarks3d(morphable.shape_from_full(full), weights)
    points = [Camera(*c).project(h @ rotation_matrix(*a).T) for c, h, a in zip(camera, heads, pose, strict=True)]
    return Split(WorldData(
        images=np.full((count, SIZE, SIZE, 3), 127, np.uint8), person=np.repeat(np.arange(PEOPLE), PICTURES),
        identity=full, pose=pose, camera=camera, expression=weights, landmarks2d=np.stack(points),
        landmarks3d=heads.astype(np.float64), visible=np.ones((count, 72), bool), captions=[["a person"]] * count,
        attributes=[{}] * count, style=["photo"] * count,
    ))  # fmt: skip


@pytest.fixture(scope="module")
def perfect(split: Split, morphable: MorphableLandmarks) -> Readings:
    world, count = split.world, len(split)
    poses = [pose_of(world.pose[i], world.expression[i], world.camera[i], SIZE) for i in range(count)]
    return Readings(
        boxes=np.stack([landmark_box(points) for points in world.landmarks2d]),
        landmarks=world.landmarks2d, angles=world.pose, expression=world.expression.astype(np.float64),
        shape=morphable.shape_from_full(world.identity).astype(np.float64),
        poses=poses, alarms=0, detecting=0.01, reading=0.005,
    )  # fmt: skip


@pytest.fixture(scope="module")
def predictor() -> LandmarkPredictor:
    return LandmarkPredictor.from_pretrained("mini")


def test_a_perfect_reader_recombines_without_error(
    split: Split, perfect: Readings, predictor: LandmarkPredictor
) -> None:
    errors = retarget.retargeting_errors(split, perfect, predictor, seed=0)
    assert len(errors["predictor"]) == PEOPLE
    assert errors["predictor"].max() < 1e-3
    assert errors["predictor, five points"].max() < 1e-3
    for other in ("driver", "similarity", "driver, five points", "driver, framing aside"):
        assert errors[other].mean() > 0.02, other
    assert errors["driver, framing aside"].mean() < errors["driver"].mean()
    ratios = retarget.ratios_of(errors, seed=0)
    assert {"driver", "similarity, framing aside", "driver, five points, framing aside"} <= set(ratios)
    assert all(ratio.value < 0.05 for ratio in ratios.values())


def test_framing_is_scale_and_shift_and_no_turn() -> None:
    points = np.random.default_rng(0).normal(100, 30, (2, 72, 2))
    np.testing.assert_allclose(retarget.framing_aside(1.3 * points - 40, points), points, atol=1e-9)
    turned = points @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert np.abs(retarget.framing_aside(turned, points) - points).mean() > 5


def test_whoever_reads_everybody_as_the_mean_head_keeps_nobody(
    split: Split, perfect: Readings, predictor: LandmarkPredictor
) -> None:
    nobody = replace(perfect, shape=np.zeros_like(perfect.shape))
    errors = retarget.retargeting_errors(split, nobody, predictor, seed=0)
    assert errors["predictor"].mean() > 0.02


def test_driver_and_reference_are_different_people(split: Split, perfect: Readings) -> None:
    found = perfect.found
    found[split.rows_of[3]] = False  # never found: neither drives nor is driven
    a, b = retarget.pairs_of(split, found, seed=0)
    assert (split.person_index[a] != split.person_index[b]).all()
    assert 3 not in split.person_index[np.concatenate([a, b])]
    assert len(a) == PEOPLE - 2


def test_a_similarity_is_undone() -> None:
    points = np.random.default_rng(0).normal(100, 30, (2, 72, 2))
    turned = 0.5 * points @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 7
    np.testing.assert_allclose(retarget.similarity_to(turned, points), points, atol=1e-9)


def test_shapes_of_one_person_are_nearer(split: Split, perfect: Readings, morphable: MorphableLandmarks) -> None:
    noisy = replace(perfect, shape=perfect.shape + np.random.default_rng(1).normal(0, 0.2, perfect.shape.shape))
    found = accuracy.shape_figures(split, noisy, morphable, seed=0)
    assert 0 < found["truth"].value < found["same"].value < found["others"].value
    assert found["several"].value < 0.7 * found["truth"].value  # errors of four pictures, independent of each other
    assert found["auc"] > 0.95
    strangers = replace(perfect, shape=np.random.default_rng(2).normal(0, 1, perfect.shape.shape))
    assert 0.3 < accuracy.shape_figures(split, strangers, morphable, seed=0)["auc"] < 0.7


def test_bins_are_by_yaw_and_misses_count(split: Split, perfect: Readings) -> None:
    off = perfect.landmarks.copy()
    far = np.abs(split.world.pose[:, 0]) >= 45
    off[far] += [30.0, 0.0]
    off[0] = np.nan
    found = accuracy.by_yaw(split, replace(perfect, landmarks=off), seed=0)
    assert found["0 to 15 degrees"]["nme"].value == pytest.approx(0, abs=1e-9)
    assert found["45 to 60 degrees"]["nme"].value > 0.1
    assert found["45 to 60 degrees"]["recall"].value == pytest.approx(1 - 1 / far.sum())
    assert found["all"]["yaw"].value == 0


def test_composites_say_where_their_faces_are(split: Split) -> None:
    rng = np.random.default_rng(0)
    made = [robustness.composite(split, rng) for _ in range(30)]
    assert {len(m.boxes) for m in made} == set(range(robustness.MOST + 1))
    for m in made:
        assert m.image.shape == (480, 640, 3)
        for x0, y0, x1, y1 in m.boxes:
            inside = m.image[round(y0) : round(y1), round(x0) : round(x1)]
            assert abs(float(inside.mean()) - 127) < 1  # the renders here are grey


def test_nothing_found_is_nan_and_counts_as_missed(split: Split) -> None:
    fitter = FaceFitter.from_pretrained()
    read = read_all(split.world.images[:3], split.world.landmarks2d[:3], HaarDetector(refine_with(fitter)), fitter)
    assert not read.found.any()
    assert read.poses == [None] * 3


def test_the_report_has_all_sections(
    tmp_path: Path, split: Split, perfect: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole suite with a perfect reader in place of detector and E_3d, which see nothing in grey pictures."""
    monkeypatch.setattr(suite, "held_out", lambda *_: split.world)

    def reading(images: list[np.ndarray], points: np.ndarray, *_: object) -> Readings:
        rows = slice(0, len(points))
        arrays = {name: value[rows] for name, value in vars(perfect).items() if isinstance(value, np.ndarray)}
        return replace(perfect, **arrays, poses=perfect.poses[rows])

    for module in (suite, robustness):
        monkeypatch.setattr(module, "read_all", reading)
    monkeypatch.setattr(suite, "COMPOSITES", 3)
    said: list[str] = []
    note: Callable[[str], None] = said.append
    path = suite.evaluate_landmarks(tmp_path, PEOPLE, 0, tmp_path / "renders", note, photos=[PHOTO])
    text = path.read_text()
    assert "What is read from eileen_collins.jpg" in text
    assert load_image(tmp_path / "landmarks.jpg").shape == (320, 6 * 320, 3)
    for heading in (
        "How many looks?",
        "by yaw",
        "Is shape identity?",
        "under retargeting",
        "One thing at a time",
        "Detector",
    ):
        assert heading in text
    assert "nan" not in text.split("## One thing")[0]
    figures = json.loads((tmp_path / "landmarks.json").read_text())
    assert figures["retargeting"]["predictor"]["value"] < 1e-3
    assert figures["ratios"]["driver"]["value"] < 0.05
