"""The base as the later stages read it: frozen VAE and text encoder, cached latents and text states, schedule."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from facesnap.core.weights import sha256_12
from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.training.losses import NoiseSchedule
from facesnap.training.mini.cache import cached, digest
from facesnap.training.mini.data import Split, to_tensor
from facesnap.training.mini.export import SCHEDULER
from facesnap.training.mini.tokens import tokenize


def schedule() -> NoiseSchedule:
    """The training schedule that belongs to :data:`SCHEDULER`."""
    betas = {k: v for k, v in SCHEDULER.items() if k.startswith("beta") or k == "num_train_timesteps"}
    return NoiseSchedule.zero_snr(DDPMScheduler(**betas).alphas_cumprod)


def sample(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int = 20) -> Tensor:
    """Latents (B, ...) from noise by mini's own scheduler; ``predict``: (noisy, timesteps (B,)) -> v."""
    scheduler = DPMSolverMultistepScheduler(**SCHEDULER)
    scheduler.set_timesteps(steps)
    latents = noise
    for timestep in scheduler.timesteps:
        velocity = predict(latents, timestep.expand(len(latents)).to(latents.device)).float()
        latents = scheduler.step(velocity, timestep, latents).prev_sample
    return latents


def down_block_types(attention: tuple[bool, ...]) -> tuple[str, ...]:
    """Diffusers' names of an encoder's levels; ``attention[i]`` says whether level i has transformer blocks."""
    return tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention)


def plain_attention(model: Any) -> None:
    """Attention by matrix products while training on a CPU (see :data:`facesnap.training.mini.clip.EAGER`)."""
    model.set_attn_processor(AttnProcessor())


def load_vae(out: Path, device: torch.device) -> PatchAutoencoder:
    """The exported VAE, frozen, in single precision."""
    vae: PatchAutoencoder = PatchAutoencoder.from_pretrained(out / "base" / "vae", torch_dtype=torch.float32)
    freeze(vae, device)
    return vae


def freeze(model: Any, device: torch.device) -> Any:
    """In evaluation mode, without gradients for its own weights."""
    return model.to(device).eval().requires_grad_(False)


@dataclass(frozen=True)
class TextStates:
    """Every different caption, and the empty prompt as the last of them: ``prompts``, and what the text encoder makes
    of them, ``states`` (texts, tokens, width) in half precision.

    Row r's captions are ``states[index[first[r] : first[r] + count[r]]]``.
    """

    prompts: Sequence[str]
    states: Tensor
    index: np.ndarray
    first: np.ndarray
    count: np.ndarray

    @property
    def empty(self) -> int:
        """Place of the empty prompt."""
        return len(self.states) - 1

    def draw(self, rows: np.ndarray, rng: np.random.Generator, dropout: float) -> Tensor:
        """Places (B,) in ``states`` of one random caption per row; a share of rows gets the empty prompt."""
        which = self.index[self.first[rows] + rng.integers(0, self.count[rows])]
        which[rng.random(len(rows)) < dropout] = self.empty
        return torch.from_numpy(which)


def encode_captions(out: Path, split: Split, device: torch.device, cache: Path | None = None) -> TextStates:
    """What the exported text encoder makes of all captions.

    Kept in the folder ``cache`` while text encoder and captions stay the same.
    """
    several = split.world.captions
    flat = [caption for captions in several for caption in captions]
    place = {text: index for index, text in enumerate(dict.fromkeys(flat))}
    written = hashlib.sha256("\n".join(place).encode()).hexdigest()[:12]
    stamp = f"{sha256_12(out / 'base' / 'text_encoder')} {written}"
    kept = cache / "text-states.safetensors" if cache else None
    tensors = cached(kept, stamp, lambda: _encode_texts(out, [*place, ""], device))
    count = np.array([len(captions) for captions in several])
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    index = np.array([place[text] for text in flat])
    return TextStates([*place, ""], tensors["states"], index, first, count)


@torch.no_grad()
def _encode_texts(out: Path, texts: list[str], device: torch.device) -> dict[str, Tensor]:
    tokenizer = CLIPTokenizer.from_pretrained(out / "base" / "tokenizer")
    model = freeze(CLIPTextModel.from_pretrained(out / "base" / "text_encoder", dtype=torch.float32), device)
    parts = []
    for start in range(0, len(texts), 256):
        tokens = tokenize(tokenizer, texts[start : start + 256]).to(device)
        parts.append(model(tokens).last_hidden_state.half().cpu())
    return {"states": torch.cat(parts)}


def latents_of(split: Split, out: Path, device: torch.device, cache: Path | None = None) -> Tensor:
    """Posterior means (N, C, h, w) in half precision that the exported VAE gives a split's pictures.

    Kept in the folder ``cache`` while VAE and pictures stay the same.
    """
    stamp = f"{sha256_12(out / 'base' / 'vae')} {digest(split)}"
    kept = cache / "latents.safetensors" if cache else None
    return cached(kept, stamp, lambda: {"latents": _encode(load_vae(out, device), split, device)})["latents"]


@torch.no_grad()
def _encode(vae: PatchAutoencoder, split: Split, device: torch.device) -> Tensor:
    parts = []
    for start in range(0, len(split), 64):
        batch = to_tensor(split.world.images[start : start + 64]).to(device) * 2 - 1
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(vae.encode(batch).latent_dist.mean.half().cpu())
    return torch.cat(parts).contiguous()  # a convolution may leave its channels last
