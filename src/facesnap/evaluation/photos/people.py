"""People from a folder of photographs, one subfolder each, and what is asked of each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from facesnap.core.errors import InputError, UsageError
from facesnap.core.images import load_image
from facesnap.core.pose import Pose
from facesnap.evaluation.protocol import Trial
from facesnap.evaluation.subjects import TARGET, Shot, Subject, trial_of
from facesnap.pipelines.analyser import Analyser

#: Photos of a person: the reference, one to compare with, and at least one more for the gallery; at most so many.
LEAST, MOST = 3, 6
#: Longer side at most, pixels: faces are read from far smaller crops.
SIDE: Final = 768
#: What is asked in turn, where no prompts are given: appearance, clothes, place, style, action.
PROMPTS: Final = (
    "a photo of a person",
    "a portrait of a person in a red jacket",
    "a photo of a person with glasses",
    "a photo of a person with short curly hair",
    "a photo of a person wearing a hat on a beach",
    "a photo of a person in a snowy forest",
    "a photo of a person reading a book in a library",
    "a photo of a person in a city street at night",
    "an oil painting of a person",
    "a pencil sketch of a person",
    "a watercolour of a person",
    "a black and white photo of a person",
)
#: How they are to stand, in turn.
POSES: Final = (
    Pose(),
    Pose(yaw=20, expression={"smile": 1.0}),
    Pose(yaw=-20),
    Pose(pitch=-10, expression={"laugh": 1.0}),
    Pose(yaw=35),
    Pose(yaw=-35, expression={"surprise": 1.0}),
    Pose(roll=12, expression={"smile": 1.0}),
)


def photographed(
    folder: Path, analyser: Analyser, people: int, say: Callable[[str], None]
) -> tuple[list[Subject], list[str]]:
    """The first ``people`` of whom enough photos show a face, and the names of their subfolders.

    What can't be used is told to ``say``, a line each.

    Raises:
        UsageError: fewer than two people are left.
    """
    subjects, names = [], []
    for number, own in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        shots = _shots(own, analyser, say)
        if len(shots) < LEAST:
            say(f"{own.name}: {len(shots)} photos with a face: {LEAST} are needed, so this person is left out")
            continue
        subjects.append(Subject(number, shots, np.zeros(0)))
        names.append(own.name)
        if len(subjects) == people:
            break
    if len(subjects) < 2:
        raise UsageError(f"{folder} has {len(subjects)} people with {LEAST} photos of a face or more: 2 are needed")
    return subjects, names


def _shots(folder: Path, analyser: Analyser, say: Callable[[str], None]) -> list[Shot]:
    shots: list[Shot] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        if len(shots) == MOST:
            break
        try:
            image = _shrunk(load_image(path))
            landmarks = analyser.read(image).fitted.landmarks2d
        except InputError as error:
            say(f"{folder.name}/{path.name}: {error}")
            continue
        shots.append(Shot(image, (), Pose(), landmarks, {}))
    return shots


def _shrunk(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def make_questions(
    subjects: Sequence[Subject], prompts: Sequence[str], seed: int, fits: Callable[[str], bool]
) -> tuple[Trial, ...]:
    """One trial per person; prompts and poses take turns.

    Raises:
        UsageError: a prompt that a text encoder doesn't take whole.
    """
    if long := [prompt for prompt in prompts if not fits(prompt)]:
        raise UsageError(f"too long for the base's or the judge's text encoder: {long[0]}")
    return tuple(
        trial_of(subject, seed, target=TARGET, prompt=prompts[place % len(prompts)], pose=POSES[place % len(POSES)])
        for place, subject in enumerate(subjects)
    )
