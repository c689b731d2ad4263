"""Does the face stay the reference's when another person's pose and expression drive it?

For a reference A and a driver B the truth is known exactly: A's own head in B's expression, pose and camera. Four ways
to get at its landmarks from two pictures are compared with it:

- ``predictor``: the Landmark Predictor (the paper's way): A's shape with B's expression, pose and camera, as read;
- ``driver``: B's landmarks as they are read (InstantID draws five of them);
- ``similarity``: A's landmarks, moved, turned and scaled in the picture until they lie on B's as well as they can;
- ``five points``: B's five points as they are read, against the truth's five.

No picture says how large a head is: a big one far away looks like a small one. Errors are therefore also given with the
framing set aside, after the scale and the shift that bring the landmarks closest to the truth's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from facesnap.evaluation.landmarks.readings import Readings
from facesnap.evaluation.metrics import Interval, bootstrap_ratio, derangement
from facesnap.landmarks.layout import five_points, inter_ocular
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.training.mini.data import Split

#: Ends the name of an error that is measured with the framing set aside.
ASIDE: Final = ", framing aside"


def neutral_heads(split: Split, expression_basis: np.ndarray) -> np.ndarray:
    """(N, 72, 3) cm: each picture's exact head with its expression taken away; ``expression_basis`` (53, 72, 3)."""
    moved = np.tensordot(split.world.expression.astype(np.float64), expression_basis, axes=1)
    return np.asarray(split.world.landmarks3d - moved)


def truth(split: Split, expression_basis: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P, 72, 2) pixels: the heads of pictures ``a`` (P,) in expression, pose and camera of pictures ``b`` (P,)."""
    moved = np.tensordot(split.world.expression[b].astype(np.float64), expression_basis, axes=1)
    heads = neutral_heads(split, expression_basis)[a] + moved
    return np.stack([split.projected(row, head) for row, head in zip(b, heads, strict=True)])


def pairs_of(split: Split, found: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of references and drivers, (P,) each: everybody once as either, by pictures that were read."""
    first, second = [], []
    order = derangement(split.people, seed)
    for person, rows in enumerate(split.rows_of):
        driver = split.rows_of[order[person]]
        sources, drivers = rows[found[rows]], driver[found[driver]]
        if len(sources) and len(drivers):
            first.append(sources[0])
            second.append(drivers[-1])
    return np.array(first), np.array(second)


def retargeting_errors(
    split: Split, readings: Readings, predictor: LandmarkPredictor, seed: int
) -> Mapping[str, np.ndarray]:
    """NME (P,) of each way (see this module), as fractions of the truth's eye distance; then with framing set aside."""
    a, b = pairs_of(split, readings.found, seed)
    exact = truth(split, predictor.morphable.expression.astype(np.float64), a, b)
    side = int(split.world.images.shape[1])
    ours = []
    for source, driver in zip(a, b, strict=True):
        pose = readings.poses[driver]
        assert pose is not None
        ours.append(predictor.predict(readings.shape[source], pose, (side, side)))
    driven, own = readings.landmarks[b], readings.landmarks[a]
    ways = {"predictor": np.stack(ours), "driver": driven, "similarity": similarity_to(own, driven)}
    fives = {f"{name}, five points": five_points(ways[name]) for name in ("predictor", "driver")}
    eyes, exact5 = inter_ocular(exact), five_points(exact)
    found: dict[str, np.ndarray] = {}
    for after, framed in (("", lambda points, _: points), (ASIDE, framing_aside)):
        found |= {f"{name}{after}": _error(framed(points, exact), exact, eyes) for name, points in ways.items()}
        found |= {f"{name}{after}": _error(framed(points, exact5), exact5, eyes) for name, points in fives.items()}
    return found


def ratios_of(errors: Mapping[str, np.ndarray], seed: int) -> dict[str, Interval]:
    """Name of another way -> the predictor's mean error, measured likewise, as a share of its own."""
    others = [name for name in errors if not name.startswith("predictor")]
    return {name: bootstrap_ratio(errors[_ours(name)], errors[name], seed) for name in others}


def _ours(name: str) -> str:
    """The predictor's error that is measured as another way's: what follows the way's name stays."""
    return f"predictor{name[len(name.split(',')[0]) :]}"


def framing_aside(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (P, M, 2) after the scale and shift (no turn) that bring them closest to the target's, pixels."""
    p, q = (x - x.mean(axis=1, keepdims=True) for x in (points, target))
    scale = (p * q).sum(axis=(1, 2), keepdims=True) / (p * p).sum(axis=(1, 2), keepdims=True)
    return np.asarray(scale * p + target.mean(axis=1, keepdims=True))


def similarity_to(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (P, 72, 2) after the similarity that brings them closest to the target's (Umeyama 1991), pixels."""
    p, q = (x[..., 0] + 1j * x[..., 1] for x in (points, target))
    centre = p.mean(axis=1, keepdims=True)
    p = p - centre
    a = (p.conj() * q).sum(axis=1, keepdims=True) / (np.abs(p) ** 2).sum(axis=1, keepdims=True)
    moved = a * p + q.mean(axis=1, keepdims=True)
    return np.stack([moved.real, moved.imag], axis=-1)


def _error(points: np.ndarray, exact: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(points - exact, axis=-1).mean(axis=-1) / eyes)
