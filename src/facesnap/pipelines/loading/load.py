"""From names to pipelines: a base with an adapter attached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from facesnap.core.errors import AdapterError, UsageError, one_line
from facesnap.core.quiet import quiet

# Diffusers loads a component of ours (mini's VAE) only from a module that is already imported.
from facesnap.models.autoencoder import PatchAutoencoder as PatchAutoencoder
from facesnap.models.checkpoint import AdapterConfig, load_adapter, read_adapter_config
from facesnap.models.published import InstantID, PublishedAdapter
from facesnap.pipelines.bindings.roads import text_class
from facesnap.pipelines.bindings.sd import FaceSnapPipeline
from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.loading.bases.configs import find_config
from facesnap.pipelines.loading.bases.find import detect_family
from facesnap.pipelines.loading.bases.folders import (
    file_names,
    find_weights,
    load_parts_whole,
    missing_small_file,
    read_parts,
)
from facesnap.pipelines.loading.bases.single_file import load_components
from facesnap.pipelines.loading.bases.single_file_header import read_single_file

#: Makes a pipeline of a class from weights of a dtype and the adapter's parts; all that can be checked before, is.
_Reader = Callable[[Any, torch.dtype, dict[str, Any]], Any]

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_pipeline(
    base: Path, adapter: Path, dtype: torch.dtype, base_config: str | Path | None = None
) -> tuple[FaceSnapPipeline | FaceSnapXLPipeline, AdapterConfig]:
    """Load a base with an adapter attached, on the CPU.

    The network is asked for nothing but the small files of a single file's config, and for these only where none are
    on this machine.

    Args:
        base: as :func:`facesnap.pipelines.loading.bases.find.find_base` gives it.
        adapter: as :func:`facesnap.pipelines.loading.adapter_files.find_adapter` gives it.
        dtype: of all weights.
        base_config: for a single file, the diffusers folder (or hub id) whose configs and tokenizer go with it; None
            looks for one, see :func:`facesnap.pipelines.loading.bases.configs.find_config`.

    Raises:
        AdapterError: one of them is missing or damaged, or they don't fit each other (both named).
        UsageError: a ``base_config`` for a folder, which has its own.
    """
    family = detect_family(base)
    config = read_adapter_config(adapter)
    config.check_base(family, base)  # before gigabytes are read
    read = _reader(base, base_config)
    loaded = load_adapter(adapter, dtype)
    return _read(read, text_class(family), base, dtype, {"controlnet": loaded.ffrnet, "mixer": loaded.mixer}), config


def load_published(
    base: Path, adapter: PublishedAdapter, dtype: torch.dtype, base_config: str | Path | None = None
) -> Any:
    """Load a base with a published adapter attached, on the CPU: FaceSnap's pipeline for InstantID, whose IdentityNet
    is its FFRNet; diffusers' own for adapters without a ControlNet.

    Args:
        base: as :func:`facesnap.pipelines.loading.bases.find.find_base` gives it.
        adapter: as :func:`read_published` gives it.
        dtype: of all weights.
        base_config: see :func:`load_pipeline`.

    Raises:
        AdapterError, UsageError: see :func:`load_pipeline`.
        MissingExtraError: FaceID's LoRA needs peft.
    """
    family = detect_family(base)
    adapter.check_family(family, base)
    read = _reader(base, base_config)
    parts: dict[str, Any] = {}
    if isinstance(adapter, InstantID):
        parts = {"controlnet": adapter.identity_net(dtype), "mixer": None}
    pipeline = _read(read, text_class(family, controlled=bool(parts)), base, dtype, parts)
    with quiet():
        adapter.attach(pipeline)
    return pipeline


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


def _read(read: _Reader, kind: Any, base: Path, dtype: torch.dtype, parts: dict[str, Any]) -> Any:
    try:
        with quiet():
            pipeline = read(kind, dtype, parts)
    except AdapterError:
        raise
    except Exception as error:  # diffusers, transformers and safetensors share no base class
        raise AdapterError(f"the base at {base} can't be loaded: {one_line(error)}") from error
    pipeline.set_progress_bar_config(disable=None)  # none where nobody watches: logs stay readable
    return pipeline


def _reader(base: Path, base_config: str | Path | None) -> _Reader:
    return _folder(base, base_config) if base.is_dir() else _file(base, base_config)


def _folder(base: Path, base_config: str | Path | None) -> _Reader:
    if base_config is not None:
        raise UsageError(f"a base config goes with a single file, and {base} is a folder with its own: leave it out")
    names, listed = file_names(base), read_parts(base)
    variant = find_weights(names, listed, base).variant
    if lacking := missing_small_file(names, listed):
        raise AdapterError(f"the base at {base} is not whole: {lacking} is missing")

    def read(made: Any, dtype: torch.dtype, parts: dict[str, Any]) -> Any:
        own = load_parts_whole(base, dtype, variant)
        given = {**own, **parts, "dtype": dtype, "variant": variant}
        return made.from_pretrained(str(base), **given, local_files_only=True, use_safetensors=True)

    return read


def _file(base: Path, base_config: str | Path | None) -> _Reader:
    single = read_single_file(base)
    config = find_config(single, base_config)
    return lambda made, dtype, parts: made(**load_components(single, config, dtype), **parts)
