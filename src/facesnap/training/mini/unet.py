"""Stage ``unet``: the base text-to-image model. It never sees a landmark map or a face token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from facesnap.training.config import UnetConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import diffusion_loss, draw_timesteps
from facesnap.training.mini.base import (
    down_block_types,
    encode_captions,
    latents_of,
    plain_attention,
    schedule,
)
from facesnap.training.mini.data import Split, draw_rows, generator_for
from facesnap.training.mini.export import save_half, write_base


class UnetStage(Stage):
    """v-prediction on cached latents and text states, with captions dropped for classifier-free guidance."""

    def __init__(self, config: UnetConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.out, self.device = config, out, device
        self.latents = latents_of(train, out, device, out.parent / "state")
        self.texts = encode_captions(out, train, device)
        self.check_latents = latents_of(check, out, device)
        self.check_texts = encode_captions(out, check, device)
        self.schedule = schedule()
        self.unet = build_unet(config, self.latents.shape, self.texts.states.shape[-1])
        plain_attention(self.unet)
        self.modules = nn.ModuleDict({"unet": self.unet})

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        """L_diff on a batch."""
        rng = generator_for(generator)
        rows = draw_rows(len(self.latents), self.config.batch_size, rng)
        clean = self.latents[torch.from_numpy(rows)].float()
        states = self.texts.draw(rows, rng, self.config.caption_dropout)
        losses = self._diffusion(clean, states, generator, self.config.min_snr_gamma)
        return {"loss": losses["diff"], **losses}

    def _diffusion(self, clean: Tensor, states: Tensor, generator: torch.Generator, gamma: float) -> dict[str, Tensor]:
        timesteps = draw_timesteps(len(clean), len(self.schedule), generator).to(self.device)
        clean, noise = clean.to(self.device), torch.randn(clean.shape, generator=generator).to(self.device)
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        prediction = self.unet(noisy, timesteps, states.to(self.device)).sample
        target = self.schedule.velocity(clean, noise, timesteps)
        return diffusion_loss(prediction, target, timesteps, self.schedule, gamma)

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the UNet and the rest of the base folder; the unweighted loss on people never trained on."""
        save_half(self.unet, self.out / "base" / "unet")
        write_base(self.out)
        generator, rng = torch.Generator().manual_seed(0), generator_for(torch.Generator().manual_seed(0))
        rows = draw_rows(len(self.check_latents), min(256, len(self.check_latents)), rng)
        states = self.check_texts.draw(rows, rng, 0.0)
        losses = self._diffusion(self.check_latents[torch.from_numpy(rows)].float(), states, generator, 0.0)
        return {f"val_{k}": round(float(v), 5) for k, v in losses.items()}


def build_unet(config: UnetConfig, latents: torch.Size, text_width: int) -> UNet2DConditionModel:
    """A stock UNet2DConditionModel; ``attention[i]`` says whether level i has transformer blocks."""
    down = down_block_types(config.attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(config.attention))
    return UNet2DConditionModel(
        sample_size=latents[-1],
        in_channels=latents[1],
        out_channels=latents[1],
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        down_block_types=down,
        up_block_types=up,
        cross_attention_dim=text_width,
        attention_head_dim=config.heads,  # diffusers' old name for the number of heads
        norm_num_groups=16,
    )
