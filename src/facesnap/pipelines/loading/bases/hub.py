"""The Hugging Face hub: what its cache holds is used as it is, without asking the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from huggingface_hub import constants, list_repo_files, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from facesnap.core.errors import AdapterError, one_line

#: Everything in a pipeline's repository but its weights: configs and tokenizers, a few megabytes.
SMALL: Final = ("*.json", "*.txt")


def is_offline() -> bool:
    """Whether the hub is switched off (``HF_HUB_OFFLINE=1``)."""
    return bool(constants.HF_HUB_OFFLINE)


def cached(name: str, file: str) -> Path | None:
    """The snapshot of a hub id in the cache, if it holds ``file`` (of its top level); it may lack others."""
    found = cached_file(name, file)
    return None if found is None else found.parent


def cached_file(name: str, file: str) -> Path | None:
    """One file of a hub id, wherever in it, if the cache holds it. AdapterError for what can't be a hub id."""
    try:
        found = try_to_load_from_cache(name, file)
    except ValueError as error:  # not the shape of a hub id
        raise AdapterError(one_line(error)) from error
    return Path(found) if isinstance(found, str) else None


def fetch(name: str, patterns: Sequence[str]) -> Path:
    """The snapshot of a hub id with the files that match, fetched where they are not cached.

    Raises:
        AdapterError: they can't be had; says why.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's client and its transport share no base class
        raise _not_here(name, error) from error


def files_of(name: str) -> set[str]:
    """Names of all files in a hub repository. Raises AdapterError as :func:`fetch` does."""
    try:
        return set(list_repo_files(name))
    except Exception as error:  # as above
        raise _not_here(name, error) from error


def fetch_command(name: str) -> str:
    """What fetches the small files of a repository into the cache."""
    return f"hf download {name} " + " ".join(f'--include "{pattern}"' for pattern in SMALL)


def _not_here(name: str, error: Exception) -> AdapterError:
    if is_offline():
        why = "the hub is switched off (HF_HUB_OFFLINE)"
    elif isinstance(error, RepositoryNotFoundError):
        why = "the hub shows no model of that name: if it is private or gated, log in with `hf auth login`"
    elif isinstance(error, LocalEntryNotFoundError | ConnectionError):
        why = "the hub can't be reached"
    else:
        why = one_line(error)
    return AdapterError(f"{name} is not (whole) in the hub's cache, and can't be fetched: {why}")
