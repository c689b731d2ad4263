"""What the arena asks: of everybody, as somebody else's picture has it, without saying who it is."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facesnap.core.errors import UsageError
from facesnap.core.weights import mini_folder
from facesnap.evaluation.arena.questions import exact_request, make_questions
from facesnap.evaluation.protocol import Trial
from facesnap.evaluation.subjects import Shot, Subject
from facesnap.landmarks.predict import LandmarkPredictor

PEOPLE = 5


def subject(fakes: ModuleType, person: int, captions: Any = None) -> Subject:
    def shot(number: int) -> Shot:
        said = captions(number) if captions else (f"a person with olive skin, {number}", f"a person, {person}.{number}")
        return Shot(np.full((8, 8, 3), person, np.uint8), said, fakes.trial().pose, fakes.points(), fakes.SHOWN)

    return Subject(person, [shot(number) for number in range(5)], np.random.default_rng(person).normal(size=100))


def test_everybody_drives_one_other_and_no_prompt_says_who_it_is(fakes: ModuleType) -> None:
    people = [subject(fakes, person) for person in range(PEOPLE)]
    trials = make_questions(people, 0, lambda _: True)
    assert [trial.person for trial in trials] == list(range(PEOPLE))
    assert [trial.driver for trial in trials] == [1, 0, 3, 2, 3]
    assert all(trial.driver != trial.person for trial in trials)
    assert [trial.prompt for trial in trials] == [f"a person, {trial.driver}.1" for trial in trials]
    assert [(trial.reference, trial.target, trial.gallery) for trial in trials] == [(0, 1, (2, 3, 4))] * PEOPLE
    assert all(trial.asked == {"beard": "none", "occluder": "none", "style": "photo"} for trial in trials)
    assert make_questions(people[:2], 0, lambda _: True) == trials[:2]  # more people change nothing
    assert [trial.seed for trial in make_questions(people, 1, lambda _: True)] != [trial.seed for trial in trials]
    assert all(Trial.from_json(trial.to_json()) == trial for trial in trials)


def test_a_picture_whose_captions_all_say_who_is_passed_over(fakes: ModuleType) -> None:
    def captions(number: int) -> tuple[str, ...]:
        return ("a person with dark skin",) if number < 3 else ("a person in a park",)

    trials = make_questions([subject(fakes, person, captions) for person in range(2)], 0, lambda _: True)
    assert [(trial.target, trial.prompt) for trial in trials] == [(3, "a person in a park")] * 2
    with pytest.raises(UsageError, match="no caption of person"):
        make_questions([subject(fakes, person) for person in range(2)], 0, lambda caption: "skin" in caption)


def test_the_exact_request_is_the_persons_own_head(fakes: ModuleType) -> None:
    predictor = LandmarkPredictor.from_pretrained(mini_folder() / "landmarks")
    one, other = subject(fakes, 1), subject(fakes, 2)
    trial = make_questions([one, other], 0, lambda _: True)[0]
    asked = exact_request(one, trial, predictor, 256)
    shape = predictor.morphable.shape_from_full(one.identity)
    np.testing.assert_array_equal(asked, predictor.predict(shape, trial.pose, (256, 256)))
    assert np.abs(asked - exact_request(other, trial, predictor, 256)).max() > 1
