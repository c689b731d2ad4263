"""Stage ``unet``: the base text-to-image model. It never sees a landmark map or a face token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from facesnap.training.batches import Batch
from facesnap.training.config import UnetConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import diffusion_loss, draw_timesteps
from facesnap.training.mini.base import (
    TextStates,
    down_block_types,
    encode_captions,
    latents_of,
    plain_attention,
    schedule,
)
from facesnap.training.mini.data import Split, draw_noise, draw_rows
from facesnap.training.mini.export import save_half, write_base


class UnetStage(Stage):
    """v-prediction on cached latents and text states, with captions dropped for classifier-free guidance."""

    def __init__(self, config: UnetConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.out, self.device = config, out, device
        kept = out.parent / "state"
        self.latents, self.texts = latents_of(train, out, device, kept), encode_captions(out, train, device, kept)
        self.check_latents, self.check_texts = latents_of(check, out, device), encode_captions(out, check, device)
        self.schedule = schedule()
        self.unet = build_unet(config, self.latents.shape, self.texts.states.shape[-1])
        plain_attention(self.unet)
        self.modules = nn.ModuleDict({"unet": self.unet})

    def draw(self, rng: np.random.Generator) -> Batch:
        """Latents with one of their captions each, noise and timesteps."""
        return self._drawn(self.latents, self.texts, self.config.batch_size, self.config.caption_dropout, rng)

    def _drawn(self, latents: Tensor, texts: TextStates, count: int, dropout: float, rng: np.random.Generator) -> Batch:
        rows = draw_rows(len(latents), count, rng)
        clean = latents[torch.from_numpy(rows)].float()
        return {
            "clean": clean,
            "encoder_hidden_states": texts.states[texts.draw(rows, rng, dropout)].float(),
            "noise": draw_noise(clean.shape, rng),
            "timesteps": draw_timesteps(count, len(self.schedule), rng),
        }

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_diff."""
        losses = self._diffusion(batch, self.config.min_snr_gamma)
        return {"loss": losses["diff"], **losses}

    def _diffusion(self, batch: Batch, gamma: float) -> dict[str, Tensor]:
        clean, noise, timesteps = batch["clean"], batch["noise"], batch["timesteps"]
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        prediction = self.unet(noisy, timesteps, batch["encoder_hidden_states"]).sample
        target = self.schedule.velocity(clean, noise, timesteps)
        return diffusion_loss(prediction, target, timesteps, self.schedule, gamma)

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the UNet and the rest of the base folder; the unweighted loss on people never trained on."""
        save_half(self.unet, self.out / "base" / "unet")
        write_base(self.out)
        count = min(256, len(self.check_latents))
        batch = self._drawn(self.check_latents, self.check_texts, count, 0.0, np.random.default_rng(0))
        losses = self._diffusion({name: value.to(self.device) for name, value in batch.items()}, 0.0)
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
