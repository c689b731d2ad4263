"""Splits of the portrait world, and what a split's folder holds: person ids, shards by name, ``dataset.json``.

A shard holds one fixed block of people, whatever the number of workers. ``dataset.json`` says how many people were
asked for last: shards that other numbers left behind stay, but are not read. Splits use ranges of person ids that
cannot meet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from facesnap.core.errors import InputError, OutputError, one_line
from facesnap.core.folders import check_readable
from facesnap.core.images import write_atomic
from facesnap.world.datasets.wording import number_of

#: First person id of each split.
SPLITS = {"train": 0, "judge": 1_000_000, "val": 2_000_000, "test": 3_000_000}
SPLIT_SPAN = 1_000_000
PEOPLE_PER_SHARD = 25
DESCRIPTION = "dataset.json"
#: The members of a picture.
SUFFIXES = ("png", "seg.png", "json")
#: Raised whenever pictures or labels of the same key change, so that no folder mixes two worlds. 1: the first world;
#: 2: segmentations; 3: the world of docs/WORLD.md.
FORMAT = 3


@dataclass(frozen=True)
class Settings:
    """What a split's pictures depend on, people aside."""

    split: str
    images_per_person: int
    seed: int
    preset: str
    size: int


@dataclass(frozen=True)
class Block:
    """A shard's file name and its people: ``people`` ids from ``first`` on."""

    split: str
    name: str
    first: int
    people: int

    def keys(self, images_per_person: int) -> list[str]:
        """The names of its pictures, in their order."""
        people = range(self.first, self.first + self.people)
        return [key_of(person, index) for person in people for index in range(images_per_person)]


@dataclass(frozen=True)
class Description:
    """What ``dataset.json`` says."""

    settings: Settings
    people: int
    people_per_shard: int
    format: int = FORMAT

    def blocks(self) -> list[Block]:
        """All shards of the data set, in the order of their people."""
        return list(blocks_of(self.settings.split, self.people, self.people_per_shard))


def key_of(person: int, index: int) -> str:
    """What the members of a picture are called up to their first dot."""
    return f"{person:07d}_{index:04d}"


def blocks_of(split: str, people: int, people_per_shard: int) -> Iterator[Block]:
    """The shards of a split of ``people`` people."""
    for start in range(0, people, people_per_shard):
        first, count = SPLITS[split] + start, min(people_per_shard, people - start)
        yield Block(split, f"{split}-{first:07d}-{count:02d}.tar", first, count)


def block_of(path: Path) -> Block | None:
    """The block that a shard's name speaks of; None for any other name."""
    found = re.fullmatch(rf"({'|'.join(SPLITS)})-(\d{{7}})-(\d{{2,}})\.tar", path.name)
    return Block(found[1], path.name, int(found[2]), int(found[3])) if found else None


def split_of(person: int) -> str | None:
    """The split whose range holds a person id."""
    return next((name for name, first in SPLITS.items() if first <= person < first + SPLIT_SPAN), None)


def split_folders(folder: Path) -> list[Path]:
    """The folders of splits in ``folder``: itself, or those directly below it.

    Raises:
        InputError: there are none, or there is no such folder.
    """
    check_readable(folder)

    def holds(path: Path) -> bool:
        return path.is_dir() and ((path / DESCRIPTION).exists() or any(path.glob("*.tar")))

    if holds(folder):
        return [folder]
    below = sorted(path for path in folder.iterdir() if holds(path))
    if not below:
        raise InputError(f"no shards (*.tar) in {folder}, nor in a folder of it")
    return below


def count_shards(folder: Path) -> int:
    """About how many shards there are to read, for a progress bar; errors as :func:`split_folders`."""
    return sum(1 for split in split_folders(folder) for _ in split.glob("*.tar"))


def read_description(folder: Path) -> Description | None:
    """What the folder's ``dataset.json`` says; None without one.

    Raises:
        InputError: it is damaged.
    """
    path = folder / DESCRIPTION
    try:
        return _parse(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        advice = "put a copy of it back, or delete it with its shards and render again"
        raise InputError(f"{path} can't be used ({_reason(error)}): {advice}") from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else one_line(error)


def _parse(found: dict[str, object]) -> Description:
    """Values of the right kinds and ranges, or a TypeError, KeyError or ValueError."""
    if not isinstance(found, dict):
        raise TypeError("it is no object")
    for name, kind in Settings.__annotations__.items():
        if type(found[name]).__name__ != kind:
            raise ValueError(f"{name}={found[name]!r} is no {kind}")
    if found["split"] not in SPLITS:
        raise ValueError(f"unknown split {found['split']!r}")
    counts = [found[name] for name in ("people", "people_per_shard", "format")]
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError(f"people, people_per_shard, format are {counts}")
    settings = Settings(**{name: found[name] for name in Settings.__annotations__})  # type: ignore[arg-type]
    return Description(settings, *counts)  # type: ignore[arg-type]


def check_settings(folder: Path, settings: Settings) -> None:
    """Refuse to mix data sets of different settings in one folder.

    Raises:
        OutputError: the folder holds a data set of other settings, or shards of which nothing says how they were made.
        InputError: its ``dataset.json`` is damaged.
    """
    before = read_description(folder)
    if before is None:
        _refuse_unknown_shards(folder, settings.split)
        return
    held, asked = ({**asdict(each), "format": number} for each, number in (
        (before.settings, before.format), (settings, FORMAT)))  # fmt: skip
    for name, value in asked.items():
        if held[name] != value:
            found = f"{name}={held[name]!r}, not {value!r}"
            raise OutputError(f"{folder} was rendered with {found}: use another folder")


def _refuse_unknown_shards(folder: Path, split: str) -> None:
    """Shards without a ``dataset.json`` would be taken for ones of today's settings, now or when more are asked for."""
    blocks = [block_of(path) for path in folder.glob("*.tar")]
    if count := sum(1 for block in blocks if block is not None and block.split == split):
        held = f"{number_of(count, 'shard')}, but no {DESCRIPTION} that says how they were rendered"
        raise OutputError(f"{folder} holds {held}: put it back, move the shards away, or use another folder")


def write_description(folder: Path, settings: Settings, people: int) -> None:
    """Write ``dataset.json``, and make its folder.

    Raises:
        OutputError: it can't be written.
    """
    content = {"format": FORMAT, **asdict(settings), "people": people, "people_per_shard": PEOPLE_PER_SHARD}
    write_atomic(folder / DESCRIPTION, f"{json.dumps(content, indent=2)}\n".encode())
