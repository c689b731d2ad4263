"""People that training never sees: the portrait world's splits ``val`` and ``test``, rendered once and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.world.datasets.reading import WorldData, read_shards
from facesnap.world.datasets.shards import render_split
from facesnap.world.datasets.splits import SPLIT_SPAN, SPLITS

#: Splits that some network learns from; nothing may be measured on them.
LEARNT_FROM = ("train", "judge")


def held_out(
    folder: str | Path, split: str, people: int, renders: int, seed: int, preset: str, size: int, workers: int = 2
) -> WorldData:
    """Pictures of people of a split, with exact labels.

    Args:
        folder: shards made before (``*.tar`` in it), which are taken as they are; or where to make them (below
            ``folder/split``, resumed if they are there in part).
        split: ``val`` or ``test``.
        people: how many.
        renders: of each; who has fewer is passed over.
        seed: of the world.
        preset: of the world: how poses, light and framing vary.
        size: side of the pictures in pixels.
        workers: processes that render.

    Raises:
        UsageError: a split that is learnt from; shards made before that hold other people, too few, or another size.
        InputError: damaged shards.
        OutputError: the folder can't be written, or holds renders of other settings.
    """
    if split in LEARNT_FROM or split not in SPLITS:
        raise UsageError(f"people of the split {split!r} can't be held out: use val or test")
    folder = Path(folder)
    if not any(folder.glob("*.tar")):
        folder = render_split(folder, split, people, renders, workers, seed, preset, size)
    world = read_shards(folder)
    _check(world, folder, split, people, renders, size)
    return _first(world, people, renders)


def _check(world: WorldData, folder: Path, split: str, people: int, renders: int, size: int) -> None:
    first = SPLITS[split]
    if ((world.person < first) | (world.person >= first + SPLIT_SPAN)).any():
        raise UsageError(f"{folder} holds people who are not of the split {split!r}: use other shards")
    if world.images.shape[1] != size:
        raise UsageError(f"the pictures in {folder} have {world.images.shape[1]} pixels a side, {size} are needed")
    counts = np.unique(world.person, return_counts=True)[1]
    if int((counts >= renders).sum()) < people:
        raise UsageError(f"{folder} has {len(counts)} people; {people} people with {renders} renders each are needed")


def _first(world: WorldData, people: int, renders: int) -> WorldData:
    """The first people with enough renders, so many of each."""
    several = [np.flatnonzero(world.person == person) for person in np.unique(world.person)]
    rows = np.concatenate([own[:renders] for own in several if len(own) >= renders][:people])
    return world.take(rows)
