"""Every contestant trains on the tiny run: gradients reach what it trains and nothing else, and it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import tiny_run as tiny_run

from facesnap.evaluation.arena.training import ContestantStage
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.training.config import AdapterConfig


def stage_of(run: Any, name: str, folder: Path, **changes: Any) -> ContestantStage:
    torch.manual_seed(0)
    kind = CONTESTANTS[name]
    settings = {**run.config.adapter.model_dump(), "token_dropout": 0.3, **kind.settings, **changes}
    config = AdapterConfig.model_validate(settings)
    return ContestantStage(kind, config, *run.learnt, run.weights, run.device, 0, folder)


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
