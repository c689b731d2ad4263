"""Other ControlNets beside FFRNet: by name, checked against the base before their weights are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import ControlNetModel

from facesnap.core.errors import AdapterError
from facesnap.core.quiet import quiet
from facesnap.core.weights import CONFIG_NAME, find_local, load_whole, read_config
from facesnap.models.checkpoint import depth_of
from facesnap.models.several import FaceControlNets
from facesnap.pipelines.loading.bases import hub
from facesnap.pipelines.loading.bases.folders import file_names, find_model_weights

_STOCK: Final = "ControlNetModel"


def beside(ffrnet: Any, others: Sequence[Any]) -> Any:
    """FFRNet alone, or with other ControlNets behind it."""
    return FaceControlNets([ffrnet, *others]) if others else ffrnet


def find_controlnet(name: str | Path, unet: Mapping[str, Any], base: object) -> Path:
    """The folder of a ControlNet that fits a base; a hub id is taken from the cache, or else fetched.

    Args:
        name: a diffusers folder or a hub id.
        unet: of the base, as :func:`facesnap.pipelines.loading.bases.find.read_unet` gives it.
        base: what errors call it.

    Raises:
        AdapterError: nothing of that name is here, and it can't be fetched; it is something else, or a pickle; or it
            was made for another family of bases (both named). A hub's is refused before its weights are fetched.
    """
    if folder := find_local(name, "ControlNet"):
        _check(folder, name, unet, base)
        find_model_weights(file_names(folder), f"the ControlNet {name}")
        return folder
    cached = hub.cached(str(name), CONFIG_NAME)
    folder = cached or hub.fetch(str(name), (CONFIG_NAME,))
    _check(folder, name, unet, base)
    if cached is not None and _is_whole(cached):
        return cached
    weights = find_model_weights(hub.files_of(str(name)), f"the ControlNet {name}")
    return hub.fetch(str(name), (CONFIG_NAME, *weights.files))


def load_controlnet(folder: Path, dtype: torch.dtype) -> ControlNetModel:
    """Load what :func:`find_controlnet` found, in eval mode. Raises AdapterError for one that is damaged."""
    variant = find_model_weights(file_names(folder), folder).variant
    with quiet():
        made: ControlNetModel = load_whole(
            ControlNetModel, folder, f"the ControlNet {folder}", dtype=dtype, variant=variant
        )
    return made


def _check(folder: Path, name: object, unet: Mapping[str, Any], base: object) -> None:
    if not (folder / CONFIG_NAME).is_file():
        raise AdapterError(f"{name} is no ControlNet: it has no {CONFIG_NAME}")
    config = read_config(folder)
    kind = config.get("_class_name", "model of unknown kind")
    if kind != _STOCK:
        raise AdapterError(f"{name} is a {kind}, which can't stand beside FFRNet: give a {_STOCK}")
    if (channels := config.get("conditioning_channels", 3)) != 3:
        raise AdapterError(f"the ControlNet {name} is shown maps of {channels} channels, not of RGB")
    its, wanted = _shape(config), _shape(unet)
    if its != wanted:
        raise AdapterError(f"the ControlNet {name} {its}, but {base} {wanted}: choose another of them")


def _shape(config: Mapping[str, Any]) -> str:
    """What a UNet and its ControlNet have in common, in words."""
    levels = "-".join(str(channels) for channels in config["block_out_channels"])
    kind = ", as SDXL" if config.get("addition_embed_type") == "text_time" else ""
    return f"has {levels} channels{depth_of(config)} and reads text {config['cross_attention_dim']} wide{kind}"


def _is_whole(folder: Path) -> bool:
    try:
        find_model_weights(file_names(folder), folder)
    except AdapterError:
        return False
    return True
