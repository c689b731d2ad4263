"""What the arena asks: a portrait of everybody as somebody else's picture has it, its prompt, pose and expression.

Test people drive each other in pairs, so that more people change nothing for those who are there. What the driver's
picture shows (hair, clothes, glasses, place, light, style, expression) is asked for by its own caption, so that most of
it differs from the reference; the right answer is known: the person's own head in the driver's pose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.evaluation.attributes import asked_of
from facesnap.evaluation.protocol import Trial
from facesnap.evaluation.subjects import TARGET, Subject, trial_of
from facesnap.landmarks.predict import LandmarkPredictor

#: A caption that speaks of these asks for another person, not for another picture.
WHO: Final = (" skin",)


def make_questions(subjects: Sequence[Subject], seed: int, fits: Callable[[str], bool]) -> tuple[Trial, ...]:
    """One trial per person, who is driven by a neighbour (an odd one out by the last of the pairs).

    The person's shots are reference, one to compare with (:data:`TARGET`), and gallery. The prompt is the fullest
    caption that ``fits`` and doesn't say who it is, of the driver's first picture that has one: the trial's target.

    Raises:
        UsageError: a driver none of whose captions can be asked.
    """
    last = len(subjects) - 1
    drivers = [place - 1 if place % 2 or place == last else place + 1 for place in range(len(subjects))]
    return tuple(
        _question(subject, subjects[driver], seed, fits) for subject, driver in zip(subjects, drivers, strict=True)
    )


def _question(subject: Subject, driver: Subject, seed: int, fits: Callable[[str], bool]) -> Trial:
    for target in range(TARGET, len(driver.shots)):
        shot = driver.shots[target]
        for caption in shot.captions:
            if fits(caption) and not any(word in caption for word in WHO):
                asked = asked_of(caption, shot.attributes)
                told = {"target": target, "prompt": caption, "pose": shot.pose, "asked": asked}
                return trial_of(subject, seed, driver, driver=driver.person, **told)
    raise UsageError(f"no caption of person {driver.person} can be asked of another one: render more of their pictures")


def exact_request(subject: Subject, trial: Trial, predictor: LandmarkPredictor, size: int) -> np.ndarray:
    """(72, 2) pixels: the person's exact head in the trial's pose and expression, which no method is told."""
    shape = predictor.morphable.shape_from_full(subject.identity)
    return predictor.predict(shape, trial.pose, (size, size))
