"""Who is who: people by name, or found by clustering; and whoever doesn't look like the rest of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from facesnap.data.similar import components, mutual_neighbours

#: Why a photo can't be taken for a person's.
STRANGER: Final = "another face"
UNSURE: Final = "unsure person"
#: A photo fits a person if its mean cosine with their other photos is at least this share of the threshold.
LOOSE: Final = 0.8
#: Share of a group's photos that must fit the others for it to be one person; else the threshold rises by CUT.
COMPACT, CUT = 0.8, 0.03
#: Names are trusted: a photo is a stranger's only below this share of the threshold.
NAMED: Final = 0.5
#: How many photos, and people, are asked how sure they are.
ASKED: Final = 20_000


@dataclass(frozen=True)
class People:
    """Who is on N photos.

    ``person`` (N,) i64: place in ``names``, or -1; ``refused``: place -> (reason, detail); ``sure``: what can be said
    of how well people are told apart, see :func:`how_sure`.
    """

    person: np.ndarray
    names: list[str]
    refused: dict[int, tuple[str, str]]
    sure: dict[str, float]


def find_people(
    f_id: np.ndarray, named: np.ndarray, names: Sequence[str], marks: np.ndarray, threshold: float, device: str = "cpu"
) -> People:
    """Keep people who have a name, and find the others by their faces.

    Args:
        f_id: (N, D) unit vectors, half precision.
        named: (N,) place in ``names``, or -1 for a photo that nobody named.
        names: of people.
        marks: (N,) bytes, the photos' hashes: a person who is found is called by the first of theirs.
        threshold: cosine from which on two faces are one person's.
        device: where products are computed.

    Photos of a name that are not connected to most of that name's photos are refused. So are photos of a person found
    that are like some of the others only.
    """
    person, refused, all_names = named.copy(), dict[int, tuple[str, str]](), list(names)
    for rows in _runs(named, np.flatnonzero(named >= 0)):
        for row in _strangers(f_id[rows], NAMED * threshold, device):
            detail = f"it looks like none of most other photos of {names[named[rows[0]]]}"
            refused[int(rows[row])], person[rows[row]] = (STRANGER, detail), -1
    free = np.flatnonzero(named < 0)
    for group, fits in _groups(f_id, free, threshold, device):
        for row in group[~fits]:
            refused[int(row)] = (UNSURE, "it is like some photos of a person who was found, but not like most")
        person[group[fits]] = len(all_names)
        all_names.append(f"person-{min(marks[group[fits]]).hex()[:12]}")
    return People(person, all_names, refused, how_sure(f_id, person, threshold))


def _runs(values: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
    """Places, put together where their values are equal; each group in its order."""
    if not len(places):
        return []
    chosen = values[places]
    order = np.argsort(chosen, kind="stable")
    return np.split(places[order], np.flatnonzero(np.diff(chosen[order])) + 1)


def _strangers(f_id: np.ndarray, threshold: float, device: str) -> np.ndarray:
    """Places of faces that are not connected to the largest group of a name's faces."""
    if len(f_id) < 3:
        return np.empty(0, np.int64)  # two who differ: nobody can say which is the wrong one
    groups = components(len(f_id), mutual_neighbours(f_id, threshold, device, neighbours=len(f_id) - 1))
    sizes = np.bincount(groups)
    if sizes.max() < 2:
        return np.empty(0, np.int64)  # no two alike: hard photos rather than strangers
    return np.flatnonzero(groups != sizes.argmax())


def _groups(
    f_id: np.ndarray, rows: np.ndarray, threshold: float, device: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Groups of places, each with which of them (n,) fit the rest; at least one does.

    One photo that is like two people joins them, so a group that hangs together by few links is taken apart: its
    links are cut at a higher threshold, again and again.
    """
    waiting = [(rows, threshold)]
    while waiting:
        some, cut = waiting.pop()
        found = components(len(some), mutual_neighbours(f_id[some], cut, device))
        for members in _runs(found, np.arange(len(some))):
            group = some[members]
            fits = _alike(f_id[group], LOOSE * threshold)
            if fits.mean() >= COMPACT or cut + CUT >= 1:
                yield group, fits if fits.any() else ~fits
            else:
                waiting.append((group, cut + CUT))


def _alike(f_id: np.ndarray, least: float) -> np.ndarray:
    """(n,) whether each face's mean cosine with the others is at least so much."""
    if len(f_id) < 2:
        return np.ones(len(f_id), bool)
    vectors = f_id.astype(np.float32)
    cosine = (vectors @ vectors.sum(axis=0) - (vectors * vectors).sum(axis=1)) / (len(vectors) - 1)
    return np.asarray(cosine >= least)


def how_sure(f_id: np.ndarray, person: np.ndarray, threshold: float) -> dict[str, float]:
    """How well people are told apart, by the means of their faces.

    ``own``: the median cosine of a photo and its person's mean; ``next``: that of a photo and the most similar other
    person's mean; ``doubtful``: share of photos that are nearer to another person's mean than to their own;
    ``twins``: number of people whose mean is above the threshold to another's: perhaps they are one. Of many photos and
    people, :data:`ASKED` are asked.
    """
    rows = np.flatnonzero(person >= 0)
    people, index = np.unique(person[rows], return_inverse=True)
    if len(people) < 2:
        return {}
    means = np.zeros((len(people), f_id.shape[1]), np.float32)
    for start in range(0, len(rows), 1 << 16):
        part = slice(start, start + (1 << 16))
        np.add.at(means, index[part], f_id[rows[part]].astype(np.float32))
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    asked = np.arange(0, len(rows), max(1, len(rows) // ASKED))
    own, other = _own_and_other(f_id[rows[asked]].astype(np.float32), means, index[asked])
    chosen = np.arange(0, len(people), max(1, len(people) // ASKED))
    _, nearest = _own_and_other(means[chosen], means, chosen)
    twins = round(float((nearest > threshold).mean()) * len(people))
    return {
        "own": round(float(np.median(own)), 3),
        "next": round(float(np.median(other)), 3),
        "doubtful": round(float((other > own).mean()), 4),
        "twins": twins,
    }


def _own_and_other(vectors: np.ndarray, means: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (n,) of vectors with the mean that ``index`` names, and with the nearest other."""
    own, other = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    step = max(1, (1 << 24) // len(means))
    for start in range(0, len(vectors), step):
        part = slice(start, min(start + step, len(vectors)))
        cosine = vectors[part] @ means.T
        mine = np.arange(len(cosine)), index[part]
        own[part] = cosine[mine]
        cosine[mine] = -2
        other[part] = cosine.max(axis=1)
    return own, other
