"""From names to pipelines: which base, of which family, with which adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download

from facesnap.core.errors import AdapterError, UsageError, one_line
from facesnap.core.weights import find_local, mini_folder, read_config

# Diffusers loads a component of ours (mini's VAE) only from a module that is already imported.
from facesnap.models.autoencoder import PatchAutoencoder as PatchAutoencoder
from facesnap.models.checkpoint import (
    AdapterConfig,
    family_of,
    is_sdxl,
    load_adapter,
    local_only,
    read_adapter_config,
)
from facesnap.pipelines.quiet import quiet
from facesnap.pipelines.sd import FaceSnapPipeline
from facesnap.pipelines.sdxl import FaceSnapXLPipeline

#: Families by the width of their text states, for single files in Stability's original key layout.
_SINGLE_FILE_FAMILIES: Final = {768: "sd1", 1024: "sd2", 2048: "sdxl"}

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_base(base: str | Path) -> Path:
    """Where a base lies: ``"mini"``, a diffusers folder, a ``.safetensors`` file, or a hub id (cached, or fetched now).

    Raises:
        AdapterError: nothing of that name is here, and it can't be fetched.
    """
    if str(base) == "mini":
        folder = mini_folder() / "base"
        if not (folder / "model_index.json").is_file():
            raise AdapterError(f"the embedded model is not (whole) at {folder}: train it with `facesnap mini train`")
        return folder
    if path := find_local(base, "base model"):
        return path
    try:
        return Path(DiffusionPipeline.download(str(base), use_safetensors=True))
    except Exception as error:  # the hub's client, its transport and diffusers share no base class
        raise AdapterError(f"{base} is neither cached nor can it be fetched: {one_line(error)}") from error


def find_adapter(adapter: str | Path | None) -> Path:
    """Where an adapter lies: a folder, a hub id, or None for the embedded one.

    Raises:
        AdapterError: nothing of that name is here, and it can't be fetched.
    """
    if adapter is None:
        return mini_folder() / "adapter"
    if path := find_local(adapter, "adapter"):
        return path
    try:
        return Path(snapshot_download(str(adapter), allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # as above
        raise AdapterError(f"{adapter} is neither cached nor can it be fetched: {one_line(error)}") from error


def detect_family(path: Path) -> str:
    """Family of a base on disk, without loading it; see :func:`facesnap.models.checkpoint.family_of`.

    Raises:
        AdapterError: it isn't a Stable Diffusion model.
    """
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise AdapterError(f"{path} is not a diffusers pipeline folder: model_index.json is missing")
        config = read_config(path / "unet")
        if not {"block_out_channels", "cross_attention_dim", "out_channels"} <= set(config):
            raise AdapterError(f"{path} is not a Stable Diffusion folder: its unet is {config.get('_class_name')}")
        return family_of(config)
    family = _SINGLE_FILE_FAMILIES.get(_text_width(path))
    if family is None:
        raise AdapterError(f"{path} is not a Stable Diffusion 1, 2 or XL checkpoint")
    return family


def load_pipeline(
    base: Path, adapter: Path, dtype: torch.dtype
) -> tuple[FaceSnapPipeline | FaceSnapXLPipeline, AdapterConfig]:
    """Load a base with an adapter attached, on the CPU. Folders are read without any network access.

    Raises:
        AdapterError: one of them is missing or damaged, or they don't fit each other (both named).
    """
    family = detect_family(base)
    config = read_adapter_config(adapter)
    config.check_base(family, base)  # before gigabytes are read
    loaded = load_adapter(adapter, dtype)
    parts: dict[str, Any] = {"controlnet": loaded.ffrnet, "mixer": loaded.mixer}
    pipeline_class = FaceSnapXLPipeline if is_sdxl(family) else FaceSnapPipeline
    try:
        with quiet():
            if base.is_dir():
                pipeline = pipeline_class.from_pretrained(str(base), **parts, **local_only(dtype))
            else:
                pipeline = pipeline_class.from_single_file(str(base), **parts, dtype=dtype)
    except Exception as error:  # diffusers, transformers and safetensors share no base class
        raise AdapterError(f"the base at {base} can't be loaded: {one_line(error)}") from error
    pipeline.set_progress_bar_config(disable=None)  # none where nobody watches: logs stay readable
    return pipeline, config


def choose_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """``auto``: half precision on accelerators (bfloat16 where CUDA has it), float32 on the CPU."""
    if isinstance(name, torch.dtype):
        return name
    if name in _DTYPES:
        return _DTYPES[name]
    if name != "auto":
        raise UsageError(f"unknown dtype {name}: use auto, {', '.join(_DTYPES)}")
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


def _text_width(file: Path) -> int:
    """Width of the text states that a single-file UNet attends to; 0 if it has none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 (not a dict)
                if key.startswith("model.diffusion_model.") and key.endswith(".attn2.to_k.weight"):
                    return int(opened.get_slice(key).get_shape()[1])
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"can't read {file}: {one_line(error)}") from error
    return 0
