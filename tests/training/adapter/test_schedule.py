"""Noise, targets and weights for what a base predicts, against formulas written out anew."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from facesnap.core.errors import AdapterError
from facesnap.training.adapter.base import read_schedule
from facesnap.training.adapter.config import ObjectiveConfig
from facesnap.training.adapter.drawing import plan, spread_rows
from facesnap.training.adapter.objective import identity_rows
from facesnap.training.losses import PREDICTIONS, NoiseSchedule


def schedule_of(folder: Path, **config: object) -> NoiseSchedule:
    given = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
    (folder / "scheduler_config.json").write_text(json.dumps({**given, **config}))
    return read_schedule(folder, "the base")


def latents() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 4, 4, 4, generator=rng)
    return clean, noise, torch.tensor([0, 10, 500, 900, 998])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_noise_and_targets_are_diffusers_own(tmp_path: Path, prediction: str) -> None:
    schedule = schedule_of(tmp_path, prediction_type=prediction)
    stock = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    clean, noise, timesteps = latents()
    noisy = schedule.add_noise(clean, noise, timesteps)
    torch.testing.assert_close(noisy, stock.add_noise(clean, noise, timesteps))
    expected = {"epsilon": noise, "sample": clean, "v_prediction": stock.get_velocity(clean, noise, timesteps)}
    target = schedule.target(clean, noise, timesteps)
    torch.testing.assert_close(target, expected[prediction])
    torch.testing.assert_close(schedule.clean_from(noisy, target, timesteps), clean, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_are_those_of_diffusers_examples(tmp_path: Path, prediction: str) -> None:
    schedule, gamma = schedule_of(tmp_path, prediction_type=prediction), 5.0
    timesteps = torch.arange(1000)
    snr = compute_snr(DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012), timesteps)
    least = torch.minimum(snr, torch.tensor(gamma))
    raw = {"epsilon": least / snr, "v_prediction": least / (snr + 1), "sample": least}[prediction]
    torch.testing.assert_close(schedule.min_snr_weight(timesteps, gamma), raw / raw.mean(), atol=1e-4, rtol=1e-3)
    assert (schedule.min_snr_weight(timesteps, 0.0) == 1).all()


def test_a_zero_last_step_is_kept_and_refused_where_it_can_not_be(tmp_path: Path) -> None:
    schedule = schedule_of(tmp_path, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    assert float(schedule.alpha[-1]) == 0
    with pytest.raises(AdapterError, match="predicts noise, yet its last step is noise alone"):
        schedule_of(tmp_path, prediction_type="epsilon", rescale_betas_zero_snr=True)
    with pytest.raises(AdapterError, match="isn't trained as Stable Diffusion is"):
        schedule_of(tmp_path, prediction_type="flow_prediction")


def test_the_gate_takes_the_first_rows_that_lie_within_and_have_a_face() -> None:
    settings = ObjectiveConfig(id_window=(0.25, 0.9), id_batch=2)
    timesteps = torch.tensor([249, 250, 500, 899, 900, 600])
    drop = torch.tensor([False, False, True, False, False, False])
    assert identity_rows(timesteps, drop, 1000, settings).tolist() == [1, 3]


def test_rows_of_l_id_are_spread_over_the_batch() -> None:
    settings = ObjectiveConfig(id_window=(0.0, 0.5), id_batch=4)
    timesteps = torch.tensor([900, 100, 200, 300, 900, 900, 400, 100])
    drop = torch.tensor([False, True, False, False, False, False, False, False])
    assert spread_rows(timesteps, drop, 1000, settings).tolist() == [2, 6]
    every = settings.model_copy(update={"id_batch": 20})
    assert spread_rows(timesteps, drop, 1000, every).tolist() == [2, 3, 6, 7]
    assert not len(spread_rows(timesteps, drop, 1000, settings.model_copy(update={"id_batch": 0})))
    many = [plan(ObjectiveConfig(id_batch=16), 0, step, 64, 1000).identity for step in range(20)]
    assert all(int(((rows >= first) & (rows < first + 8)).sum()) <= 2 for rows in many for first in range(0, 64, 8))
    assert min(len(rows) for rows in many) > 8


def test_shares_of_a_plan_are_what_was_asked_for() -> None:
    settings = ObjectiveConfig(
        text_dropout=0.1, token_dropout=0.2, landmark_dropout=0.05, all_dropout=0.1, neither=0.5, id_window=(0.2, 0.8)
    )
    plans = [plan(settings, 0, step, 100, 1000) for step in range(100)]
    text, token, landmark = (np.mean([getattr(each, name) for each in plans]) for name in ("text", "token", "landmark"))
    lost = 1 - 0.8 * 0.9  # a face, to either
    assert token == pytest.approx(lost, abs=0.02)
    assert landmark == pytest.approx(1 - 0.95 * 0.9, abs=0.02)
    assert text == pytest.approx(1 - 0.9 * (1 - 0.1) * (1 - 0.2 * 0.5), abs=0.03)
    each = plans[3]
    again = plan(settings, 0, 3, 100, 1000)
    assert torch.equal(each.timesteps, again.timesteps)
    assert not torch.equal(each.timesteps, plans[4].timesteps)
    assert sorted(np.array(each.timesteps) // 10) == list(range(100))  # one of each hundredth
    assert all(200 <= int(t) < 800 for t in each.timesteps[each.identity])
    assert not each.token[each.identity].any()
