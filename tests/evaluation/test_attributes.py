"""What a prompt asks for, and whether a portrait shows it."""

from types import ModuleType

import pytest

from facesnap.evaluation.attributes import accuracies, agreement, asked_of
from facesnap.evaluation.records import Seen
from facesnap.evaluation.summary import CHANCE, REAL, summarise


def test_a_prompt_asks_for_what_it_says_and_for_nothing_added(fakes: ModuleType) -> None:
    short = asked_of("a photo of a person with an auburn bob, softly lit", fakes.SHOWN)
    assert short == {
        "style": "photo", "hair_style": "bob", "hair_colour": "auburn", "light": "soft",
        "beard": "none", "occluder": "none",
    }  # fmt: skip
    assert asked_of("a person with round glasses, wearing a navy blazer", fakes.SHOWN).items() >= {
        ("glasses", "glasses"), ("clothes", "blazer"), ("clothes_colour", "navy")
    }  # fmt: skip
    assert "glasses" not in short  # it shows some, and the prompt doesn't say


def test_agreement_is_one_attribute_at_a_time() -> None:
    asked = {"glasses": "glasses", "hair_style": "bob", "style": "photo"}
    read = {"glasses": "square", "hair_style": "afro", "style": "photo", "light": "soft"}
    assert agreement(asked, read) == {"glasses": 1.0, "hair_style": 0.0, "style": 1.0}
    assert agreement({"glasses": "glasses"}, {"glasses": "round sunglasses"}) == {"glasses": 0.0}
    shares = accuracies([{"style": 1.0, "light": 0.0}, {"style": 1.0}])
    assert (shares["all"].value, shares["style"].value, shares["light"].count) == (pytest.approx(2 / 3), 1.0, 1)


def test_the_table_has_attributes_where_a_judge_read_them(fakes: ModuleType) -> None:
    import dataclasses

    import numpy as np

    def record(person: int, *, judged: bool) -> object:
        plain = fakes.record(person, fakes.seen(person), fakes.seen(0))
        own = "red" if person else "blue"
        trial = dataclasses.replace(plain.trial, asked={"clothes_colour": own})
        shown = {"facesnap": own, "target": own, "base": "blue"}
        pictures: dict[str, Seen] = {
            name: dataclasses.replace(seen, attributes={"clothes_colour": shown[name]}) if name in shown else seen
            for name, seen in plain.seen.items()
        }
        return dataclasses.replace(plain, trial=trial, seen=pictures if judged else plain.seen)

    texts = np.stack([fakes.unit(i) for i in range(2)])
    rows = {
        row.key: row for row in summarise([record(i, judged=True) for i in range(2)], texts, ["facesnap", "base"], 0)
    }
    cells = rows["attributes"].cells
    assert [cells[name].value for name in ("facesnap", "base", REAL, CHANCE)] == [1.0, 0.5, 1.0, 0.0]
    assert rows["attribute_clothes_colour"].cells["base"].value == 0.5
    silent = summarise([record(i, judged=False) for i in range(2)], texts, ["facesnap", "base"], 0)
    assert not any(row.key.startswith("attribute") for row in silent)
