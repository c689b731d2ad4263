"""Which of a million faces are alike: duplicates by hashes of their pictures, people by their embeddings.

Arrays only, and never all pairs at once: hashes are compared where they share a band, embeddings in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import torch

#: Two pictures are one if their hashes differ in at most so many of 64 bits, and their faces' cosine is above this.
MAX_BITS: Final = 4
MIN_COSINE: Final = 0.95
#: Embeddings compared at a time, and a photo's nearest that count for clustering.
BLOCK: Final = 2048
NEIGHBOURS: Final = 16
#: Pairs of one band that are looked at at a time.
PAIRS: Final = 1 << 22


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """(count,) i32: which of the connected groups each of ``count`` things belongs to, given pairs (P, 2)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def equal_files(hashes: np.ndarray) -> np.ndarray:
    """Pairs (P, 2) of places with equal hashes, each with the first of its kind; ``hashes`` (N,) of any type."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    places = np.arange(len(hashes))
    again = places != first[inverse]
    return np.stack([first[inverse][again], places[again]], axis=1)


def near_pictures(hashes: np.ndarray, f_id: np.ndarray) -> np.ndarray:
    """Pairs (P, 2) of near-identical pictures.

    Two hashes that differ in at most :data:`MAX_BITS` bits agree wholly in one of ``MAX_BITS + 1`` bands, so only
    pictures that share a band are compared.

    Args:
        hashes: (N,) u64.
        f_id: (N, D) unit vectors, half precision, may be memory-mapped.
    """
    found = [np.empty((0, 2), np.int64)]
    edges = [64 * band // (MAX_BITS + 1) for band in range(MAX_BITS + 2)]
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        for pairs in _pairs_within(band):
            near = pairs[_bits(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= MAX_BITS]
            if len(near):
                cosine = np.einsum("ij,ij->i", f_id[near[:, 0]].astype(np.float32), f_id[near[:, 1]].astype(np.float32))
                found.append(near[cosine > MIN_COSINE])
    return np.unique(np.concatenate(found), axis=0)


def _pairs_within(values: np.ndarray) -> Iterator[np.ndarray]:
    """All pairs (P, 2), lower place first, of places with equal values; a bounded number at a time.

    Equal values lie together once sorted; so the pairs are those of neighbours, of next neighbours, and so on.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    step = 1
    while True:
        places = np.flatnonzero(ordered[step:] == ordered[:-step]) if step < len(values) else np.empty(0, np.int64)
        if not len(places):
            return
        for part in np.array_split(places, len(places) // PAIRS + 1):
            yield np.sort(np.stack([order[part], order[part + step]], axis=1), axis=1)
        step += 1


def _bits(values: np.ndarray) -> np.ndarray:
    """How many bits are set in each of (N,) u64."""
    table = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
    return np.asarray(table[np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)].sum(axis=1))


def mutual_neighbours(
    f_id: np.ndarray, threshold: float, device: str = "cpu", neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Pairs (P, 2) of faces that are among each other's nearest, with a cosine above ``threshold``.

    N^2 D products, by blocks: seconds for ten thousand faces, minutes on a GPU for a million.

    Args:
        f_id: (N, D) unit vectors, half precision, may be memory-mapped.
        threshold: of the cosine.
        device: where the products are computed.
        neighbours: how many are "nearest".
    """
    count = len(f_id)
    nearest = np.full((count, min(neighbours, max(count - 1, 1))), -1, np.int64)
    for start in range(0, count, BLOCK):
        rows = slice(start, min(start + BLOCK, count))
        cosine, place = _nearest(f_id, rows, nearest.shape[1], device)
        nearest[rows] = np.where(cosine > threshold, place, -1)
    one = np.repeat(np.arange(count), nearest.shape[1])
    pairs = np.stack([one, nearest.reshape(-1)], axis=1)
    pairs = pairs[pairs[:, 1] >= 0]
    code = pairs[:, 0] * count + pairs[:, 1]
    mutual = np.isin(code, pairs[:, 1] * count + pairs[:, 0])
    return pairs[mutual & (pairs[:, 0] < pairs[:, 1])]


def _nearest(f_id: np.ndarray, rows: slice, neighbours: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and place (n, neighbours) of the nearest others of some rows."""
    query = torch.from_numpy(f_id[rows].astype(np.float32)).to(device)
    best = torch.full((len(query), neighbours), -2.0, device=device)
    place = torch.zeros((len(query), neighbours), dtype=torch.int64, device=device)
    for start in range(0, len(f_id), BLOCK):
        block = torch.from_numpy(f_id[start : start + BLOCK].astype(np.float32)).to(device)
        cosine = query @ block.T
        if start == rows.start:
            cosine.fill_diagonal_(-2.0)  # itself
        all_cosines = torch.cat([best, cosine], dim=1)
        all_places = torch.cat(
            [place, torch.arange(start, start + len(block), device=device).expand(len(query), -1)], dim=1
        )
        best, chosen = all_cosines.topk(neighbours, dim=1)
        place = all_places.gather(1, chosen)
    return best.cpu().numpy(), place.cpu().numpy()
