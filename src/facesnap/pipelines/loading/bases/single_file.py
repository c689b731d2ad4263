"""Single files as diffusers components, every tensor accounted for.

Diffusers' own ``from_single_file`` asks the hub for configs; without accelerate it also makes a random model of full
size first, and leaves random what the file lacks. Here its functions rename the keys; the rest is strict and lean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors import safe_open
from torch import Tensor, nn

from facesnap.core.errors import AdapterError
from facesnap.core.weights import read_json
from facesnap.pipelines.loading.bases.folders import INDEX, read_parts
from facesnap.pipelines.loading.bases.single_file_header import PREFIXES, SingleFile

_OPEN_CLIP: Final = ("cond_stage_model.model.", "conditioner.embedders.1.model.")


def load_components(single: SingleFile, config: Path, dtype: torch.dtype) -> dict[str, Any]:
    """All components of a text-to-image pipeline, on the CPU, in eval mode.

    Args:
        single: the file's header.
        config: its diffusers folder, see :func:`facesnap.pipelines.loading.bases.configs.find_config`.
        dtype: of the weights.

    Raises:
        AdapterError: the file lacks a tensor that the config asks for, or has one of another shape.
    """
    parts = read_parts(config)
    models = {part: _empty_model(part, parts[part], config) for part in PREFIXES if part in parts}
    for part, model in models.items():
        check_part(single, part, model, config)  # all of them, before gigabytes are read
    made: dict[str, Any] = {}
    with safe_open(single.path, framework="pt") as opened:
        for part, model in models.items():
            made[part] = _filled(model, _converted(single, part, model, opened.get_tensor), dtype)
    for part in ("tokenizer", "tokenizer_2"):
        if part in parts:
            made[part] = getattr(transformers, parts[part]).from_pretrained(config / part, local_files_only=True)
    made["scheduler"] = _scheduler(parts["scheduler"], config / "scheduler", single.scheduler_changes)
    index = read_json(config / INDEX)
    return {**made, **{name: index[name] for name in ("force_zeros_for_empty_prompt",) if name in index}}


def check_part(single: SingleFile, part: str, model: nn.Module, config: Path) -> None:
    """Make sure, by the header alone, that a file has every tensor of a part; raises as :func:`load_components`."""
    given = _converted(single, part, model, lambda name: torch.empty(single.shapes[name], device="meta"))
    for name, tensor in model.state_dict().items():
        shape = tuple(given[name].shape) if name in given else "missing"
        if shape != tuple(tensor.shape):
            fault = f"{name} of the {part} is {shape}, not {tuple(tensor.shape)}"
            raise AdapterError(f"{single.path} doesn't fit the config at {config}: {fault}")


def _empty_model(part: str, kind: str, config: Path) -> Any:
    """A model without memory for its weights: their names and shapes."""
    library = diffusers if part in ("unet", "vae") else transformers
    model_class = getattr(library, kind)
    if library is diffusers:
        settings = model_class.load_config(config, subfolder=part, local_files_only=True)
        with torch.device("meta"):
            return model_class.from_config(settings)
    settings = model_class.config_class.from_pretrained(config / part, local_files_only=True)
    with torch.device("meta"):
        return model_class(settings)


def _converted(single: SingleFile, part: str, model: Any, get: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """A part's tensors by diffusers' names."""
    given = {name: get(name) for name in single.shapes if name.startswith(PREFIXES[part])}
    if part == "unet":
        return dict(convert_ldm_unet_checkpoint(given, config=model.config))
    if part == "vae":
        return dict(convert_ldm_vae_checkpoint(given, config=model.config))
    prefix = next((p for p in _OPEN_CLIP if any(name.startswith(p) for name in given)), None)
    if prefix is not None:
        renamed = convert_open_clip_checkpoint(model, given, prefix=prefix)
    else:
        renamed = convert_ldm_clip_checkpoint(given)
    # Whether the encoder proper is wrapped differs between files, and between transformers' classes.
    wrapper = "text_model." if hasattr(model, "text_model") else ""
    plain = {name.removeprefix("text_model."): tensor for name, tensor in renamed.items()}
    return {name if name.startswith("text_projection") else wrapper + name: t for name, t in plain.items()}


def _filled(model: Any, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    """The model with weights of its own: those read are the file itself, mapped into memory."""
    own = {name: torch.empty(tensors[name].shape, dtype=dtype).copy_(tensors[name]) for name in model.state_dict()}
    if isinstance(model, transformers.PreTrainedModel):  # has more than its weights to set up
        return type(model).from_pretrained(None, config=model.config, state_dict=own, dtype=dtype)
    model.load_state_dict(own, assign=True)
    return model.eval()


def _scheduler(kind: str, folder: Path, changes: Mapping[str, Any]) -> Any:
    made = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True)
    known = {name: value for name, value in changes.items() if name in made.config}
    return type(made).from_config(made.config, **known)
