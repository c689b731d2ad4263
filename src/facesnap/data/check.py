"""Is a prepared data set whole? Every shard and sample is read, one after the other, and damage is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError
from facesnap.data.layout import PICTURES, SPLITS, DatasetInfo, Example, decode, read_dataset, shard_name
from facesnap.data.shards import read_shard

#: By how much half precision may change the length of a unit vector.
UNIT: Final = 5e-3


@dataclass
class Findings:
    """What was seen, and in how many places it is damaged."""

    report: Callable[[str], None]
    info: DatasetInfo
    people: dict[str, tuple[str, int]] = field(default_factory=dict)  #: person -> split and shard
    photos: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    shards: int = 0
    damages: int = 0

    def damaged(self, where: object, what: str) -> None:
        """Report one thing."""
        self.damages += 1
        self.report(f"{where}: {what}")


def check(folder: str | Path, report: Callable[[str], None], advance: Callable[[], None] = lambda: None) -> Findings:
    """Look through a data set.

    Args:
        folder: of the data set.
        report: is given one line for each thing that is damaged.
        advance: is called after each shard.

    Raises:
        InputError: no data set there, or its ``dataset.json`` can't be used.
    """
    folder = Path(folder)
    found = Findings(report, read_dataset(folder))
    wanted = set()
    for split in SPLITS:
        for number in range(found.info.splits[split].shards):
            path = folder / shard_name(split, number)
            wanted.add(path)
            if path.is_file():
                _check_shard(path, split, number, found)
            else:
                found.damaged(path, "is missing")
            advance()
        _check_counts(folder, split, found)
    for path in sorted(set(folder.glob("*.tar")) - wanted):
        found.damaged(path, "is not named in dataset.json")
    return found


def _check_counts(folder: Path, split: str, found: Findings) -> None:
    said = found.info.splits[split]
    people = sum(where[0] == split for where in found.people.values())
    for what, seen, count in (("photos", found.photos[split], said.photos), ("people", people, said.people)):
        if seen != count:
            found.damaged(folder / "dataset.json", f"{split} has {seen} {what}, not {count}")


def _check_shard(path: Path, split: str, number: int, found: Findings) -> None:
    found.shards += 1
    keys: set[str] = set()
    last = ""
    before: set[str] = set()
    try:
        for sample in read_shard(path):
            key = str(sample["__key__"])
            if key in keys:
                found.damaged(f"{path}: {key}", "is there twice, or its members are apart")
            keys.add(key)
            person = _check_sample(path, sample, split, number, found) or last
            if person != last and person in before:
                found.damaged(f"{path}: {key}", f"the photos of {person} are apart")
            before.add(person)
            last = person
    except InputError as error:
        found.damaged(path, str(error).removeprefix(f"shard {path} "))
    found.photos[split] += len(keys)


def _check_sample(path: Path, sample: dict[str, Any], split: str, number: int, found: Findings) -> str:
    """Returns the person of the sample, empty if nobody can say."""
    where = f"{path}: {sample['__key__']}"
    for suffix in set(sample) - {*PICTURES, "json", "npz", "__key__", "latents.npy", "text.npy"}:
        found.damaged(f"{where}.{suffix}", "does not belong here")
    try:
        example = decode(sample)
        for problem in _problems(example, found):
            found.damaged(where, problem)
    except InputError as error:
        found.damaged(where, str(error).removeprefix(f"{sample['__key__']} "))
        return ""
    known = found.people.setdefault(example.person, (split, number))
    if known != (split, number):
        found.damaged(where, f"{example.person} is in {shard_name(*known)} too")
    return example.person


def _problems(example: Example, found: Findings) -> list[str]:
    problems = []
    size = found.info.size
    if example.image.shape != (size, size, 3):
        problems.append(f"the picture is {example.image.shape[1]} x {example.image.shape[0]}, not {size} x {size}")
    if len(example.f_id) != found.info.views:
        problems.append(f"it has {len(example.f_id)} views, not {found.info.views}")
    for name in ("f_id", "f_clip", "shape"):
        values: np.ndarray = getattr(example, name)
        if not np.isfinite(values).all():
            problems.append(f"{name} is not finite")
        if found.shapes.setdefault(name, values.shape) != values.shape:
            problems.append(f"{name} has shape {values.shape}, elsewhere {found.shapes[name]}")
    if abs(np.linalg.norm(example.f_id.astype(np.float32), axis=1) - 1).max() > UNIT:
        problems.append("f_id is no unit vector")
    inside = ((example.landmarks >= -1) & (example.landmarks <= size + 1)).all(axis=1).mean()
    if inside < 0.5:
        problems.append(f"only {inside:.0%} of the landmarks lie in the picture")
    return problems
