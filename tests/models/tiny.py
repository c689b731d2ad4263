"""Tiny Stable Diffusion parts with random weights: the true architecture, a few thousand parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

WIDTH = 16  # of the text states
SIZE = 32  # of a picture; latents are a quarter of it


def unet(seed: int = 0, **changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    config: dict[str, Any] = {
        "sample_size": SIZE // 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 2,
    }
    return UNet2DConditionModel(**{**config, **changes}).eval()


def sdxl_unet(seed: int = 0) -> UNet2DConditionModel:
    return unet(
        seed,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + WIDTH,
        cross_attention_dim=2 * WIDTH,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
    )


def vae() -> AutoencoderKL:
    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=(4, 8, 8),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        sample_size=SIZE,
    ).eval()


def text_encoder(projection: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    torch.manual_seed(2)
    config = CLIPTextConfig(
        vocab_size=300,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        projection_dim=WIDTH,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=257,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def tokenizer(folder: Path) -> CLIPTokenizer:
    """Bytes as tokens, in CLIP's own file format; at most 16 tokens."""
    letters = [chr(i) for i in range(256)]
    vocabulary = {c: i for i, c in enumerate(letters)} | {"<|startoftext|>": 256, "<|endoftext|>": 257}
    vocabulary |= {f"{c}</w>": 258 + i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(clip_sample=False)


def parts(folder: Path) -> dict[str, Any]:
    """All components of a StableDiffusionPipeline."""
    return {
        "vae": vae(),
        "text_encoder": text_encoder(),
        "tokenizer": tokenizer(folder),
        "unet": unet(),
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def sdxl_parts(folder: Path) -> dict[str, Any]:
    """All components of a StableDiffusionXLPipeline."""
    return {
        "vae": vae(),
        "text_encoder": text_encoder(),
        "text_encoder_2": text_encoder(projection=True),
        "tokenizer": tokenizer(folder),
        "tokenizer_2": tokenizer(folder),
        "unet": sdxl_unet(),
        "scheduler": scheduler(),
    }
