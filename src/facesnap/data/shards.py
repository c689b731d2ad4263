"""Tar shards as webdataset reads them: written whole or not at all, the same bytes for the same samples."""

from __future__ import annotations

import os
import secrets
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from facesnap.core.errors import InputError, OutputError, one_line

#: What reading a damaged shard raises.
DAMAGE = (OSError, ValueError, EOFError, tarfile.TarError)


def write_shard(path: str | Path, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> int:
    """Write samples (key, suffix -> content) one after the other; returns how many.

    Raises:
        OutputError: the shard can't be written; no part of it remains.
    """
    path = Path(path)
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for key, members in samples:
                    for suffix, content in members.items():
                        tar.addfile(_member(f"{key}.{suffix}", len(content)), BytesIO(content))
                    count += 1
            file.flush()
            os.fsync(file.fileno())  # some file systems report a full disk only here
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"can't write {path}: {one_line(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # its owner and time are 0: nothing of the machine
    member.size = size
    return member


def read_shard(path: str | Path) -> Iterator[dict[str, Any]]:
    """The samples of a shard, in order: suffix -> bytes, and ``__key__``; streamed, one in memory at a time.

    A name's suffix begins at its first dot, as webdataset sees it; members of one sample lie next to each other.

    Raises:
        InputError: the shard is missing or damaged; names it and the last sample that could be read.
    """
    sample: dict[str, Any] = {}
    last = ""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if sample and sample["__key__"] != key:
                    yield sample
                    last, sample = f" after {sample['__key__']}", {}
                opened = tar.extractfile(member)
                content = opened.read() if opened else b""
                if len(content) != member.size:
                    raise EOFError("unexpected end of data")
                sample = {**sample, "__key__": key, suffix.lower(): content}
    except DAMAGE as error:
        raise InputError(f"shard {path} is damaged{last}: {one_line(error)}") from error
    if sample:
        yield sample
