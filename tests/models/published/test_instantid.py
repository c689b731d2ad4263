"""InstantID whole: a stock SDXL ControlNet pipeline, guided, against the method written out by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionXLControlNetPipeline
from tests.models import tiny
from tests.models.published import files, reference

from facesnap.core.errors import AdapterError
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.models.ffrnet import FFRNet
from facesnap.models.published import InstantID, read_published

WIDTH = 2 * tiny.WIDTH
POINTS = np.array([[10.0, 11.0], [22.0, 11.5], [16.0, 17.0], [12.0, 23.0], [21.0, 22.5]])


def identity_net(seed: int = 4) -> ControlNetModel:
    """As published: a stock ControlNetModel of SDXL's shape, whose residuals can be felt."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(tiny.sdxl_unet(seed), conditioning_embedding_out_channels=(16, 32, 96))
    ends = [*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out]
    for conv in ends:
        torch.nn.init.normal_(conv.weight, std=0.3)
    return net.eval()


@pytest.fixture
def published(tmp_path: Path) -> tuple[InstantID, files.State, ControlNetModel]:
    state = files.filled(files.instantid(24, 2, WIDTH, 5), files.layers([16] * 8, WIDTH))
    files.write(tmp_path / "InstantID" / "ip-adapter.bin", state)
    net = identity_net()
    net.save_pretrained(tmp_path / "InstantID" / "ControlNetModel")
    adapter = read_published(tmp_path / "InstantID")
    assert isinstance(adapter, InstantID)
    return adapter, state, net


def by_hand(pipeline: Any, unet: Any, net: Any, state: files.State, raw: torch.Tensor, start: torch.Tensor) -> Any:
    """One DDIM step of arXiv 2401.07519's figure 2, the unguided half first."""
    text, no_text, pooled, no_pooled = pipeline.encode_prompt(
        "a", negative_prompt="b", do_classifier_free_guidance=True
    )
    shown = torch.from_numpy(draw_keypoints(POINTS, (32, 32))).permute(2, 0, 1)[None] / 255
    scheduler = copy.deepcopy(pipeline.scheduler)
    scheduler.set_timesteps(1)
    noises = []
    for words, pool, face in ((no_text, no_pooled, torch.zeros_like(raw)), (text, pooled, raw)):
        tokens = reference.instantid(state["image_proj"], face)
        added = {"text_embeds": pool, "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])}
        step = scheduler.timesteps[0]
        down, mid = net(start, step, tokens, shown, 0.8, added_cond_kwargs=added, return_dict=False)
        reference.install(unet, state["ip_adapter"], tokens, 0.8)
        given = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        noises.append(unet(start, step, words, added_cond_kwargs=added, **given).sample)
    noise = noises[0] + 5.0 * (noises[1] - noises[0])
    return scheduler.step(noise, step, start).prev_sample


@torch.no_grad()
def test_a_guided_call_is_instantids(tmp_path: Path, published: tuple[InstantID, files.State, ControlNetModel]) -> None:
    adapter, state, stock_net = published
    net = adapter.identity_net()
    pipeline = StableDiffusionXLControlNetPipeline(**tiny.sdxl_parts(tmp_path / "base"), controlnet=net)
    pipeline.set_progress_bar_config(disable=True)
    plain = copy.deepcopy(pipeline.unet)
    f_id = torch.nn.functional.normalize(torch.randn(1, 512, generator=torch.Generator().manual_seed(6)), dim=1)
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    expected = by_hand(pipeline, plain, stock_net, state, 21.0 * f_id, start)

    adapter.attach(pipeline)
    tokens, null = adapter.tokens(f_id, lengths=21.0)

    def call(images: int = 1, scale: float = adapter.control_scale) -> torch.Tensor:
        with net.attend_to(tokens, null, images):
            return pipeline(
                "a",
                negative_prompt="b",
                image=torch.from_numpy(draw_keypoints(POINTS, (32, 32))).permute(2, 0, 1)[None] / 255,
                ip_adapter_image_embeds=adapter.image_embeds(pipeline, tokens, null),
                controlnet_conditioning_scale=scale,
                guidance_scale=adapter.defaults["guidance_scale"],
                num_inference_steps=1,
                num_images_per_prompt=images,
                latents=start.repeat(images, 1, 1, 1),
                output_type="latent",
            ).images

    found = call()
    assert float((found - expected).abs().max()) < 1e-5 * max(1.0, float(expected.abs().max()))
    assert float((call(2) - expected).abs().max()) < 1e-5 * max(1.0, float(expected.abs().max()))
    assert float((call(scale=0.0) - expected).abs().max()) > 1e-3


def test_identity_net_is_an_ffrnet_with_the_published_weights(
    published: tuple[InstantID, files.State, ControlNetModel],
) -> None:
    adapter, _, stock = published
    net = adapter.identity_net(torch.bfloat16)
    assert isinstance(net, FFRNet)
    assert not net.training
    assert all(torch.equal(value, stock.state_dict()[key].bfloat16()) for key, value in net.state_dict().items())


def test_an_identity_net_of_another_width_is_refused(tmp_path: Path) -> None:
    state = files.filled(files.instantid(24, 2, tiny.WIDTH, 5), files.layers([16] * 4, tiny.WIDTH))
    files.write(tmp_path / "ip-adapter.safetensors", state)
    identity_net().save_pretrained(tmp_path / "ControlNetModel")
    adapter = read_published(tmp_path)
    assert isinstance(adapter, InstantID)
    with pytest.raises(AdapterError, match=r"IdentityNet reads tokens of width 32, but .* makes 16"):
        adapter.identity_net()
