from __future__ import annotations

import pytest

from facesnap.serving.studio.styles import CHIPS, PLACES, STYLES, chosen_in, with_words


@pytest.mark.parametrize("prompt", ["", "a person", "a person, smiling, ", "pencil sketches of a person"])
def test_a_chip_comes_and_goes(prompt: str) -> None:
    with_it = with_words(prompt, ["Pencil"])
    assert with_it.endswith("pencil sketch")
    assert chosen_in(with_it, STYLES) == ["Pencil"]
    assert with_words(with_it, ["Pencil"]) == with_it
    assert with_words(with_it, []) == prompt.rstrip().rstrip(",")


def test_chips_leave_each_other_alone() -> None:
    prompt = with_words("a person", list(CHIPS))
    assert chosen_in(prompt, CHIPS) == list(CHIPS)
    assert chosen_in(with_words(prompt, list(PLACES)), CHIPS) == list(PLACES)
    assert with_words(prompt, []) == "a person"


def test_words_that_were_typed_are_the_chips() -> None:
    assert chosen_in("a person, Oil Painting , on a beach", CHIPS) == ["Oil", "Beach"]
    assert chosen_in("a person on a beach", PLACES) == []


def test_no_chip_says_part_of_another() -> None:
    for chip, words in CHIPS.items():
        assert [other for other, said in CHIPS.items() if said == words] == [chip]
