"""How much two choices hang together: Cramer's V, and what chance alone would make of it."""

from __future__ import annotations

import numpy as np

#: Shufflings that say what chance makes, and the share of them that stays below the limit.
SHUFFLES, LIMIT = 400, 0.99


def counts_of(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Contingency table (R, C) i64 of two lists (N,) of codes from 0 on."""
    shape = int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1
    flat = np.bincount(rows.astype(np.int64) * shape[1] + columns, minlength=shape[0] * shape[1])
    return flat.reshape(shape)


def cramers_v(table: np.ndarray) -> float:
    """Cramer's V of a contingency table (R, C): 0 for independent, 1 for one following from the other.

    With Bergsma's correction (J. Korean Stat. Soc. 42, 2013): plain V is well above 0 for small independent samples.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0].astype(np.float64)
    total, (rows, columns) = table.sum(), table.shape
    if total < 2 or rows < 2 or columns < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    phi2 = float(((table - expected) ** 2 / expected).sum() / total)
    excess = max(0.0, phi2 - (rows - 1) * (columns - 1) / (total - 1))
    r, c = (n - (n - 1) ** 2 / (total - 1) for n in (rows, columns))
    return float(np.sqrt(excess / max(min(r, c) - 1, 1e-9)))


def chance_v(person: np.ndarray, rows: np.ndarray, columns: np.ndarray, seed: int = 0) -> float:
    """The V that 99% of shufflings stay below when ``rows``, a property of people, is dealt out among them anew.

    Shuffling people, not pictures, keeps a person's pictures together: they are no independent draws.

    Args:
        person: (N,) which person each picture shows.
        rows: (N,) codes that are the same in all pictures of a person.
        columns: (N,) codes of each picture.
        seed: of the shuffling.
    """
    _, first, inverse = np.unique(person, return_index=True, return_inverse=True)
    per_person = counts_of(inverse, columns)
    held = rows[first]
    rng = np.random.default_rng(seed)
    one_hot = np.eye(int(held.max()) + 1)
    shuffled = [cramers_v(one_hot[rng.permutation(held)].T @ per_person) for _ in range(SHUFFLES)]
    return float(np.quantile(shuffled, LIMIT))


def evenness(counts: np.ndarray) -> float:
    """Entropy of shares over the largest possible: 1 where all values are equally frequent, 0 for a single one."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(counts))) if len(counts) > 1 else 0.0
