"""train_mini: stages in order, what is done is not done again, and the card says how it came about."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facesnap.core.errors import UsageError
from facesnap.training.batches import Batch
from facesnap.training.loop import Stage
from facesnap.training.mini import run
from facesnap.training.mini.card import write_card


class Line(Stage):
    """A stage of one weight."""

    def __init__(self) -> None:
        self.modules = nn.ModuleDict({"line": nn.Linear(1, 1)})

    def draw(self, rng: np.random.Generator) -> Batch:
        return {"x": torch.from_numpy(rng.random((8, 1), dtype=np.float32))}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["x"]
        return {"loss": (self.modules["line"](x) - 3 * x).pow(2).mean()}

    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        return {"weight": float(self.modules["line"].weight.detach())}


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real, very small stages under the names of mini's."""
    monkeypatch.setattr(run, "STAGES", {"vae": lambda _: Line(), "decoder": lambda _: Line()})


def train(folder: Path, **overrides: object) -> tuple[set[str], list[str]]:
    """Names of the stages that were trained, and the lines said."""
    said: list[str] = []
    settings = {"vae.steps": 20, "vae.bf16": False, "vae.learning_rate": 0.1, **overrides}
    reports = run.train_mini(folder, preset="cpu", device="cpu", overrides=settings, say=said.append)
    return set(reports), said


def entries(folder: Path) -> dict[str, dict[str, object]]:
    """Stage -> what is recorded of it."""
    stages: dict[str, dict[str, object]] = json.loads((folder / "mini" / "training.json").read_text())["stages"]
    return stages


def test_a_finished_stage_is_not_trained_again(stages: None, tmp_path: Path) -> None:
    assert train(tmp_path)[0] == {"vae"}
    trained, said = train(tmp_path)
    assert not trained
    assert "vae: all 20 steps were done before" in said
    assert train(tmp_path, **{"vae.steps": 30})[0] == {"vae"}  # more steps than it has done


def test_a_stage_of_no_steps_is_left_out(stages: None, tmp_path: Path) -> None:
    said = train(tmp_path)[1]
    assert "decoder: left out, since it has 0 steps" in said
    assert train(tmp_path, **{"decoder.steps": 2})[0] == {"decoder"}


def test_the_card_tells_what_was_trained_and_what_was_noted(stages: None, tmp_path: Path) -> None:
    train(tmp_path)
    content = json.loads((tmp_path / "mini" / "training.json").read_text())
    card = (tmp_path / "mini" / "MODEL_CARD.md").read_text()
    assert "| vae | 20 of 20 | 16 |" in card
    assert content["stages"]["vae"]["config"]["learning_rate"] == 0.1
    content["stages"]["vae"]["note"] = "the rate was halved at step 10."
    write_card(tmp_path / "mini", content)
    assert "\n\nvae: the rate was halved at step 10.\n\n" in (tmp_path / "mini" / "MODEL_CARD.md").read_text()


def test_a_signal_ends_the_run_once_the_card_fits_the_weights(
    stages: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[str] = []

    class Stopped(Line):
        def loss(self, batch: Batch) -> dict[str, Tensor]:
            signal.raise_signal(signal.SIGTERM)
            return super().loss(batch)

        def export(self, about: Mapping[str, str]) -> dict[str, float]:
            exported.append(about["step"])
            return super().export(about)

    train(tmp_path, **{"vae.steps": 3})
    monkeypatch.setitem(run.STAGES, "vae", lambda _: Stopped())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, **{"decoder.steps": 2})
    trained = entries(tmp_path)
    assert set(trained) == {"vae"}  # no stage was begun after it
    assert exported == [str(trained["vae"]["step"])] == ["4"]
    assert "stopped" not in trained["vae"]
    assert "| vae | 4 of 20 |" in (tmp_path / "mini" / "MODEL_CARD.md").read_text()


def test_a_piece_without_a_step_keeps_the_losses_and_any_piece_the_note(stages: None, tmp_path: Path) -> None:
    train(tmp_path)
    file = tmp_path / "mini" / "training.json"
    content = json.loads(file.read_text())
    content["stages"]["vae"]["note"] = "the rate was halved at step 10."
    file.write_text(json.dumps(content))
    before = content["stages"]["vae"]
    run.train_mini(tmp_path, device="cpu", minutes=0, overrides={"vae.steps": 30, "vae.bf16": False}, say=str)
    after = entries(tmp_path)["vae"]
    assert (after["step"], after["steps"]) == (20, 30)
    for name in ("losses", "samples_per_second", "note"):
        assert after[name] == before[name]
    train(tmp_path, **{"vae.steps": 30})
    last = entries(tmp_path)["vae"]
    assert last["losses"] != before["losses"]
    assert last["note"] == before["note"]


def test_an_unknown_device_is_refused_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "render_split", lambda *_: pytest.fail("rendered"))
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        run.train_mini(tmp_path, device="gpu")


def test_a_split_is_rendered_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(run, "render_split", lambda *request: asked.append(request) or tmp_path)
    monkeypatch.setattr(run.Split, "read", lambda folder: folder)
    config = run.mini_config("cpu", {"world.train_people": 7, "world.seed": 3, "encoder_world.judge_people": 4})
    worlds = run.Run(tmp_path, config, torch.device("cpu"))
    assert worlds.world.learnt == (tmp_path, tmp_path)
    assert [request[:4] for request in asked] == [
        (tmp_path / "world", "train", 7, 6),
        (tmp_path / "world", "val", 100, 6),
    ]
    assert asked[0][5:] == (3, "cpu", 256)
    asked.clear()
    assert worlds.encoder_world.judged
    assert asked[0][:3] == (tmp_path / "encoder_world", "judge", 4)
    same = run.Run(tmp_path, run.mini_config("gpu"), torch.device("cpu"))
    assert same.encoder_world is same.world
    assert same.both_worlds == same.world.learnt  # nothing to join


def test_who_knows_people_learns_from_both_worlds(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tiny_run.train
    splits = {"world": replace(one, world=replace(one.world, person=one.world.person + 9)), "encoder_world": one}
    monkeypatch.setattr(run, "render_split", lambda folder, *_: folder)
    monkeypatch.setattr(run.Split, "read", lambda folder: splits[folder.name])
    worlds = run.Run(tmp_path, run.mini_config("cpu"), torch.device("cpu"))
    people, unseen = worlds.both_worlds
    assert (people.people, unseen) == (2 * one.people, one)


def test_two_worlds_join_by_person(tiny_run: Any) -> None:
    one = tiny_run.train
    world = replace(one.world, person=one.world.person + 1, captions=[["another"] for _ in one.world.captions])
    both = one.joined(replace(one, world=world))
    assert both.people == one.people + 1  # of the other, who is there already is passed over
    assert [len(rows) for rows in both.rows_of] == [4, 4, 4, 4]
    np.testing.assert_array_equal(both.world.images[-4:], world.images[-4:])
    assert both.world.captions[-1] == ["another"]
    assert both.world.segmentation is None
    small = replace(one.world, images=one.world.images[:, :32, :32])
    with pytest.raises(UsageError, match="64 and of 32 pixels"):
        one.joined(replace(one, world=small))


def test_unknown_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown stage 'vea'"):
        run.train_mini(tmp_path, stages=["vea"])
