"""Bases: where the one of a name lies, and of which family it is, before its weights are read or even fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import AdapterError
from facesnap.core.weights import embedded, find_local, read_config
from facesnap.models.checkpoint import family_of
from facesnap.pipelines.loading.bases import hub
from facesnap.pipelines.loading.bases.folders import INDEX, file_names, find_weights, missing_small_file, read_parts
from facesnap.pipelines.loading.bases.single_file_header import read_single_file

#: Raises an AdapterError unless an adapter fits a base: (family, what errors call the base).
FamilyCheck = Callable[[str, object], None]

#: What UNets of these families are for that take more than latents, by the number of their input channels.
_OTHER_INPUTS: Final = {5: "a depth-to-image", 7: "an upscaling", 8: "a picture-editing", 9: "an inpainting"}


def find_base(base: str | Path, check: FamilyCheck | None = None) -> Path:
    """Where a base lies: ``"mini"``, a diffusers folder, a ``.safetensors`` file, or a hub id (cached, or fetched now).

    Args:
        base: its name. A hub id that is whole in the cache is used as it is, without asking the network.
        check: whether an adapter fits it; it is asked before the weights of a hub's base are fetched. Bases that are
            on this machine are left to the caller.

    Raises:
        AdapterError: nothing of that name is here, and it can't be fetched; or it is no Stable Diffusion base; or the
            adapter doesn't fit it.
    """
    if str(base) == "mini":
        return embedded("base", INDEX)
    return find_local(base, "base model") or _find_on_hub(str(base), check)


def detect_family(path: Path, name: object = None) -> str:
    """Family of a base on disk, as :func:`facesnap.models.checkpoint.family_of` names it; no weights are read.

    Raises:
        AdapterError: see :func:`read_unet`.
    """
    return family_of(read_unet(path, name))


def read_unet(path: Path, name: object = None) -> Mapping[str, Any]:
    """What is known of a base's UNet without its weights: the config of a folder, the shapes of a single file.

    Args:
        path: of the base.
        name: what errors call it; None is its path.

    Raises:
        AdapterError: it isn't a Stable Diffusion model that draws from text; says what it is, if that can be told.
    """
    name = name or path
    if not path.is_dir():
        unet: Mapping[str, Any] = read_single_file(path).unet
    else:
        read_parts(path, name)
        unet = read_config(path / "unet")
    check_unet(unet, name)
    return unet


def check_unet(unet: Mapping[str, Any], name: object) -> None:
    """Make sure that a UNet draws from text alone.

    Args:
        unet: its config, by diffusers' names.
        name: what errors call its base.

    Raises:
        AdapterError: it takes other things, too (which, if that can be told), or is of another architecture.
    """
    if lacking := sorted({"block_out_channels", "cross_attention_dim", "out_channels"} - set(unet)):
        raise AdapterError(f"{name} has no Stable Diffusion UNet: its config has no {lacking[0]}")
    takes, makes = unet.get("in_channels", unet["out_channels"]), unet["out_channels"]
    if takes != makes:
        kind = _OTHER_INPUTS.get(takes, "a special")
        raise AdapterError(f"{name} is {kind} model (its UNet takes {takes} channels): give a text-to-image base")
    if unet.get("class_embed_type") or unet.get("num_class_embeds"):
        raise AdapterError(f"{name} has a UNet that needs more than text (class embeddings): give a text-to-image base")


def _find_on_hub(name: str, check: FamilyCheck | None) -> Path:
    folder = hub.cached(name, INDEX)
    if folder is not None and _is_whole(folder, name):
        return folder
    folder = hub.fetch(name, hub.SMALL)
    if not (folder / INDEX).is_file():
        raise AdapterError(f"{name} is no diffusers repository: fetch a file of it (`hf download`) and give that")
    family = detect_family(folder, name)
    if check is not None:
        check(family, name)
    weights = find_weights(hub.files_of(name), read_parts(folder), name)
    return hub.fetch(name, [*hub.SMALL, *weights.files])


def _is_whole(folder: Path, name: str) -> bool:
    names, parts = file_names(folder), read_parts(folder, name)
    try:
        find_weights(names, parts, name)
    except AdapterError:
        return False
    return missing_small_file(names, parts) is None
