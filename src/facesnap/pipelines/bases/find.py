"""Bases: where the one of a name lies, and of which family it is, before its weights are read or even fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import AdapterError
from facesnap.core.weights import find_local, mini_folder, read_config
from facesnap.models.checkpoint import AdapterConfig, family_of
from facesnap.pipelines.bases import hub
from facesnap.pipelines.bases.folders import INDEX, file_names, find_weights, missing_small_file, read_parts
from facesnap.pipelines.bases.original import read_original

#: What UNets of these families are for that take more than latents, by the number of their input channels.
_OTHER_INPUTS: Final = {5: "a depth-to-image", 7: "an upscaling", 8: "a picture-editing", 9: "an inpainting"}


def find_base(base: str | Path, adapter: AdapterConfig | None = None) -> Path:
    """Where a base lies: ``"mini"``, a diffusers folder, a ``.safetensors`` file, or a hub id (cached, or fetched now).

    Args:
        base: its name. A hub id that is whole in the cache is used as it is, without asking the network.
        adapter: what it has to fit; a hub's base of another family is then refused before its weights are fetched.

    Raises:
        AdapterError: nothing of that name is here, and it can't be fetched; or it is no Stable Diffusion base; or the
            adapter doesn't fit it.
    """
    if str(base) == "mini":
        folder = mini_folder() / "base"
        if not (folder / INDEX).is_file():
            raise AdapterError(f"the embedded model is not (whole) at {folder}: train it with `facesnap mini train`")
        return folder
    return find_local(base, "base model") or _find_on_hub(str(base), adapter)


def detect_family(path: Path) -> str:
    """Family of a base on disk, as :func:`facesnap.models.checkpoint.family_of` names it; no weights are read.

    Raises:
        AdapterError: it isn't a Stable Diffusion model that draws from text; says what it is, if that can be told.
    """
    return _family(path, path)


def _family(path: Path, name: object) -> str:
    unet = _folder_unet(path, name) if path.is_dir() else read_original(path).unet
    takes, makes = unet.get("in_channels", unet["out_channels"]), unet["out_channels"]
    if takes != makes:
        kind = _OTHER_INPUTS.get(takes, "a special")
        raise AdapterError(f"{name} is {kind} model (its UNet takes {takes} channels): give a text-to-image base")
    if unet.get("class_embed_type") or unet.get("num_class_embeds"):
        raise AdapterError(f"{name} has a UNet that needs more than text (class embeddings): give a text-to-image base")
    return family_of(unet)


def _folder_unet(folder: Path, name: object) -> Mapping[str, Any]:
    read_parts(folder, name)
    config = read_config(folder / "unet")
    if lacking := sorted({"block_out_channels", "cross_attention_dim", "out_channels"} - set(config)):
        raise AdapterError(f"{folder / 'unet'} is not a Stable Diffusion UNet: its config has no {lacking[0]}")
    return config


def _find_on_hub(name: str, adapter: AdapterConfig | None) -> Path:
    folder = hub.cached(name, INDEX)
    if folder is not None and _is_whole(folder, name):
        return folder
    folder = hub.fetch(name, hub.SMALL)
    if not (folder / INDEX).is_file():
        raise AdapterError(f"{name} is no diffusers repository: fetch a file of it (`hf download`) and give that")
    family = _family(folder, name)
    if adapter is not None:
        adapter.check_base(family, name)
    weights = find_weights(hub.files_of(name), read_parts(folder), name)
    return hub.fetch(name, [*hub.SMALL, *weights.files])


def _is_whole(folder: Path, name: str) -> bool:
    names, parts = file_names(folder), read_parts(folder, name)
    try:
        find_weights(names, parts, name)
    except AdapterError:
        return False
    return missing_small_file(names, parts) is None
