"""Adapters by name: where the one of a name lies, or just those files of a hub repository that are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from facesnap.core.errors import AdapterError
from facesnap.core.weights import embedded, find_local
from facesnap.models.checkpoint import CONFIG_NAME
from facesnap.models.published.find import is_published_name
from facesnap.models.published.instantid import IDENTITY_NET
from facesnap.pipelines.loading.bases import hub

#: The networks of an adapter of FaceSnap's own, each in a folder.
_NETWORKS: Final = ("ffrnet", "mixer")
_OWN: Final = (CONFIG_NAME, *(f"{network}/*.{ending}" for network in _NETWORKS for ending in ("json", "safetensors")))

#: What InstantID's repository calls its first part, and where its second lies.
_INSTANTID: Final = "ip-adapter.bin"
_IDENTITY_NET: Final = (f"{IDENTITY_NET}/*.json", f"{IDENTITY_NET}/*.safetensors")


def find_adapter(adapter: str | Path | None) -> Path:
    """Where an adapter lies: a folder or file, a hub id (cached, or fetched now), one file of a hub repository
    (``owner/name/file.bin``), or None for the embedded one.

    Raises:
        AdapterError: nothing of that name is here, and it can't be fetched; or the repository holds no adapter, or
            several.
    """
    if adapter is None:
        return embedded("adapter", CONFIG_NAME)
    if path := find_local(adapter, "adapter"):
        return path
    owner, name, *inside = str(adapter).split("/")
    return _one_file(f"{owner}/{name}", "/".join(inside)) if inside else _repository(f"{owner}/{name}")


def _one_file(repository: str, file: str) -> Path:
    """A published file; InstantID's with its IdentityNet."""
    if file == _INSTANTID:
        return (_cached_instantid(repository) or hub.fetch(repository, (file, *_IDENTITY_NET))) / file
    if found := hub.cached_file(repository, file):
        return found
    try:
        found = hub.fetch(repository, (file,)) / file
    except AdapterError as error:
        raise AdapterError(f"there is no file {repository}/{file} here, and as a file of the hub: {error}") from error
    if not found.is_file():
        raise AdapterError(f"the hub's repository {repository} has no file {file}")
    return found


def _repository(name: str) -> Path:
    own = hub.cached(name, CONFIG_NAME)
    if own is not None and all(any((own / network).glob("*.safetensors")) for network in _NETWORKS):
        return own
    if found := _cached_instantid(name):
        return found
    files = hub.files_of(name)
    if CONFIG_NAME in files:
        return hub.fetch(name, _OWN)
    if _INSTANTID in files:
        return hub.fetch(name, (_INSTANTID, *_IDENTITY_NET))
    published = sorted(filter(is_published_name, files))
    if len(published) == 1:
        return _one_file(name, published[0])
    if published:
        raise AdapterError(f"{name} holds several adapters, give one as {name}/{published[0]}: {', '.join(published)}")
    raise AdapterError(f"{name} holds no adapter: it has no {CONFIG_NAME}, and none of the published files")


def _cached_instantid(name: str) -> Path | None:
    folder = hub.cached(name, _INSTANTID)
    if folder is None or not (folder / IDENTITY_NET / "config.json").is_file():
        return None
    return folder if any((folder / IDENTITY_NET).glob("*.safetensors")) else None
