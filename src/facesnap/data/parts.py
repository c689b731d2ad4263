"""What pass 1 finds, one file per chunk: ``parts/examined-000123.npz``.

``of``: the digest of the chunk's photos, by which a later run knows that nothing changed; ``records``: one JSON object
per photo, refused or kept; arrays of the kept ones, stacked, except ``f_clip``: that is one member per photo, since the
last pass reads photos in another order, and it is by far the largest.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError, one_line

Record = dict[str, Any]
Arrays = dict[str, np.ndarray]

PARTS: Final = "parts"
#: Open parts, at most; each is a few hundred kilobytes of names and small arrays.
OPEN: Final = 32


def part_path(folder: Path, number: int) -> Path:
    """The file of a chunk, in a data set's folder."""
    return folder / PARTS / f"examined-{number:06d}.npz"


def part_bytes(of: str, records: Sequence[Record], arrays: Sequence[Arrays]) -> bytes:
    """A part as its file has it; ``arrays``: of the kept photos, in their order."""
    words = json.dumps(list(records), ensure_ascii=False, separators=(",", ":")).encode()
    members = {"of": np.frombuffer(of.encode(), np.uint8), "records": np.frombuffer(words, np.uint8)}
    for name in arrays[0] if arrays else ():
        if name == "f_clip":
            members |= {f"f_clip-{row}": each[name] for row, each in enumerate(arrays)}
        else:
            members[name] = np.stack([each[name] for each in arrays])
    buffer = io.BytesIO()
    np.savez(buffer, **members)  # type: ignore[arg-type]  # members never is its option allow_pickle
    return buffer.getvalue()


def is_examined(path: Path, of: str) -> bool:
    """Whether the part of a chunk with this digest is there. (It is written at once, so it is whole.)"""
    try:
        with np.load(path, allow_pickle=False) as found:
            return bool(bytes(found["of"]).decode() == of)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


class Part:
    """One part, opened; large arrays are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = np.load(path, allow_pickle=False)
            self.of = bytes(self._file["of"]).decode()
            self.records: list[Record] = json.loads(bytes(self._file["records"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged ({one_line(error)}): delete it and run again") from error
        self.kept = [record for record in self.records if not record["reason"]]
        self._arrays: Arrays = {}

    def array(self, name: str) -> np.ndarray:
        """(n, ...) of the n kept photos."""
        if name not in self._arrays:
            self._arrays[name] = self._read(name)
        return self._arrays[name]

    def row(self, row: int) -> Arrays:
        """All arrays of one kept photo."""
        names = [name for name in self._file.files if name not in ("of", "records") and not name.startswith("f_clip-")]
        return {**{name: self.array(name)[row] for name in names}, "f_clip": self._read(f"f_clip-{row}")}

    def _read(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._file[name])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path} is damaged ({one_line(error)}): delete it and run again") from error

    def close(self) -> None:
        """Close its file."""
        self._file.close()


@lru_cache(maxsize=OPEN)
def open_part(path: Path) -> Part:
    """A part, kept open for a while."""
    return Part(path)
