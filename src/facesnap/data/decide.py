"""Pass 2: which photos stay, who is on them, and where each goes. Arrays only; a moment, or minutes for a million.

In this order: duplicates, people, people with too few photos, train or val by person, order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from facesnap.core.errors import InputError, UsageError
from facesnap.data.gather import SHOWN, Gathered
from facesnap.data.identities import People, find_people
from facesnap.data.parts import Record
from facesnap.data.similar import components, equal_files, near_pictures

DUPLICATE, ALONE = "duplicate", "too few photos"


@dataclass(frozen=True)
class DecideSettings:
    """``same``: cosine from which on two faces are one person's; ``min_photos`` of a person; ``val``: share of people
    kept for validation; ``shard_photos``: photos after which a shard ends, with the person it is at; ``seed``: of the
    order of people and of who is in val.
    """

    same: float = 0.6
    min_photos: int = 2
    val: float = 0.05
    shard_photos: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.same < 1:
            raise UsageError(f"same={self.same} must be between 0 and 1")
        if not 0 <= self.val < 1:
            raise UsageError(f"val={self.val} must be from 0 to below 1")
        for name in ("min_photos", "shard_photos"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be 1 or more")


@dataclass(frozen=True)
class Shard:
    """One shard to write: for each photo its part, row, person's number and place among that person's photos."""

    split: str
    number: int
    photos: tuple[tuple[int, int, int, int], ...]
    people: dict[int, str]


@dataclass(frozen=True)
class Decision:
    """What stays, and where it goes.

    ``shards`` in order, train first; ``refused``: reason -> number, of this pass; ``samples``: a few of these with
    their reasons; ``sure``: see :func:`facesnap.data.identities.how_sure`; ``per_person``: photos of each person.
    """

    shards: list[Shard]
    refused: dict[str, int]
    samples: dict[str, list[Record]]
    sure: dict[str, float]
    per_person: np.ndarray
    kept: list[Record] = field(default_factory=list)

    def people(self, split: str) -> int:
        """How many are in a split."""
        return sum(len(shard.people) for shard in self.shards if shard.split == split)

    def photos(self, split: str | None = None) -> int:
        """How many are in a split, or in all."""
        return sum(len(shard.photos) for shard in self.shards if split in (None, shard.split))


def decide(found: Gathered, folder: Path, settings: DecideSettings, device: str = "cpu") -> Decision:
    """Decide on all photos that pass 1 kept.

    Raises:
        InputError: none stays.
    """
    refused: dict[int, tuple[str, str]] = {
        place: (DUPLICATE, f"the same as {found.record(folder, twin)['key']}" if rank < SHOWN else "")
        for rank, (place, twin) in enumerate(_duplicates(found))
    }
    left = np.setdiff1d(np.arange(len(found)), np.fromiter(refused, np.int64, len(refused)))
    people = find_people(found.f_id[left], found.named[left], found.names, _marks(found, left), settings.same, device)
    refused |= {int(left[place]): why for place, why in people.refused.items()}
    person = np.full(len(found), -1, np.int64)
    person[left] = people.person
    counts = np.bincount(person[person >= 0], minlength=len(people.names))
    for place in np.flatnonzero((person >= 0) & (counts[person] < settings.min_photos)):
        count, name = counts[person[place]], people.names[person[place]]
        refused[int(place)] = (ALONE, f"{name} has {count} of at least {settings.min_photos} photos")
        person[place] = -1
    shards = _shards(found, person, people, settings)
    samples = _samples(found, folder, refused)
    numbers: dict[str, int] = {}
    for reason, _ in refused.values():
        numbers[reason] = numbers.get(reason, 0) + 1
    kept = counts[counts >= settings.min_photos]
    if not shards:
        raise InputError(_nothing(found, numbers))
    chosen = np.flatnonzero(person >= 0)
    shown = [found.record(folder, int(place)) for place in chosen[:: max(1, len(chosen) // (3 * SHOWN))][: 3 * SHOWN]]
    return Decision(shards, numbers, samples, people.sure, kept, shown)


def _marks(found: Gathered, left: np.ndarray) -> np.ndarray:
    return np.array([bytes(sha) for sha in found.sha[left]], object)


def _nothing(found: Gathered, late: dict[str, int]) -> str:
    counts = (found.reasons + Counter(late)).most_common(5)
    why = ", ".join(f"{count} {reason}" for reason, count in counts)
    return f"none of {found.photos} photos can be used" + (f": {why}" if why else "")


def _duplicates(found: Gathered) -> list[tuple[int, int]]:
    """Places to leave out, each with the one that stays: of equal pictures the one with the largest face."""
    if len(found) < 2:
        return []
    pairs = np.concatenate([equal_files(found.sha), near_pictures(found.dhash, found.f_id)])
    groups = components(len(found), pairs)
    order = np.lexsort((np.arange(len(found)), -found.face, groups))
    first = np.ones(len(order), bool)
    first[1:] = groups[order[1:]] != groups[order[:-1]]
    keeper = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    return sorted((int(place), int(twin)) for place, twin in zip(order, keeper, strict=True) if place != twin)


def _shards(found: Gathered, person: np.ndarray, people: People, settings: DecideSettings) -> list[Shard]:
    """People in an order that depends on their names alone, val after train; each person's photos in theirs."""
    present = np.unique(person[person >= 0])
    lots = {int(each): _lot(people.names[each], settings.seed) for each in present}
    ordered = sorted(lots, key=lambda each: lots[each])
    held = {each for each in ordered if lots[each] < settings.val}
    if settings.val and not held and len(ordered) > 1:
        held = {ordered[0]}  # so few people: the lot nearest to it
    order = np.argsort(person, kind="stable")
    starts = np.searchsorted(person[order], present)
    ends = np.searchsorted(person[order], present, side="right")
    rows = {int(each): order[a:b] for each, a, b in zip(present, starts, ends, strict=True)}
    shards: list[Shard] = []
    number = 0
    for split in ("train", "val"):
        mine = [each for each in ordered if (each in held) == (split == "val")]
        photos: list[tuple[int, int, int, int]] = []
        names: dict[int, str] = {}
        written = 0
        for each in mine:
            names[number] = people.names[each]
            places = zip(found.part[rows[each]].tolist(), found.row[rows[each]].tolist(), strict=True)
            photos += [(part, row, number, index) for index, (part, row) in enumerate(places)]
            number += 1
            if len(photos) >= settings.shard_photos or each == mine[-1]:
                shards.append(Shard(split, written, tuple(photos), names))
                photos, names, written = [], {}, written + 1
    return shards


def _lot(name: str, seed: int) -> float:
    """A number in [0, 1) that a name and a seed draw."""
    return int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:13], 16) / 16**13


def _samples(found: Gathered, folder: Path, refused: dict[int, tuple[str, str]]) -> dict[str, list[Record]]:
    samples: dict[str, list[Record]] = {}
    for place, (reason, detail) in sorted(refused.items()):
        shown = samples.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append({**found.record(folder, place), "reason": reason, "detail": detail})
    return samples


def stamp_of(shard: Shard, *words: str) -> str:
    """What a shard depends on, in 16 hex digits."""
    return hashlib.sha256(json.dumps([asdict(shard), *words]).encode()).hexdigest()[:16]
