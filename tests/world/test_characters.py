from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facesnap.core.errors import UsageError
from facesnap.core.pose import MAX_ANGLE
from facesnap.world.hair.styles import STYLES
from facesnap.world.labels import attributes_of
from facesnap.world.moments import sample_conditions
from facesnap.world.palette import SKIN
from facesnap.world.people import sample_person


def _same(a: object, b: object) -> bool:
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name))
        for f in dataclasses.fields(a)  # type: ignore[arg-type]
    )


def test_sampling_depends_on_its_key_alone(head):
    first = sample_person(0, 7)
    sample_person(0, 8)
    assert _same(first, sample_person(0, 7))
    assert not _same(first, sample_person(1, 7))
    conditions = sample_conditions(0, first, 3)
    sample_conditions(0, first, 4)
    assert _same(conditions, sample_conditions(0, first, 3))
    assert not _same(conditions, sample_conditions(0, first, 4))


def test_people_are_varied_and_in_range(head):
    people = [sample_person(0, i) for i in range(120)]
    assert {p.tone for p in people} == set(SKIN)
    shapes = np.array([p.shape for p in people])
    assert np.abs(shapes[:, :6]).max() <= 1.8 + 1e-6
    assert np.abs(shapes).max() <= 2.5 + 1e-6
    assert shapes.std() > 0.85


@pytest.mark.parametrize(("preset", "yaw"), [("cpu", 28.0), ("full", 60.0)])
def test_conditions_are_varied_and_in_range(head, preset, yaw):
    person = sample_person(0, 1)
    drawn = [sample_conditions(0, person, i, preset) for i in range(300)]
    assert max(abs(c.yaw) for c in drawn) <= yaw <= MAX_ANGLE["yaw"]
    assert np.std([c.yaw for c in drawn]) > yaw / 3
    assert all(c.expression.min() >= 0 and c.expression.max() <= 1 for c in drawn)
    assert len({c.hair_style for c in drawn}) == len(STYLES)


def test_head_turn_is_named_by_the_pictures_side(head):
    person = sample_person(0, 2)
    conditions = dataclasses.replace(sample_conditions(0, person, 0), yaw=20.0)
    assert attributes_of(person, conditions)["head_turn"] == "left"


def test_an_unknown_preset_is_refused(head):
    with pytest.raises(UsageError, match="unknown preset 'huge': use one of cpu, full"):
        sample_conditions(0, sample_person(0, 1), 0, "huge")
