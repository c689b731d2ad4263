"""The published architectures with random weights: what a step costs doesn't depend on values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from facesnap.core.weights import mini_folder


def architecture(name: str, by: int = 1) -> dict[str, Any]:
    """The published architectures, ``by`` times narrower: arguments of UNet, VAE, and text encoder(s)."""
    groups = max(1, 32 // by)
    unet: dict[str, Any] = {"norm_num_groups": groups}
    if name == "sd15":
        unet |= {"block_out_channels": tuple(c // by for c in (320, 640, 1280, 1280)), "sample_size": 64}
        unet |= {"cross_attention_dim": 768 // by, "attention_head_dim": 8}
    else:
        levels = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
        unet |= {"block_out_channels": (320, 640, 1280), "sample_size": 128, "down_block_types": levels}
        unet |= {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}
        unet |= {"transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20)}
        unet |= {"cross_attention_dim": 2048, "use_linear_projection": True, "addition_embed_type": "text_time"}
        unet |= {"addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816}
    vae = {
        "block_out_channels": tuple(c // by for c in (128, 256, 512, 512)),
        "layers_per_block": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "norm_num_groups": groups,
        "scaling_factor": 0.18215,
    }
    text = {"hidden_size": 768 // by, "intermediate_size": 3072 // by, "num_hidden_layers": 12}
    texts = [{**text, "num_attention_heads": 12}]
    if name == "sdxl":
        texts += [{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}]
    return {"unet": unet, "vae": vae, "texts": texts}


def random_base(shape: str, folder: Path) -> Path:
    """The folder of a base with random weights: ``sd15``, ``sdxl``, or ``sd15/N``, N times narrower."""
    name, _, divisor = shape.partition("/")
    if name not in ("sd15", "sdxl") or (name == "sdxl" and divisor):
        raise SystemExit(f"base {shape}: use mini, sd15, sd15/N or sdxl")
    told = architecture(name, int(divisor or 1))
    tokenizer = CLIPTokenizer.from_pretrained(mini_folder() / "base" / "tokenizer", model_max_length=77)
    kept = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    noise = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1)
    parts = {
        "unet": UNet2DConditionModel(**told["unet"]),
        "vae": AutoencoderKL(**told["vae"]),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**told["texts"][0], **kept)),
        "tokenizer": tokenizer,
        "scheduler": noise,
        "feature_extractor": None,
    }
    if name == "sdxl":
        second = CLIPTextModelWithProjection(CLIPTextConfig(**told["texts"][1], **kept, projection_dim=1280))
        made = StableDiffusionXLPipeline(
            **parts, tokenizer_2=tokenizer, text_encoder_2=second, image_encoder=None, add_watermarker=False
        )
    else:
        made = StableDiffusionPipeline(**parts, safety_checker=None, requires_safety_checker=False)
    made.save_pretrained(folder)
    return folder
