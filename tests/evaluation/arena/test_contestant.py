"""A trained contestant makes portraits by the base's own sampling, follows its map and its face, and is checked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import SIZE
from tests.training.conftest import tiny_run as tiny_run

from facesnap.core.errors import AdapterError, EncoderMismatchError, NoFaceError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.core.weights import save_module
from facesnap.evaluation.arena.bench import assemble, trainings
from facesnap.evaluation.arena.contestant import Contestant
from facesnap.evaluation.arena.training import CONDITIONING, column_of, config_of, folder_of, train_contestant
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.evaluation.bench import stock_pipeline
from facesnap.evaluation.methods import BaseMethod, Task
from facesnap.evaluation.protocol import Trial
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.encode import PatchFaceNet

CHANGES = {"batch_size": 4, "bf16": False, "views": 1}
NAMES = ("facesnap", "instantid", "photomaker", "facesnap, driver's landmarks")


@pytest.fixture(scope="module")
def trained(tiny_run: Any) -> Any:
    """Some contestants, trained for two steps."""
    for name in NAMES:
        train_contestant(tiny_run, name, steps=2, settings=CHANGES, say=lambda _: None)
    return tiny_run


@pytest.fixture(scope="module")
def pipeline(trained: Any) -> Any:
    return stock_pipeline(trained.weights / "base", "cpu")


@pytest.fixture(scope="module")
def appearance(trained: Any) -> AppearanceEncoder:
    return AppearanceEncoder.from_pretrained(trained.weights / "image_encoder")


def loaded(run: Any, pipeline: Any, appearance: AppearanceEncoder, name: str) -> Contestant:
    return Contestant.load(folder_of(run.folder, name, 0), run.weights, pipeline, appearance)


def task(run: Any, appearance: AppearanceEncoder, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    size = json.loads((folder_of(run.folder, "facesnap", 0) / "config.json").read_text())["face_dim"]
    vector = rng.normal(size=size)
    me = Identity(vector / np.linalg.norm(vector), rng.normal(size=appearance.shape), rng.normal(size=32), {})
    trial = Trial(0, 0, 1, (2,), "a portrait of a person on a wall", Pose(), seed=7)
    points = np.random.default_rng(1).uniform(8, SIZE - 8, (2, 72, 2))
    return Task(trial, np.zeros((SIZE, SIZE, 3), np.uint8), me, "", 4, 2.5, SIZE, points[0], points[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("guidance", [2.5, 1.0])
def test_without_strength_it_is_the_stock_pipelines_picture(
    trained: Any, pipeline: Any, appearance: AppearanceEncoder, name: str, guidance: float
) -> None:
    contestant = loaded(trained, pipeline, appearance, name)
    if name == "photomaker":
        for module in contestant.rival.lora:
            torch.nn.init.normal_(module.weight)
    asked = replace(task(trained, appearance), guidance_scale=guidance)
    base = BaseMethod(pipeline).portray(asked)
    assert np.abs(contestant.portray(asked).astype(int) - base).max() > 1
    difference = np.abs(contestant.at("none", 0.0).portray(asked).astype(int) - base)
    assert difference.max() <= 1
    assert np.abs(contestant.at("other", 0.0, seed_offset=1).portray(asked).astype(int) - base).max() > 1


def test_who_predicts_shapes_draws_the_request_and_others_the_driver(
    trained: Any, pipeline: Any, appearance: AppearanceEncoder
) -> None:
    asked = task(trained, appearance)
    deaf_to = {"facesnap": "driven", "facesnap, driver's landmarks": "requested", "instantid": "requested"}
    for name, deaf in deaf_to.items():
        contestant = loaded(trained, pipeline, appearance, name)
        first = contestant.portray(asked)
        moved = getattr(asked, deaf) + 9.0
        assert np.array_equal(contestant.portray(replace(asked, **{deaf: moved})), first)
        heard = "requested" if deaf == "driven" else "driven"
        assert not np.array_equal(contestant.portray(replace(asked, **{heard: getattr(asked, heard) + 9.0})), first)


def test_guidance_acts_on_the_face_by_the_share_that_is_asked_for(
    trained: Any, pipeline: Any, appearance: AppearanceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    contestant, asked = loaded(trained, pipeline, appearance, "facesnap"), task(trained, appearance)
    seen: list[torch.Tensor] = []

    def predict(
        unet: Any, noisy: torch.Tensor, times: Any, texts: Any, tokens: torch.Tensor, maps: Any
    ) -> torch.Tensor:
        seen.append(tokens)
        return noisy

    monkeypatch.setattr(contestant.rival, "predict", predict)
    for share in (None, 1.0, 0.0):
        contestant.at("guided", identity_guidance=share).portray(asked)
    (half, whole, none) = (seen[place] for place in (0, 4, 8))  # of four steps each
    nobody, me = whole
    torch.testing.assert_close(half[0], (nobody + me) / 2)
    torch.testing.assert_close(none[0], me)
    assert all(torch.equal(each[1], me) for each in (half, none))
    assert not torch.equal(nobody, me)


def test_another_face_is_another_picture_and_nobody_is_a_failure(
    trained: Any, pipeline: Any, appearance: AppearanceEncoder
) -> None:
    contestant = loaded(trained, pipeline, appearance, "photomaker")
    asked = task(trained, appearance)
    other = replace(asked, identity=task(trained, appearance, seed=3).identity)
    assert not np.array_equal(contestant.portray(asked), contestant.portray(other))
    with pytest.raises(NoFaceError, match="nobody there"):
        contestant.portray(replace(asked, identity=None, problem="nobody there"))


def test_its_file_says_what_it_was_trained_against(
    trained: Any, pipeline: Any, appearance: AppearanceEncoder, tmp_path: Path
) -> None:
    folder = folder_of(trained.folder, "facesnap", 0)
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["steps"] == config["step"] == 2
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    for part in CONDITIONING:
        parts = {**config["parts"], part: "0" * 12}
        (other / "config.json").write_text(json.dumps({**config, "parts": parts}))
        with pytest.raises(EncoderMismatchError, match=f"trained with another {part}"):
            Contestant.load(other, trained.weights, pipeline, appearance)
    (other / "config.json").write_text(json.dumps({**config, "name": "nobody"}))
    with pytest.raises(AdapterError, match="no contestant"):
        Contestant.load(other, trained.weights, pipeline, appearance)


def test_a_finished_training_is_left_and_another_one_refused(trained: Any) -> None:
    assert train_contestant(trained, "facesnap", steps=2, settings=CHANGES) is None
    folder = folder_of(trained.folder, "facesnap", 0)
    before = (folder / "model.safetensors").read_bytes()
    for changed in ({"steps": 3}, {"settings": {**CHANGES, "learning_rate": 1.0}}):
        with pytest.raises(UsageError, match="trained with other settings: remove it"):
            train_contestant(trained, "facesnap", **{"steps": 2, "settings": CHANGES, **changed})  # type: ignore[arg-type]
    assert (folder / "model.safetensors").read_bytes() == before
    with pytest.raises(UsageError, match="unknown method 'nobody'"):
        train_contestant(trained, "nobody")
    with pytest.raises(UsageError, match="setting rate: extra inputs"):
        train_contestant(trained, "faceid", settings={"rate": 1})


def test_a_piece_of_a_training_counts_as_a_piece_and_goes_on(trained: Any, tmp_path: Path) -> None:
    piece = {"steps": 2, "settings": CHANGES, "folder": tmp_path, "say": lambda _: None}
    train_contestant(trained, "faceid", minutes=0, **piece)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "config.json").read_text())["step"] == 0
    report = train_contestant(trained, "faceid", **piece)  # type: ignore[arg-type]
    assert report is not None
    assert report.finished
    assert json.loads((tmp_path / "config.json").read_text())["step"] == 2


def test_what_makes_a_contestant_stays_whatever_is_asked_for(trained: Any) -> None:
    asked = {"lambda_id": 9.0, "learning_rate": 0.5}
    assert config_of(trained, CONTESTANTS["facesnap"], 7, asked).lambda_id == 9.0
    config = config_of(trained, CONTESTANTS["facesnap, no L_id"], 7, asked)
    assert (config.lambda_id, config.learning_rate, config.steps) == (0.0, 0.5, 7)


def test_trainings_are_found_by_their_names_labels_and_seeds(tmp_path: Path) -> None:
    begun = (("facesnap", "", 0), ("facesnap", "", 2), ("facesnap", "", 10), ("facesnap, no L_id", "", 1))
    for name, label, seed in (*begun, ("facesnap", "lambda_id=0.1", 0), ("faceid", "", 5)):
        folder = folder_of(tmp_path, column_of(name, label), seed)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"name": name, "label": label, "seed": seed}))
    (tmp_path / "arena" / "search" / "faceid-0").mkdir(parents=True)
    found = trainings(tmp_path)
    plain = ["facesnap", "facesnap~1", "facesnap~2", "faceid", "facesnap, no L_id", "facesnap, lambda_id=0.1"]
    assert list(found) == plain
    assert found["facesnap~2"].name == "facesnap-10"
    assert len({folder_of(tmp_path, name, 0) for name in CONTESTANTS}) == len(CONTESTANTS)


def test_a_label_keeps_other_settings_apart(trained: Any, tmp_path: Path) -> None:
    changed = {**CHANGES, "pair_share": 0.0}
    train_contestant(trained, "facesnap", steps=1, settings=changed, label="single image", say=lambda _: None)
    column = column_of("facesnap", "single image")
    assert trainings(trained.folder)[column] == folder_of(trained.folder, column, 0)
    shutil.rmtree(folder_of(trained.folder, column, 0))


def test_all_of_a_run_is_loaded_and_a_judge_that_conditions_is_refused(
    trained: Any, clip_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.weights, run / "mini")
    with pytest.raises(AdapterError, match="no contestant is trained in"):
        assemble(run, [], "cpu")
    shutil.copytree(trained.folder / "arena", run / "arena")
    shutil.copytree(clip_folder, run / "mini" / "judge_clip")
    torch.manual_seed(9)
    judge = PatchFaceNet({"dim": 128, "width": 64, "depth": 1, "heads": 2})
    save_module(run / "mini" / "judge_face", judge, judge.config, {})
    arena = assemble(run, ["instantid", "facesnap"], "cpu")
    assert [each.name for each in arena.contestants] == ["facesnap", "instantid"]
    assert arena.size == SIZE
    assert {name.split("@")[0] for name in arena.weights.values()} == {"instantid-0", "facesnap-0"}
    assert len(assemble(run, [], "cpu").contestants) == len(NAMES)
    state = sorted((run / "arena").glob("*/state"))
    assert state
    for folder in state:
        shutil.rmtree(folder)
    assert assemble(run, ["instantid", "facesnap"], "cpu").weights == arena.weights  # states are no weights
    with pytest.raises(UsageError, match=r"'pulid' isn't trained in .*: use one of facesnap; "):
        assemble(run, ["pulid"], "cpu")
    shutil.rmtree(run / "mini" / "judge_face")
    shutil.copytree(run / "mini" / "face_encoder", run / "mini" / "judge_face")
    with pytest.raises(UsageError, match="can't judge"):
        assemble(run, ["facesnap"], "cpu")
