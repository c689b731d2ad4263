"""Prepared data as endless streams of pairs: what comes at a step follows from seed and step alone.

The shards of epoch 0, 1, 2 ..., each in an order of its own, make one endless row; lane ``l`` of ``L`` reads places
``l``, ``l + L``, ``l + 2L`` ... of it. Within a shard it holds a few people at a time and takes their photos in random
order, each once as a target. Lanes are dealt to processes, so that their number changes nothing; and since it is known
how many photos a shard has, a lane goes on at any step without reading what lies before it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from facesnap.core.errors import InputError
from facesnap.data.layout import Example, shard_name
from facesnap.data.shards import read_shard
from facesnap.training.adapter.precompute import People, Precomputed, decode_of, person_of, read_array

#: Parts of the seeds: what is random about shards, about photos, about a row, about a batch.
SHARDS: Final = 1
PHOTOS: Final = 2
ROW: Final = 3
BATCH: Final = 4


@dataclass(frozen=True, eq=False)
class Photo:
    """One photograph as it is trained on; ``made``: members of the precomputed sample, by name."""

    example: Example
    made: dict[str, np.ndarray]

    @property
    def key(self) -> str:
        """The sample's."""
        return self.example.key


@dataclass(frozen=True, eq=False)
class Target:
    """A photo to be learnt, and the others of its person, at least one of which may be the photo itself."""

    photo: Photo
    others: tuple[Photo, ...]


@dataclass(frozen=True)
class Lanes:
    """The streams of a split.

    Attributes:
        data: folder of the prepared data.
        precomputed: beside it.
        split: ``train`` or ``val``.
        seed: of their order.
        count: L.
        buffer_people: how many people a lane holds at once.
        pictures: keep the pictures' bytes, too.
    """

    data: Path
    precomputed: Precomputed
    split: str
    seed: int
    count: int
    buffer_people: int
    pictures: bool = False

    @property
    def people(self) -> list[People]:
        """Of each shard."""
        return self.precomputed.people[self.split]

    @property
    def photos(self) -> int:
        """Of all shards."""
        return sum(count for shard in self.people for _, count in shard)

    def stream(self, lane: int, first: int) -> Iterator[Target]:
        """Targets of a lane, from its ``first`` on, counted from 0; without end.

        Raises:
            InputError: a shard is damaged, or the precomputed one isn't of the same samples (named).
        """
        totals = [sum(count for _, count in shard) for shard in self.people]
        if not sum(totals):
            raise InputError(f"{self.data} has no photos in its split {self.split}")
        for place in itertools.count(lane, self.count):
            epoch, slot = divmod(place, len(totals))
            shard = int(_order(self.seed, epoch, len(totals))[slot])
            if first >= totals[shard]:
                first -= totals[shard]
                continue
            yield from self._shard(shard, place, first)
            first = 0

    def _shard(self, shard: int, place: int, first: int) -> Iterator[Target]:
        samples = self._samples(shard)
        groups = _grouped(self.people[shard], self.buffer_people)
        for number, group in enumerate(groups):
            size = sum(count for _, count in group)
            held = itertools.islice(samples, size)
            if first >= size:
                first -= size
                for _ in held:  # read past, not decoded
                    pass
                continue
            photos = [self._photo(*each, self._paths(shard)[0]) for each in held]
            yield from self._mixed(photos, [self.seed, PHOTOS, place, number], first)
            first = 0

    def _mixed(self, photos: list[Photo], seed: list[int], first: int) -> Iterator[Target]:
        by_person: dict[str, list[Photo]] = {}
        for photo in photos:
            by_person.setdefault(person_of(photo.key), []).append(photo)
        for index in np.random.default_rng(seed).permutation(len(photos))[first:]:
            photo = photos[int(index)]
            others = tuple(other for other in by_person[person_of(photo.key)] if other is not photo)
            yield Target(photo, others or (photo,))

    def _samples(self, shard: int) -> Iterator[tuple[dict[str, bytes], dict[str, bytes]]]:
        """Raw samples of a shard and of what was made of it, side by side."""
        ours, made = self._paths(shard)
        for sample, more in itertools.zip_longest(read_shard(ours), read_shard(made)):
            if sample is None or more is None or sample["__key__"] != more["__key__"]:
                raise InputError(f"{made} doesn't belong to {ours}: delete {made.parent}, it is made again")
            yield sample, more

    def _paths(self, shard: int) -> tuple[Path, Path]:
        """A shard of the data, and what was made of it."""
        name = shard_name(self.split, shard)
        return self.data / name, self.precomputed.folder / name

    def _photo(self, sample: dict[str, bytes], more: dict[str, bytes], source: Path) -> Photo:
        example = decode_of(sample, source)
        if not self.pictures:
            example = dataclasses.replace(example, picture=b"")
        made = {name.removesuffix(".npy"): read_array(value) for name, value in more.items() if name.endswith(".npy")}
        return Photo(example, made)


@lru_cache(maxsize=64)
def _order(seed: int, epoch: int, shards: int) -> np.ndarray:
    """The shards of an epoch, in its order."""
    return np.random.default_rng([seed, SHARDS, epoch]).permutation(shards)


def _grouped(people: People, size: int) -> list[People]:
    """People in groups of ``size``, a small rest in the last one."""
    groups = [people[start : start + size] for start in range(0, len(people), size)]
    if len(groups) > 1 and 2 * len(groups[-1]) < size:
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups
