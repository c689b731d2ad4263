"""The map is embedded once per map, and to the same numbers as by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from tests.models import tiny

from facesnap.models.ffrnet import FFRNet
from facesnap.models.map_embedding import MapEmbedding, MapMemory, remembering

TOKENS = torch.zeros(1, 3, tiny.WIDTH)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What the stock embedding was asked to embed."""
    asked: list[torch.Tensor] = []
    stock = ControlNetConditioningEmbedding.forward

    def counted(self: Any, conditioning: torch.Tensor) -> torch.Tensor:
        asked.append(conditioning)
        return stock(self, conditioning)

    monkeypatch.setattr(ControlNetConditioningEmbedding, "forward", counted)
    return asked


@pytest.fixture
def net() -> FFRNet:
    torch.manual_seed(0)
    return FFRNet.from_unet(tiny.unet(), vae_scale_factor=4, zero_init=False).eval()


def residual(net: FFRNet, control: torch.Tensor, step: int) -> torch.Tensor:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    found: torch.Tensor = net(latents, step, None, control, return_dict=False)[1]
    return found


def test_several_steps_embed_their_map_once(net: FFRNet, calls: list[torch.Tensor]) -> None:
    control = torch.rand(1, 3, tiny.SIZE, tiny.SIZE)
    with torch.no_grad(), net.attend_to(TOKENS):
        first = residual(net, control, 900)
        residual(net, control, 500)
        again = residual(net, control, 900)
    assert len(calls) == 1
    assert torch.equal(first, again)


def test_another_map_or_a_changed_one_is_embedded_anew(net: FFRNet, calls: list[torch.Tensor]) -> None:
    control = torch.rand(1, 3, tiny.SIZE, tiny.SIZE)
    with torch.no_grad(), net.attend_to(TOKENS):
        first = residual(net, control, 900)
        other = residual(net, 1 - control, 900)
        residual(net, control, 900)
        control.mul_(0.5)
        changed = residual(net, control, 900)
    assert len(calls) == 4
    assert not torch.equal(first, other)
    assert not torch.equal(first, changed)


def test_nothing_is_remembered_from_call_to_call(net: FFRNet, calls: list[torch.Tensor]) -> None:
    control = torch.rand(1, 3, tiny.SIZE, tiny.SIZE)
    for _ in range(2):
        with torch.no_grad(), net.attend_to(TOKENS):
            residual(net, control, 900)
    assert len(calls) == 2


def test_training_embeds_every_time_and_learns(net: FFRNet, calls: list[torch.Tensor]) -> None:
    control = torch.rand(1, 3, tiny.SIZE, tiny.SIZE)
    with net.attend_to(TOKENS):
        for step in (900, 500):
            residual(net, control, step).sum().backward()
    assert len(calls) == 2
    assert all(p.grad is not None for p in net.controlnet_cond_embedding.parameters())


def test_the_numbers_are_the_stock_embeddings() -> None:
    torch.manual_seed(0)
    stock = ControlNetConditioningEmbedding(8, 3, (4, 8))
    ours = MapEmbedding(8, 3, (4, 8))
    ours.load_state_dict(stock.state_dict())
    control = torch.rand(2, 3, 16, 16)
    with torch.no_grad(), remembering(MapMemory()):
        torch.testing.assert_close(ours(control), stock(control))


def test_config_and_keys_stay_the_stock_networks(net: FFRNet) -> None:
    stock = ControlNetModel.from_config(net.config)
    assert set(stock.state_dict()) == set(net.state_dict())
    again = FFRNet.from_config(net.config)
    assert dict(again.config) == dict(net.config)
    assert type(again.controlnet_cond_embedding) is MapEmbedding


def test_a_stock_pipeline_embeds_once(net: FFRNet, calls: list[torch.Tensor], tmp_path: Path) -> None:
    pipeline = StableDiffusionControlNetPipeline(**tiny.parts(tmp_path), controlnet=net)
    with net.attend_to(TOKENS, TOKENS):
        pipeline("a person", image=torch.rand(1, 3, tiny.SIZE, tiny.SIZE), num_inference_steps=3, output_type="latent")
    assert len(calls) == 1
