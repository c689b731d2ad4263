"""How well E_3d reads rendered people: landmarks, angles, expression, and whether its shape is the person's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from facesnap.evaluation.landmarks.readings import Readings
from facesnap.evaluation.landmarks.retarget import neutral_heads
from facesnap.evaluation.metrics import Interval, bootstrap_mean, pose_error, wilson
from facesnap.evaluation.recognise import YAW_BINS
from facesnap.landmarks.layout import nme
from facesnap.landmarks.morphable import MorphableLandmarks
from facesnap.training.mini.data import Split


def yaw_bins(split: Split) -> dict[str, np.ndarray]:
    """Name -> which pictures (N,); bins without any are left out."""
    yaw = np.abs(split.world.pose[:, 0])
    bins = {f"{low} to {min(high, 60)} degrees": (yaw >= low) & (yaw < high) for low, high in YAW_BINS}
    return {name: chosen for name, chosen in bins.items() if chosen.any()}


def by_yaw(split: Split, readings: Readings, seed: int) -> dict[str, dict[str, Interval]]:
    """Bin -> recall, and of faces found NME (a fraction), yaw, pitch, roll (degrees), expression (weights)."""
    error = nme(readings.landmarks, split.world.landmarks2d.astype(np.float64))
    angles = pose_error(readings.angles, split.world.pose)
    expression = np.abs(readings.expression - split.world.expression).mean(axis=1)
    return {
        name: {
            "recall": wilson(readings.found[chosen].astype(np.float64)),
            "nme": bootstrap_mean(error[chosen], seed),
            **{angle: bootstrap_mean(angles[chosen, i], seed) for i, angle in enumerate(("yaw", "pitch", "roll"))},
            "expression": bootstrap_mean(expression[chosen], seed),
        }
        for name, chosen in {"all": np.ones(len(split), bool), **yaw_bins(split)}.items()
    }


def shape_figures(split: Split, readings: Readings, morphable: MorphableLandmarks, seed: int) -> Mapping[str, Any]:
    """Mean distance of two shapes' 72 landmarks in millimetres, neutral and upright.

    ``truth``: to the exact head; ``several``: the same of the mean over all of a person's pictures; ``same``,
    ``others``: between two pictures of one person, of two people; ``auc``: how often a pair of one person is nearer
    than one of two. ``mean head``: the exact head to the mean one, which is what knowing nothing of the shape would
    give.
    """
    heads = np.tensordot(readings.shape, morphable.identity.astype(np.float64), axes=1)
    exact = neutral_heads(split, morphable.expression.astype(np.float64)) - morphable.mean
    same = np.array([pair for rows in split.rows_of for pair in _pairs(rows[readings.found[rows]])], int).reshape(-1, 2)
    strangers = _strangers(split, np.flatnonzero(readings.found), np.random.default_rng(seed))
    near, far = (_distance(heads[p[:, 0]], heads[p[:, 1]]) for p in (same, strangers))
    seen = [rows[readings.found[rows]] for rows in split.rows_of]
    means = np.stack([heads[rows].mean(axis=0) - exact[rows[0]] for rows in seen if len(rows)])
    distances = {
        "truth": _distance(heads, exact), "several": _distance(means, np.zeros_like(means)),
        "mean head": _distance(exact, np.zeros_like(exact)),
        "same": near, "others": far,
    }  # fmt: skip
    return {**{name: bootstrap_mean(values, seed) for name, values in distances.items()}, "auc": _auc(near, far)}


def _strangers(split: Split, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(M, 2) each picture with one of somebody else."""
    pairs = np.stack([rows, rng.permutation(rows)], axis=1)
    return np.asarray(pairs[split.person_index[pairs[:, 0]] != split.person_index[pairs[:, 1]]])


def _pairs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Neighbouring pictures of one person: independent enough for an interval over pairs."""
    return list(zip(rows[:-1:2].tolist(), rows[1::2].tolist(), strict=False))


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) mean distance of landmarks (N, 72, 3) in cm, as millimetres."""
    return np.asarray(10.0 * np.linalg.norm(a - b, axis=-1).mean(axis=-1))


def _auc(near: np.ndarray, far: np.ndarray) -> float:
    """Share of pairs (one of each) in which ``near`` is the smaller: 0.5 is chance. NaN without any."""
    if not len(near) or not len(far):
        return float("nan")
    ranks = np.searchsorted(np.sort(near), far, side="left") / len(near)
    return float(ranks.mean())
