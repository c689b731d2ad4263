"""Diffusers folders: which parts a pipeline has, and whether the files of all of them are there."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from facesnap.core.errors import AdapterError
from facesnap.core.weights import load_whole, read_json

if TYPE_CHECKING:
    import torch

INDEX: Final = "model_index.json"

#: Parts that have weights. FFRNet and the mixer, which a saved FaceSnap pipeline holds too, come from the adapter.
WEIGHTY: Final = ("unet", "vae", "text_encoder", "text_encoder_2", "image_encoder", "safety_checker")

#: Those of them that every picture depends on, and where their classes may come from.
_NETWORKS: Final = ("unet", "vae", "text_encoder", "text_encoder_2")
_LIBRARIES: Final = ("diffusers", "transformers", "facesnap.models.autoencoder")

#: What a set of weight files may be called; whole numbers first, as they lose nothing.
VARIANTS: Final = (None, "fp16", "bf16")

#: Small files that a part can't do without: any one of the groups.
_SMALL: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "unet": (("config.json",),),
    "vae": (("config.json",),),
    "text_encoder": (("config.json",),),
    "text_encoder_2": (("config.json",),),
    "tokenizer": (("vocab.json", "merges.txt"), ("tokenizer.json",)),
    "tokenizer_2": (("vocab.json", "merges.txt"), ("tokenizer.json",)),
    "scheduler": (("scheduler_config.json",),),
}


@dataclass(frozen=True)
class Weights:
    """The weight files of a pipeline: ``variant`` as diffusers takes it, and their names inside the folder."""

    variant: str | None
    files: tuple[str, ...]


def read_parts(folder: Path, name: object = None) -> dict[str, str]:
    """Part -> class of a Stable Diffusion pipeline, as its ``model_index.json`` has them.

    Args:
        folder: of the pipeline; its small files are enough.
        name: what errors call it; None is its path.

    Raises:
        AdapterError: no pipeline folder, or another kind of pipeline, which is named.
    """
    name = name or folder
    if (folder / "adapter.json").is_file():
        raise AdapterError(f"{name} is an adapter, not a base: give it as the adapter")
    if not (folder / INDEX).is_file():
        raise AdapterError(f"{name} is not a diffusers pipeline folder: {INDEX} is missing")
    index = read_json(folder / INDEX)
    parts = {part: kind for part, (_, kind) in _listed(index).items()}
    if parts.get("unet") == "UNet2DConditionModel" and "text_encoder_2" in parts and "text_encoder" not in parts:
        raise AdapterError(f"{name} is an SDXL refiner, which only finishes pictures: give an SDXL base")
    if parts.get("unet") != "UNet2DConditionModel" or not parts.get("text_encoder", "").startswith("CLIPText"):
        kind = index.get("_class_name", "folder of unknown kind")
        kind = kind[-1] if isinstance(kind, list) else kind
        raise AdapterError(f"{name} is a {kind}, not a Stable Diffusion 1, 2 or XL pipeline")
    return parts


def file_names(folder: Path) -> set[str]:
    """All files of a folder and its parts' folders, as a hub repository would list them."""
    return {path.relative_to(folder).as_posix() for path in [*folder.glob("*"), *folder.glob("*/*")] if path.is_file()}


def missing_small_file(names: Collection[str], parts: Collection[str]) -> str | None:
    """The first config or tokenizer file that a pipeline of these parts lacks; None if all are there."""
    for part, groups in _SMALL.items():
        wanted = [[f"{part}/{file}" for file in group] for group in groups]
        if part in parts and not any(set(group) <= set(names) for group in wanted):
            return next(file for file in wanted[0] if file not in names)
    return None


def find_weights(names: Collection[str], parts: Collection[str], source: object) -> Weights:
    """Which weight files a pipeline of these parts needs.

    Args:
        names: of all files there are, as :func:`file_names` gives them.
        parts: of the pipeline.
        source: what the error calls it.

    Raises:
        AdapterError: the weights of a part (named) are missing, or are pickles.
    """
    wanted = [part for part in WEIGHTY if part in parts]
    return _find_weights(names, {f"{part}/": part for part in wanted}, source)


def find_model_weights(names: Collection[str], source: object) -> Weights:
    """The same for the folder of a single model, such as a ControlNet's. Raises as :func:`find_weights` does."""
    return _find_weights(names, {"": "model"}, source)


def load_parts_whole(folder: Path, dtype: torch.dtype, variant: str | None) -> dict[str, Any]:
    """The networks of a pipeline folder that every picture depends on, each with all of its tensors.

    Args:
        folder: of the pipeline.
        dtype: of the weights.
        variant: of the files, as :func:`find_weights` found it.

    Raises:
        AdapterError: one is damaged, or of a library that isn't known.
    """
    made, names = {}, file_names(folder)
    for part, (library, kind) in _listed(read_json(folder / INDEX)).items():
        if part in _NETWORKS:
            if library not in _LIBRARIES:
                raise AdapterError(f"{folder} has a {part} of {library}, which FaceSnap doesn't load")
            found = getattr(import_module(library), kind)
            own = variant if _weights_of(names, f"{part}/", variant) else None
            made[part] = load_whole(found, folder / part, f"the {part} at {folder}", dtype=dtype, variant=own)
    return made


def _listed(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Part -> (library, class) of a ``model_index.json``; parts that the pipeline does without are left out."""
    pairs = {
        p: value for p, value in index.items() if isinstance(value, list) and len(value) == 2 and p != "_class_name"
    }
    return {part: (value[0], value[1]) for part, value in pairs.items() if all(isinstance(v, str) for v in value)}


def _find_weights(names: Collection[str], parts: Mapping[str, str], source: object) -> Weights:
    """``parts``: folder (with its slash) -> what errors call what lies in it."""
    for variant in VARIANTS:
        found = {part: _weights_of(names, part, variant) or _weights_of(names, part, None) for part in parts}
        if all(found.values()):
            return Weights(variant, tuple(file for files in found.values() for file in files))
    part = next((p for p in parts if not any(_weights_of(names, p, v) for v in VARIANTS)), next(iter(parts)))
    if any(re.fullmatch(rf"{part}[^/]*\.(bin|pt|ckpt)", name) for name in names):
        pickle = "only a pickle, which could run code: convert it to safetensors (docs/BASES.md)"
        raise AdapterError(f"{source} has no safetensors of its {parts[part]}, {pickle}")
    raise AdapterError(f"{source} is not whole: the weights of its {parts[part]} ({part}*.safetensors) are missing")


def _weights_of(names: Collection[str], part: str, variant: str | None) -> list[str]:
    """The weight files of a part, one or all its shards; none if they aren't complete."""
    dotted = f".{variant}" if variant else ""
    pattern = re.compile(rf"{part}(?:diffusion_pytorch_)?model{re.escape(dotted)}(?:-\d+-of-(\d+))?\.safetensors")
    matches = [match for match in map(pattern.fullmatch, sorted(names)) if match]
    whole = [match[0] for match in matches if match[1] is None]
    shards = [match[0] for match in matches if match[1] is not None]
    complete = bool(shards) and len(shards) == int(next(match[1] for match in matches if match[1]))
    return whole or (shards if complete else [])
