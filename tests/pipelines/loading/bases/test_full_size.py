"""Full size: the published architectures as single files, by header alone; and SD 1.5 for two steps with FFRNet."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from tests.models import tiny
from tests.pipelines.loading.bases.original_layout import original

from facesnap.models.checkpoint import AdapterConfig, family_of, save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.loading.bases.find import detect_family
from facesnap.pipelines.loading.bases.single_file import check_part
from facesnap.pipelines.loading.bases.single_file_header import read_single_file
from facesnap.pipelines.loading.load import load_pipeline

#: What differs from diffusers' defaults, which are SD 1.5's.
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {"cross_attention_dim": 768, "sample_size": 64},
    "sd2": {
        "cross_attention_dim": 1024,
        "sample_size": 96,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl": {
        "cross_attention_dim": 2048,
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int64: "I64"}

#: Keys by which other programs tell the published files apart, and how many tensors their UNets have.
KNOWN = {
    "sd1": (
        686,
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight",
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    ),
    "sd2": (
        686,
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
        "cond_stage_model.model.transformer.resblocks.23.attn.in_proj_bias",
    ),
    "sdxl": (
        1680,
        "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias",
        "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight",
    ),
}


def models(kind: str) -> dict[str, Any]:
    """The networks of a published base, where and as what torch makes them by default."""
    text = {"sd1": CLIP_L, "sd2": CLIP_H, "sdxl": CLIP_L}[kind]
    made = {
        "unet": diffusers.UNet2DConditionModel(**UNETS[kind]),
        "vae": diffusers.AutoencoderKL(**VAE),
        "text_encoder": transformers.CLIPTextModel(transformers.CLIPTextConfig(vocab_size=49408, **text)),
    }
    if kind == "sdxl":
        config = transformers.CLIPTextConfig(vocab_size=49408, projection_dim=1280, **CLIP_G)
        made["text_encoder_2"] = transformers.CLIPTextModelWithProjection(config)
    return made


def write_config(kind: str, parts: dict[str, Any], folder: Path) -> Path:
    """The small files of a base's folder; the tokenizer is the tiny one."""
    classes = {name: type(part).__name__ for name, part in parts.items()}
    for name, part in parts.items():
        part.save_config(folder / name) if hasattr(part, "save_config") else part.config.save_pretrained(folder / name)
    tokenizers = ["tokenizer", "tokenizer_2"] if kind == "sdxl" else ["tokenizer"]
    for name in tokenizers:
        tiny.tokenizer(folder / "tokenizer-files").save_pretrained(folder / name)
    tiny.scheduler().save_pretrained(folder / "scheduler")
    classes |= dict.fromkeys(tokenizers, "CLIPTokenizer") | {"scheduler": "DDIMScheduler"}
    index = {name: ["library", kind] for name, kind in classes.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **index}))
    return folder


def write_file(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """A safetensors file, written tensor by tensor; those without memory become holes, which take no disk."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            if not tensor.is_meta:
                file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
        file.truncate(8 + len(text) + end)


@pytest.mark.parametrize("kind", UNETS)
def test_published_files_are_known_by_their_headers(kind: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        parts = models(kind)
        tensors = original(parts)
    count, *keys = KNOWN[kind]
    assert set(keys) <= set(tensors)
    assert sum(name.startswith("model.diffusion_model.") for name in tensors) == count
    file = tmp_path / "published.safetensors"
    write_file(tensors, file)
    assert detect_family(file) == kind == family_of(parts["unet"].config)
    for name, part in parts.items():
        check_part(read_single_file(file), name, part, tmp_path)


@pytest.fixture
def full_size(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """SD 1.5 in random bfloat16 numbers as a single file, with its config beside it, and an adapter."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        parts = models("sd1")
        net = FFRNet.from_unet(parts["unet"], zero_init=False)
        mixer = FacialAttributeMixer(512, 1024, 768, id_tokens=4, tokens=16, heads=8, decoder_layers=2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert sum(p.numel() for p in parts["unet"].parameters()) == 859_520_964
    save_adapter(tmp_path / "adapter", net, mixer, AdapterConfig.for_unet(parts["unet"].config, {}))
    write_config("sd1", parts, tmp_path / "base")
    write_file(original(parts), tmp_path / "base.safetensors")
    del parts, net, mixer
    gc.collect()
    yield tmp_path / "base.safetensors", tmp_path / "adapter"
    for file in tmp_path.rglob("*.safetensors"):  # gigabytes, which pytest would keep
        file.unlink()


@pytest.mark.slow
def test_full_size_sd15_draws_with_a_face(full_size: tuple[Path, Path]) -> None:
    """Two people, one seed: the pictures are finite, and differ."""
    pipeline, config = load_pipeline(*full_size, torch.bfloat16)
    assert config.family == "sd1"
    assert pipeline.unet.dtype == pipeline.controlnet.dtype == torch.bfloat16
    pipeline.set_progress_bar_config(disable=True)
    made = []
    for person in range(2):
        generator = torch.Generator().manual_seed(person)
        face, looks = torch.randn(1, 512, generator=generator), torch.randn(1, 257, 1024, generator=generator)
        with torch.no_grad():
            tokens = pipeline.mixer(face.bfloat16(), looks.bfloat16())
        images = pipeline(
            "a face",
            image=torch.ones(1, 3, 128, 128),
            face_tokens=tokens,
            num_inference_steps=2,
            output_type="np",
            generator=torch.Generator().manual_seed(0),
        ).images
        made.append(np.asarray(images))
    assert made[0].shape == (1, 128, 128, 3)
    assert np.isfinite(made[0]).all()
    assert np.ptp(made[0]) > 0.1
    assert np.abs(made[0] - made[1]).mean() > 1e-3
