"""The numbers: each metric's exact definition and source, with 95% intervals over people.

A value that could not be measured (no face found, nothing generated) is NaN in every array here. It never
drops out silently: :func:`capped` and :func:`floored` give it a bad value "over all", so that a miss can't help.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

#: An NME above this (in inter-ocular distances), and a face not found, count as this much "over all".
NME_CAP = 1.0

#: A cosine that could not be measured counts as this much "over all": unrelated pictures.
COSINE_FLOOR = 0.0

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval; ``count``: people it was measured on. NaN when that is 0."""

    value: float
    low: float
    high: float
    count: int


def bootstrap_mean(values: np.ndarray, seed: int = 0) -> Interval:
    """Mean over people with a percentile bootstrap interval (Efron, 1979; 95%, 2000 resamples).

    Args:
        values: (N,) one value per person; NaN = not measured, left out and not counted.
        seed: of the resampling; one seed, one interval.
    """
    return _bootstrap((np.asarray(values, dtype=np.float64),), lambda parts: parts[0].mean(axis=-1), seed)


def wilson(hits: np.ndarray) -> Interval:
    """Share of people with its score interval (Wilson, 1927; 95%): right near 0% and 100% too, and never without width.

    ``centre = (p + z^2 / 2n) / (1 + z^2 / n)``, ``half = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)``

    Args:
        hits: (N,) 1.0 or 0.0 per person; NaN = not measured, left out and not counted.

    Raises:
        ValueError: a value that is neither.
    """
    measured = np.asarray(hits, dtype=np.float64)
    measured = measured[np.isfinite(measured)]
    count = len(measured)
    if count == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    if not np.isin(measured, (0.0, 1.0)).all():
        raise ValueError("a share is of hits (1) and misses (0)")
    share, z = float(measured.mean()), NormalDist().inv_cdf((1.0 + LEVEL) / 2.0)
    shrink = 1.0 + z * z / count
    centre = (share + z * z / (2 * count)) / shrink
    half = z / shrink * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    # Exact at the ends, where rounding would leave 1e-17 beside the share itself.
    low, high = 0.0 if share == 0 else centre - half, 1.0 if share == 1 else centre + half
    return Interval(share, low, high, count)


def bootstrap_ratio(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Interval:
    """Ratio of two means over the same people (paired resampling, so that what is common cancels).

    Args:
        above: (N,) the numerator's values; people with a NaN in either are left out of both.
        below: (N,) the denominator's.
        seed: of the resampling.
    """
    pair = (np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    return _bootstrap(pair, lambda parts: _safe_ratio(parts[0].mean(axis=-1), parts[1].mean(axis=-1)), seed)


def _bootstrap(
    columns: tuple[np.ndarray, ...], statistic: Callable[[tuple[np.ndarray, ...]], np.ndarray], seed: int
) -> Interval:
    measured = np.logical_and.reduce([np.isfinite(column) for column in columns])
    columns = tuple(column[measured] for column in columns)
    count = int(measured.sum())
    if count == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    drawn = np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))
    spread = statistic(tuple(column[drawn] for column in columns))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(spread, (tail, 1.0 - tail))
    return Interval(float(statistic(columns)), float(low), float(high), count)


def _safe_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(above / np.maximum(below, 1e-12))


def capped(errors: np.ndarray, cap: float = NME_CAP) -> np.ndarray:
    """(N,) errors with what is missing, or above the cap, at the cap."""
    return np.asarray(np.minimum(np.where(np.isfinite(errors), errors, cap), cap))


def floored(cosines: np.ndarray, floor: float = COSINE_FLOOR) -> np.ndarray:
    """(N,) cosines with what is missing at the floor (measured ones may lie below it)."""
    return np.asarray(np.where(np.isfinite(cosines), cosines, floor))


def rank1(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Closed-set rank-1 identification (the first point of the CMC: Phillips et al., FERET, 2000).

    Args:
        probes: (N, D) unit embeddings; row i shows person i. NaN rows = no face found.
        gallery: (N, D) one unit embedding per person, of other pictures; NaN rows = none.

    Returns:
        (N,) 1.0 where the most similar gallery entry (cosine) is person i's, else 0.0. A probe without a
        face, or whose person is absent from the gallery, is a failure; a tie with another person too.
        Chance is 1/N.
    """
    similarity = np.where(np.isfinite(gallery).all(axis=1), 0.0, -np.inf) + probes @ np.nan_to_num(gallery).T
    own = np.diagonal(similarity).copy()
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    with np.errstate(invalid="ignore"):
        hit = own > others.max(axis=1, initial=-np.inf)
    return np.asarray(hit & np.isfinite(own), dtype=np.float64)


def impostor_threshold(probes: np.ndarray, gallery: np.ndarray, far: float) -> float:
    """The cosine that a share ``far`` of strangers exceeds; NaN where there are too few pairs of them to tell.

    Args:
        probes: (N, D) unit embeddings of real pictures; row i shows person i. NaN rows = no face.
        gallery: (N, D) of other pictures, one per person; the same.
        far: false accept rate.
    """
    scores = (probes @ np.asarray(gallery).T)[~np.eye(len(probes), dtype=bool)]
    scores = scores[np.isfinite(scores)]
    return float(np.quantile(scores, 1.0 - far, method="higher")) if len(scores) * far >= 1.0 else float("nan")


def verified(probes: np.ndarray, gallery: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) 1.0 where a probe's cosine with its own person's gallery exceeds the threshold, else 0.0; no face is a miss.

    The mean is the true accept rate (TAR) at the false accept rate that the threshold was set for.
    """
    return np.asarray(np.nan_to_num(cosine(probes, gallery), nan=-1.0) > threshold, dtype=np.float64)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of unit vectors (N, D), row by row -> (N,) in [-1, 1]; NaN where either row is NaN.

    - FaceSim: ``a``, ``b`` are a face judge's embeddings of two pictures, as the identity-preserving papers
      report it (e.g. PhotoMaker, 2312.04461, section 4), but always by a judge that nothing was conditioned on.
    - CLIP-T: ``a`` is a CLIP's image feature, ``b`` its feature of the prompt (CLIPScore, Hessel et al.,
      2021, without its factor 2.5 and without clipping at 0).
    """
    return np.asarray((np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)).sum(axis=-1))


def pose_error(found: np.ndarray, requested: np.ndarray) -> np.ndarray:
    """Absolute difference of angles in degrees, the shorter way round: (N, 3) yaw, pitch, roll -> (N, 3).

    The mean of it is the MAE that head pose papers report on BIWI (Fanelli et al., 2013).
    """
    turn = np.asarray(found, dtype=np.float64) - np.asarray(requested, dtype=np.float64)
    return np.asarray(np.abs((turn + 180.0) % 360.0 - 180.0))


def mean_of_finite(values: np.ndarray) -> np.ndarray:
    """Mean over axis 0 of what is finite; NaN where nothing is."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.asarray(np.where(finite.any(axis=0), total / np.maximum(finite.sum(axis=0), 1), np.nan))


def derangement(count: int, seed: int) -> np.ndarray:
    """(count,) a seeded order in which nothing stays in its place: whose prompt to borrow for the lower bound.

    Sattolo's algorithm (1986): one cycle through all. ``count`` of 1 returns [0].
    """
    rng = np.random.default_rng(seed)
    order = np.arange(count)
    for i in range(count - 1, 0, -1):
        j = int(rng.integers(0, i))
        order[i], order[j] = order[j], order[i]
    return order
