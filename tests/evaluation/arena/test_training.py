"""Every contestant trains on the tiny run: gradients reach what it trains and nothing else, and it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import tiny_run as tiny_run
from transformers import CLIPTokenizer

from facesnap.evaluation.arena.training import ContestantStage, word_of
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.training.config import AdapterConfig
from facesnap.training.mini.adapter import AdapterStage


def stage_of(run: Any, name: str, folder: Path, **changes: Any) -> ContestantStage:
    torch.manual_seed(0)
    kind = CONTESTANTS[name]
    settings = {**run.config.adapter.model_dump(), "token_dropout": 0.3, **kind.settings, **changes}
    config = AdapterConfig.model_validate(settings)
    return ContestantStage(kind, config, *run.learnt, run.weights, run.device, folder, {})


@pytest.mark.parametrize("name", CONTESTANTS)
def test_gradients_reach_all_of_a_contestant_and_nothing_frozen(tiny_run: Any, name: str, tmp_path: Path) -> None:
    stage = stage_of(tiny_run, name, tmp_path)
    optimizer = torch.optim.SGD(stage.modules.parameters(), 1e-1)
    for step in range(3):  # what starts at zero lets gradients through from its second step on
        stage.loss(stage.draw(np.random.default_rng(step)))["loss"].backward()
        optimizer.step()
    silent = [key for key, each in stage.rival.named_parameters() if each.grad is None or not each.grad.any()]
    assert silent == []
    own = {id(parameter) for parameter in stage.rival.parameters()}
    frozen = [*stage.unet.parameters(), *stage.vae.parameters(), *stage.face.network.parameters()]
    assert all(parameter.grad is None for parameter in frozen if id(parameter) not in own)
    assert all(parameter.grad is None for parameter in stage.appearance.model.parameters())


def test_all_are_trained_on_the_same_batches_but_for_their_maps(tiny_run: Any, tmp_path: Path) -> None:
    shared = {"read_shapes": 0.0}
    batches = {
        name: stage_of(tiny_run, name, tmp_path, **shared).draw(np.random.default_rng(5)) for name in CONTESTANTS
    }
    first = batches["facesnap"]
    for name, batch in batches.items():
        assert batch.keys() == first.keys()
        assert [key for key in batch if key != "maps" and not torch.equal(batch[key], first[key])] == []
        fives = name in ("instantid", "facesnap, 5 points")
        assert torch.equal(batch["maps"], first["maps"]) == (not fives)


def test_facesnap_here_has_the_loss_of_mini_s_own_stage(tiny_run: Any, tmp_path: Path) -> None:
    here = stage_of(tiny_run, "facesnap", tmp_path, id_window=(0.0, 1.0))
    there = AdapterStage(here.config, *tiny_run.learnt, tiny_run.weights, tiny_run.device, seed=0)
    there.ffrnet.load_state_dict(here.rival.ffrnet.state_dict())  # type: ignore[union-attr]
    there.mixer.load_state_dict(here.rival.mixer.state_dict())  # type: ignore[union-attr]
    found, expected = (stage.loss(stage.draw(np.random.default_rng(3))) for stage in (here, there))
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_pulids_own_losses_are_of_rows_with_a_face_and_a_prompt(tiny_run: Any, tmp_path: Path) -> None:
    stage = stage_of(tiny_run, "pulid", tmp_path)
    batch = stage.draw(np.random.default_rng(0))
    seen: list[Any] = []
    branch = stage.rival.branch  # type: ignore[operator, union-attr]

    def watched(schedule: Any, noise: Any, texts: Any, tokens: Any) -> Any:
        seen.append((noise, tokens))
        return branch(schedule, noise, texts, tokens)

    stage.rival.branch = watched  # type: ignore[assignment, union-attr]
    batch["drop"], batch["words"] = torch.tensor([True, False, False, False]), torch.tensor([3, 3, -1, 3])
    losses = stage.loss(batch)
    assert torch.equal(seen[0][0], batch["noise"][[1, 3]])
    parts = sum(losses[name] for name in ("semantic", "layout", "id"))
    torch.testing.assert_close(losses["loss"], losses["diff"] + parts)
    batch["drop"][:] = True
    assert "semantic" not in stage.loss(batch)


def test_the_place_of_the_class_word(tiny_run: Any) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(tiny_run.weights / "base" / "tokenizer")
    for prompt, there in (
        ("a photo of a person in a park", True),
        ("Person, smiling", True),
        ("a park", False),
        ("", False),
    ):
        place = word_of(prompt, tokenizer)
        assert (place >= 0) == there
        if there:
            start, end = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"][place]
            assert "person".endswith(prompt[start:end].lower())
            assert prompt[:end].lower().endswith("person")
