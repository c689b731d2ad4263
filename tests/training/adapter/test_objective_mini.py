"""mini's stage `adapter` and the trainer on photographs share one objective; mini's numbers are what they were."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facesnap.training.losses import crop_by, diffusion_loss, identity_gate, identity_loss
from facesnap.training.mini.adapter import AdapterStage


def stage_of(tiny_run: Any, **changes: Any) -> AdapterStage:
    torch.manual_seed(0)
    config = tiny_run.config.adapter.model_copy(update={"id_window": (0.0, 1.0), **changes})
    return AdapterStage(config, tiny_run.train, tiny_run.train, tiny_run.weights, tiny_run.device, seed=0)


def written_out(stage: AdapterStage, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """L_total line by line, as mini's stage had it before anything was shared."""
    config, timesteps, drop = stage.config, batch["timesteps"], batch["drop"]
    tokens = stage.mixer(batch["f_id"], batch["f_clip"], drop=drop)
    noisy = stage.schedule.add_noise(batch["clean"], batch["noise"], timesteps)
    with stage.ffrnet.attend_to(tokens):
        down, mid = stage.ffrnet(noisy, timesteps, controlnet_cond=batch["maps"], return_dict=False)
        velocity = stage.unet(
            noisy,
            timesteps,
            batch["encoder_hidden_states"],
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
    target = stage.schedule.velocity(batch["clean"], batch["noise"], timesteps)
    losses = diffusion_loss(velocity, target, timesteps, stage.schedule, config.min_snr_gamma)
    total = losses["diff"]
    gate = identity_gate(timesteps, len(stage.schedule), config.id_window) & ~drop
    chosen = gate.nonzero()[:, 0][: config.id_batch]
    if len(chosen) and config.lambda_id > 0:
        alpha, sigma = stage.schedule.at(timesteps, noisy.ndim)
        clean = (alpha * noisy - sigma * velocity.float())[chosen]
        images = (stage.vae.decode(clean).sample / 2 + 0.5).clamp(0, 1)
        found = stage.face.embed(crop_by(images, batch["matrices"][chosen], 112))
        losses["id"] = identity_loss(found, batch["truth"][chosen])
        total = total + config.lambda_id * losses["id"]
    return {"loss": total, **losses}


@pytest.mark.parametrize("changes", [{}, {"min_snr_gamma": 5.0, "id_batch": 2}, {"lambda_id": 0.0}])
def test_the_shared_objective_is_minis_own_to_the_bit(tiny_run: Any, changes: dict[str, Any]) -> None:
    stage = stage_of(tiny_run, **changes)
    batch = stage.draw(np.random.default_rng(0))
    before = written_out(stage, batch)
    before["loss"].backward()
    gradients = {name: p.grad.clone() for name, p in stage.modules.named_parameters() if p.grad is not None}
    stage.modules.zero_grad(set_to_none=True)
    now = stage.loss(stage.draw(np.random.default_rng(0)))
    now["loss"].backward()
    assert now.keys() == before.keys()
    for name in before:
        assert torch.equal(before[name], now[name]), name
    found = {name: p.grad for name, p in stage.modules.named_parameters() if p.grad is not None}
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradient, found[name]), name


def test_losses_of_a_seed_are_those_recorded_before_anything_was_shared(tiny_run: Any) -> None:
    stage = stage_of(tiny_run)
    losses = {name: float(value) for name, value in stage.loss(stage.draw(np.random.default_rng(0))).items()}
    # Recorded on another processor the last digits may differ.
    assert losses["diff"] == pytest.approx(1.176703929901123, rel=1e-4)
    assert losses["noisiest_quarter"] == pytest.approx(1.1976256370544434, rel=1e-4)
    assert losses["id"] == pytest.approx(4.7177e-05, rel=0.05)
