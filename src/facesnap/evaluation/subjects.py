"""The test people: their renders with exact labels, and the trials that are asked about them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facesnap.core.arkit import EXPRESSIONS
from facesnap.core.errors import UsageError
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.evaluation.attributes import asked_of
from facesnap.evaluation.protocol import Trial
from facesnap.training.heldout import held_out

#: Which of a person's renders play which part; those after the target are the gallery.
REFERENCE, TARGET = 0, 1


@dataclass(frozen=True, eq=False)
class Shot:
    """A render: ``image`` (S, S, 3) uint8, ``captions`` fullest first, ``pose`` with camera, ``landmarks`` (72, 2).

    ``attributes``: what it shows, name -> value.
    """

    image: np.ndarray
    captions: tuple[str, ...]
    pose: Pose
    landmarks: np.ndarray
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """One person with their renders; ``identity`` (F,) are the head's coefficients."""

    person: int
    shots: Sequence[Shot]
    identity: np.ndarray


def load_subjects(
    folder: Path, split: str, people: int, renders: int, seed: int, preset: str, size: int
) -> list[Subject]:
    """The first ``people`` of a held-out split with ``renders`` shots each; see :func:`held_out`."""
    world = held_out(folder, split, people, renders, seed, preset, size)
    shots = [
        Shot(
            image=world.images[row],
            captions=tuple(world.captions[row]),
            pose=pose_of(world.pose[row], world.expression[row], world.camera[row], size),
            landmarks=world.landmarks2d[row].astype(np.float64),
            attributes=world.attributes[row],
        )
        for row in range(len(world))
    ]
    first = range(0, len(shots), renders)
    return [Subject(int(world.person[i]), shots[i : i + renders], world.identity[i].astype(np.float64)) for i in first]


def pose_of(angles: np.ndarray, weights: np.ndarray, camera: np.ndarray, size: int) -> Pose:
    """A Pose from labels: (3,) degrees, (53,) weights, (4,) camera in pixels of a picture of side ``size``."""
    expression = {name: float(np.clip(w, 0, 1)) for name, w in zip(EXPRESSIONS, weights, strict=True)}
    framing = Camera(*(float(value) for value in camera)).relative((size, size))
    yaw, pitch, roll = (float(angle) for angle in angles)
    return Pose(yaw, pitch, roll, expression, camera=framing)


def make_trials(subjects: Sequence[Subject], seed: int, fits: Callable[[str], bool]) -> tuple[Trial, ...]:
    """One trial per person: reference and target as :data:`REFERENCE` and :data:`TARGET` say, the rest as gallery.

    The prompt is the target's fullest caption that ``fits`` (that every text encoder takes whole).

    Raises:
        UsageError: none of a target's captions fits.
    """
    return tuple(_trial(subject, seed, fits) for subject in subjects)


def _trial(subject: Subject, seed: int, fits: Callable[[str], bool]) -> Trial:
    target = subject.shots[TARGET]
    prompt = next((caption for caption in target.captions if fits(caption)), None)
    if prompt is None:
        raise UsageError(
            f"every caption of person {subject.person} is too long for the text encoders: {target.captions}"
        )
    asked = asked_of(prompt, target.attributes)
    return trial_of(subject, seed, target=TARGET, prompt=prompt, pose=target.pose, asked=asked)


def trial_of(subject: Subject, seed: int, *others: Subject, **asked: Any) -> Trial:
    """A trial of a person, whose renders play the parts that they always play; ``others``: who is seen in it, too."""
    return Trial(
        person=subject.person,
        reference=REFERENCE,
        gallery=tuple(range(TARGET + 1, len(subject.shots))),
        seed=start_of(seed, subject.person),
        pictures=digest_of(subject, *others),
        **asked,
    )


def start_of(seed: int, person: int) -> int:
    """Where a person's sampling starts, for all methods alike."""
    return int(np.random.SeedSequence([seed, person]).generate_state(1)[0])


def digest_of(*subjects: Subject) -> str:
    """12 hex digits of their renders."""
    pictures = b"".join(shot.image.tobytes() for subject in subjects for shot in subject.shots)
    return hashlib.sha256(pictures).hexdigest()[:12]
