"""Does the face stay the reference's when another person's pose and expression drive it?

For a reference A and a driver B the truth is known exactly: A's own head in B's expression, pose and camera. Four ways
to get at its landmarks from two pictures are compared with it:

- ``predictor``: the Landmark Predictor (the paper's way): A's shape with B's expression, pose and camera, as read;
- ``driver``: B's landmarks as they are read (InstantID draws five of them);
- ``similarity``: A's landmarks, moved, turned and scaled in the picture until they lie on B's as well as they can;
- ``five points``: B's five points as they are read, against the truth's five.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facesnap.core.types import Camera, rotation_matrix
from facesnap.evaluation.landmarks.readings import Readings
from facesnap.evaluation.metrics import derangement, nme
from facesnap.landmarks.layout import five_points, inter_ocular
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.training.mini.data import Split


def neutral_heads(split: Split, expression_basis: np.ndarray) -> np.ndarray:
    """(N, 72, 3) cm: each picture's exact head with its expression taken away; ``expression_basis`` (53, 72, 3)."""
    moved = np.tensordot(split.world.expression.astype(np.float64), expression_basis, axes=1)
    return np.asarray(split.world.landmarks3d - moved)


def truth(split: Split, expression_basis: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P, 72, 2) pixels: the heads of pictures ``a`` (P,) in expression, pose and camera of pictures ``b`` (P,)."""
    neutral, world = neutral_heads(split, expression_basis), split.world
    drawn = []
    for source, driver in zip(a, b, strict=True):
        head = neutral[source] + np.tensordot(world.expression[driver].astype(np.float64), expression_basis, axes=1)
        camera = Camera(*(float(value) for value in world.camera[driver]))
        drawn.append(camera.project(head @ rotation_matrix(*world.pose[driver].astype(np.float64)).T))
    return np.stack(drawn)


def pairs_of(split: Split, found: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of references and drivers, (P,) each: everybody once as either, by different pictures that were read."""
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
    """NME (P,) of each way (see this module), as fractions of the truth's eye distance."""
    a, b = pairs_of(split, readings.found, seed)
    exact = truth(split, predictor.morphable.expression.astype(np.float64), a, b)
    side = int(split.world.images.shape[1])
    ours = []
    for source, driver in zip(a, b, strict=True):
        pose = readings.poses[driver]
        assert pose is not None
        ours.append(predictor.predict(readings.shape[source], pose, (side, side)))
    driver = readings.landmarks[b]
    eyes = inter_ocular(exact)
    return {
        "predictor": nme(np.stack(ours), exact),
        "driver": nme(driver, exact),
        "similarity": nme(similarity_to(readings.landmarks[a], driver), exact),
        "predictor, five points": _five(np.stack(ours), exact, eyes),
        "driver, five points": _five(driver, exact, eyes),
    }


def similarity_to(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (P, 72, 2) after the similarity that brings them closest to the target's (Umeyama 1991), pixels."""
    p, q = (x[..., 0] + 1j * x[..., 1] for x in (points, target))
    centre = p.mean(axis=1, keepdims=True)
    p = p - centre
    a = (p.conj() * q).sum(axis=1, keepdims=True) / (np.abs(p) ** 2).sum(axis=1, keepdims=True)
    moved = a * p + q.mean(axis=1, keepdims=True)
    return np.stack([moved.real, moved.imag], axis=-1)


def _five(found: np.ndarray, exact: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(five_points(found) - five_points(exact), axis=-1).mean(axis=-1)
    return np.asarray(distance / eyes)
