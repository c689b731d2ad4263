"""Reading rendered splits back: raw members, pictures with labels, or everything in memory.

webdataset takes the tar files apart and puts a picture's members together. It is given open files rather than
addresses, since it runs an address such as ``pipe:...`` as a command.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from facesnap.core.errors import ImageError, InputError, one_line
from facesnap.core.folders import check_readable
from facesnap.core.lazy import require
from facesnap.world.datasets.splits import Block, read_description

T = TypeVar("T")
Sample = dict[str, Any]
#: What a damaged shard makes its readers raise.
DAMAGE = (OSError, ValueError, KeyError, TypeError, tarfile.TarError, cv2.error)


@dataclass(frozen=True)
class WorldData:
    """A data set in memory; N pictures of side S."""

    images: np.ndarray  #: (N, S, S, 3) uint8 RGB
    person: np.ndarray  #: (N,) i64
    identity: np.ndarray  #: (N, 100) f32
    pose: np.ndarray  #: (N, 3) f32 yaw, pitch, roll in degrees
    camera: np.ndarray  #: (N, 4) f32 scale, cx, cy, inverse distance
    expression: np.ndarray  #: (N, 53) f32
    landmarks2d: np.ndarray  #: (N, 72, 2) f32 pixels
    landmarks3d: np.ndarray  #: (N, 72, 3) f32 cm, unposed
    visible: np.ndarray  #: (N, 72) bool
    captions: list[list[str]]
    attributes: list[dict[str, Any]]
    style: list[str]
    segmentation: np.ndarray | None = None  #: (N, S, S) uint8 classes, where they were asked for

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> WorldData:
        """The pictures of these rows, in their order, with all that belongs to them."""

        def chosen(values: Any) -> Any:
            return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]

        return replace(self, **{n: chosen(values) for n, values in vars(self).items() if values is not None})


#: WorldData's arrays of labels: shape of a picture's value, type, and where the labels have it.
ARRAYS: dict[str, tuple[tuple[int, ...], type, Callable[[dict[str, Any]], Any]]] = {
    "person": ((), np.int64, lambda x: x["person_id"]),
    "identity": ((100,), np.float32, lambda x: x["identity"]),
    "pose": ((3,), np.float32, lambda x: [x["pose"][k] for k in ("yaw", "pitch", "roll")]),
    "camera": ((4,), np.float32, lambda x: [x["camera"][k] for k in ("scale", "cx", "cy", "inverse_distance")]),
    "expression": ((53,), np.float32, lambda x: x["expression"]),
    "landmarks2d": ((72, 2), np.float32, lambda x: x["landmarks2d"]),
    "landmarks3d": ((72, 3), np.float32, lambda x: x["landmarks3d"]),
    "visible": ((72,), np.bool_, lambda x: x["visible"]),
}


def iterate_shards(folder: str | Path) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Pictures (S, S, 3) uint8 RGB and labels, in the order of person and index.

    Raises:
        InputError: no such folder, no shards in it, or a damaged ``dataset.json``.
        ImageError: a damaged shard (named).
        MissingExtraError: webdataset is not installed.
    """
    return _decoded(folder, ("png", "json"), lambda sample: (_picture(sample), json.loads(sample["json"])))


def iterate_labels(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The labels alone, without decoding pictures; errors as :func:`iterate_shards`."""
    return _decoded(folder, ("json",), lambda sample: dict(json.loads(sample["json"])))


def read_shards(folder: str | Path, limit: int | None = None, segmentation: bool = False) -> WorldData:
    """Read a split's folder into arrays (at most ``limit`` pictures); errors as :func:`iterate_shards`.

    ``segmentation``: read the class maps too.
    """
    expected = sum(pictures or 0 for _, pictures in _shards(Path(folder)))
    arrays: dict[str, _Rows] = {}
    captions, attributes, style = [], [], []
    wanted = ("png", "json", "seg.png") if segmentation else ("png", "json")
    for count, (row, labels) in enumerate(_decoded(folder, wanted, _row), start=1):
        for name, value in row.items():
            if name not in arrays:
                arrays[name] = _Rows(value, min(expected, limit or expected))
            arrays[name].append(value)
        captions.append(labels["captions"])
        attributes.append(labels["attributes"])
        style.append(labels["style"])
        if count == limit:
            break
    stacked = {name: rows.array() for name, rows in arrays.items()}
    return WorldData(captions=captions, attributes=attributes, style=style, **stacked)


class _Rows:
    """Rows of one shape that are put into an array as they come, so that pictures aren't held twice."""

    def __init__(self, first: np.ndarray, expected: int) -> None:
        self._values = np.empty((max(expected, 64), *first.shape), first.dtype)
        self._count = 0

    def append(self, value: np.ndarray) -> None:
        if self._count == len(self._values):
            self._values.resize((len(self._values) * 3 // 2, *self._values.shape[1:]), refcheck=False)
        self._values[self._count] = value
        self._count += 1

    def array(self) -> np.ndarray:
        self._values.resize((self._count, *self._values.shape[1:]), refcheck=False)
        return self._values


def _row(sample: Sample) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays that a picture adds to WorldData, and its words."""
    labels = json.loads(sample["json"])
    row = {"images": _picture(sample)}
    if "seg.png" in sample:
        row["segmentation"] = decode_png(sample["seg.png"], cv2.IMREAD_GRAYSCALE)
    for name, (shape, kind, value_of) in ARRAYS.items():
        row[name] = np.array(value_of(labels), kind)
        if row[name].shape != shape:
            raise ValueError(f"{name} of {sample['__key__']} has shape {row[name].shape}, not {shape}")
    return row, {name: labels[name] for name in ("captions", "attributes", "style")}


def _picture(sample: Sample) -> np.ndarray:
    return np.asarray(decode_png(sample["png"], cv2.IMREAD_COLOR)[..., ::-1])


def decode_png(content: bytes, flags: int) -> np.ndarray:
    """A picture as OpenCV gives it for its ``flags`` (colours as BGR).

    Raises:
        ValueError: it can't be decoded.
    """
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    if picture is None:
        raise ValueError("a PNG can't be decoded")
    return np.asarray(picture)


def _decoded(folder: str | Path, suffixes: Collection[str], decode: Callable[[Sample], T]) -> Iterator[T]:
    """Every picture of a folder, made of the members ``suffixes`` by ``decode``; whatever fails names the shard."""
    shards = _shards(Path(folder))
    if not shards:
        below = [str(path) for path in sorted(Path(folder).glob("*")) if any(path.glob("*.tar"))]
        raise InputError(f"no shards (*.tar) in {folder}" + (f": take one of {', '.join(below)}" if below else ""))
    for path, expected in shards:
        count = 0
        try:
            for sample in _samples(path, suffixes):
                if missing := [suffix for suffix in suffixes if suffix not in sample]:
                    raise ValueError(f"{sample['__key__']} has no .{missing[0]}")
                count += 1
                yield decode(sample)
            if count != (expected or count):
                raise ValueError(f"it has {count} pictures, not {expected}")
        except DAMAGE as error:
            raise ImageError(f"shard {path} is damaged ({said(error)}): delete it and render again") from error


def _samples(path: Path, suffixes: Collection[str]) -> Iterator[Sample]:
    """A shard's pictures, each as its key and the wanted members' bytes."""
    wds = require("webdataset.tariterators", "world")
    with open(path, "rb") as file:
        source = [{"url": path.name, "stream": file}]
        # the suffix begins at the first dot, as webdataset sees it
        members = wds.tar_file_expander(source, select_files=lambda name: name.partition(".")[2] in suffixes)
        yield from wds.group_by_keys(members)


def members_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files in a shard, in their order; raises one of :data:`DAMAGE`."""
    wds = require("webdataset.tariterators", "world")
    with open(path, "rb") as file:
        for member in wds.tar_file_iterator(file, skip_meta=None):
            yield member["fname"], member["data"]


def said(error: BaseException) -> str:
    """What a reader's error says, without the open file that webdataset adds to it."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, UnicodeDecodeError) or (isinstance(error, OSError) and error.strerror):
        return one_line(error)
    return one_line(ValueError(str(error.args[0] if error.args else error).partition(" @ <")[0]))


def _shards(folder: Path) -> list[tuple[Path, int | None]]:
    """The shards of the people that ``dataset.json`` names, with their numbers of pictures; without it, all there are.

    A name holds the block's number of people, so that 30 people and then 100 leave two shards with the same ones.
    """
    check_readable(folder)
    described = read_description(folder)
    if described is None:
        return [(path, None) for path in sorted(folder.glob("*.tar"))]

    def pictures(block: Block) -> int:
        return block.people * described.settings.images_per_person

    return [(folder / b.name, pictures(b)) for b in described.blocks() if (folder / b.name).exists()]
