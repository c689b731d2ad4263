"""The base as the later stages read it: frozen VAE and text encoder, cached latents and text states, schedule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
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
    """Last hidden states of every caption, (captions, tokens, width) in half precision, and of the empty prompt."""

    states: Tensor
    first: np.ndarray
    count: np.ndarray
    empty: Tensor

    def draw(self, rows: np.ndarray, rng: np.random.Generator, dropout: float) -> Tensor:
        """One random caption per row, (B, tokens, width); a share of rows gets the empty prompt."""
        which = self.first[rows] + rng.integers(0, self.count[rows])
        states = self.states[torch.from_numpy(which)].float()
        empty = torch.from_numpy(rng.random(len(rows)) < dropout)
        states[empty] = self.empty
        return states


@torch.no_grad()
def encode_captions(out: Path, split: Split, device: torch.device) -> TextStates:
    """Run the exported text encoder over all captions once."""
    tokenizer = CLIPTokenizer.from_pretrained(out / "base" / "tokenizer")
    model = CLIPTextModel.from_pretrained(out / "base" / "text_encoder", dtype=torch.float32)
    model = freeze(model, device)

    def encode(texts: list[str]) -> Tensor:
        states: Tensor = model(tokenize(tokenizer, texts).to(device)).last_hidden_state
        return states.half().cpu()

    captions = split.world.captions
    flat = [caption for several in captions for caption in several]
    unique = {text: index for index, text in enumerate(dict.fromkeys(flat))}
    texts = list(unique)
    encoded = torch.cat([encode(texts[i : i + 256]) for i in range(0, len(texts), 256)])
    count = np.array([len(several) for several in captions])
    states = encoded[torch.tensor([unique[text] for text in flat])]
    return TextStates(states, np.concatenate([[0], np.cumsum(count)[:-1]]), count, encode([""])[0].float())


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
