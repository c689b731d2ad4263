"""Between pass 1 and pass 2: what all parts say of their photos, as arrays of a few numbers each.

A million kept photos are about 60 MB here, and 1 GB of embeddings on disk, which are memory-mapped.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from facesnap.core.errors import OutputError, one_line
from facesnap.data.parts import PARTS, Part, Record, part_path

EMBEDDINGS: Final = "f_id.npy"
#: What the report's histograms show of every photo with a face.
MEASURES: Final = ("face", "sharpness", "turn", "watermark", "score", "enlarge")
#: Photos per reason that the report shows, at most.
SHOWN: Final = 8


@dataclass
class Gathered:
    """What the parts say.

    Of the N photos that pass 1 kept: ``part``, ``row`` where they are; ``sha`` their hashes (N,) S32; ``dhash`` (N,)
    u64; ``face`` (N,) the face's size in pixels; ``named`` (N,) place in ``names``, or -1; ``f_id`` (N, D) of the plain
    view, memory-mapped.

    Of all: ``photos``, how many; ``reasons``, how often each refused; ``samples``, records of a few per reason ("" for
    kept ones); ``measures``, values by name; ``licences`` of the kept; ``stamp``, which changes with any part.
    """

    part: np.ndarray
    row: np.ndarray
    sha: np.ndarray
    dhash: np.ndarray
    face: np.ndarray
    named: np.ndarray
    f_id: np.ndarray
    names: list[str]
    photos: int
    reasons: Counter[str]
    samples: dict[str, list[Record]]
    measures: dict[str, np.ndarray]
    stamp: str

    def __len__(self) -> int:
        return len(self.part)

    def record(self, folder: Path, place: int) -> Record:
        """The record of a kept photo."""
        part = Part(part_path(folder, int(self.part[place])))
        part.close()
        record: Record = part.kept[int(self.row[place])]
        return record


@dataclass
class _Columns:
    part: array[int] = field(default_factory=lambda: array("l"))
    row: array[int] = field(default_factory=lambda: array("l"))
    dhash: array[int] = field(default_factory=lambda: array("Q"))
    face: array[float] = field(default_factory=lambda: array("f"))
    named: array[int] = field(default_factory=lambda: array("l"))
    sha: bytearray = field(default_factory=bytearray)


def gather(folder: Path, parts: int) -> Gathered:
    """Read all parts of a data set's folder, one at a time.

    Raises:
        InputError: one is damaged.
        OutputError: the embeddings can't be written.
    """
    columns, names = _Columns(), dict[str, int]()
    reasons, samples = Counter[str](), dict[str, list[Record]]()
    measures = {name: array("f") for name in MEASURES}
    stamp, photos = hashlib.sha256(), 0
    for number, part in _parts(folder, parts):
        stamp.update(part.of.encode())
        photos += len(part.records)
        row = 0
        for record in part.records:
            for name, values in measures.items():
                if name in record["scores"]:
                    values.append(record["scores"][name])
            shown = samples.setdefault(record["reason"], [])
            if len(shown) < SHOWN:
                shown.append(record)
            if record["reason"]:
                reasons[record["reason"]] += 1
                continue
            _add(columns, names, record, number, row)
            row += 1
    f_id = _embeddings(folder, parts, len(columns.part))
    return Gathered(
        part=np.array(columns.part, np.int32),
        row=np.array(columns.row, np.int32),
        sha=np.frombuffer(bytes(columns.sha), "V32"),
        dhash=np.array(columns.dhash, np.uint64),
        face=np.array(columns.face, np.float32),
        named=np.array(columns.named, np.int64),
        f_id=f_id,
        names=list(names),
        photos=photos,
        reasons=reasons,
        samples=samples,
        measures={name: np.array(values, np.float32) for name, values in measures.items()},
        stamp=stamp.hexdigest()[:16],
    )


def _add(columns: _Columns, names: dict[str, int], record: Record, part: int, row: int) -> None:
    columns.part.append(part)
    columns.row.append(row)
    columns.dhash.append(record["dhash"])
    columns.face.append(record["scores"]["face"])
    columns.sha += bytes.fromhex(record["sha256"])
    columns.named.append(names.setdefault(record["person"], len(names)) if record["person"] else -1)


def _parts(folder: Path, count: int) -> Iterator[tuple[int, Part]]:
    for number in range(count):
        part = Part(part_path(folder, number))
        yield number, part
        part.close()


def _embeddings(folder: Path, parts: int, count: int) -> np.ndarray:
    """(N, D) of the plain views, in a file of their own."""
    path = folder / PARTS / EMBEDDINGS
    if not count:
        return np.empty((0, 1), np.float16)
    file, done = None, 0
    try:
        for _, part in _parts(folder, parts):
            if part.kept:
                vectors = part.array("f_id")[:, 0]
                if file is None:
                    shape = (count, vectors.shape[1])
                    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
                file[done : done + len(vectors)] = vectors
                done += len(vectors)
        assert file is not None
        file.flush()
    except OSError as error:
        raise OutputError(f"can't write {path}: {one_line(error)}") from error
    return np.asarray(np.load(path, mmap_mode="r"))
