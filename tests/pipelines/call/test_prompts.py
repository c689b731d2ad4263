"""A prompt that is silent about hair or beard gets the reference's; one that speaks of them stays as it is."""

from __future__ import annotations

import pytest

from facesnap.core.errors import UsageError
from facesnap.faces.looks import Looks
from facesnap.pipelines.call.prompts import check_carry, with_looks

BOTH = Looks("short black hair", "a goatee")


@pytest.mark.parametrize(
    ("prompt", "full"),
    [
        ("a person in a red jacket", "a person with short black hair and a goatee in a red jacket"),
        ("a photo of a person with glasses", "a photo of a person with short black hair and a goatee and glasses"),
        ("A Woman, smiling", "A Woman with short black hair and a goatee, smiling"),
        ("portrait photo of a person", "portrait photo of a person with short black hair and a goatee"),
        ("smiling in the sun.", "smiling in the sun, with short black hair and a goatee"),
        ("a man's portrait", "a man's portrait, with short black hair and a goatee"),
        ("a person with a bob", "a person with a goatee and a bob"),
        ("a bearded man", "a bearded man with short black hair"),
        ("a bald person with a full beard", "a bald person with a full beard"),
        ("a clean-shaven, red-haired person", "a clean-shaven, red-haired person"),
        ("a clean-shaven person", "a clean-shaven person with short black hair"),
        ("a person with a shaved head", "a person with a goatee and a shaved head"),
        ("a person with a moustache, short blond curls", "a person with a moustache, short blond curls"),
    ],
)
def test_what_a_prompt_does_not_speak_of_is_said(prompt: str, full: str) -> None:
    assert with_looks(prompt, BOTH) == full


def test_words_inside_other_words_are_no_hair() -> None:
    """A chair, a bobsleigh and a bunny speak of no hair; a hairband does."""
    assert "black hair" in with_looks("a person beside a bunny on a bobsleigh", BOTH)
    assert "black hair" in with_looks("a person on a chair", BOTH)
    assert "black hair" not in with_looks("a person with a hairband", BOTH)


def test_only_what_is_asked_for_and_known_is_carried() -> None:
    assert with_looks("a person", BOTH, ["hair"]) == "a person with short black hair"
    assert with_looks("a person", BOTH, []) == "a person"
    assert with_looks("a person", Looks(beard="a goatee")) == "a person with a goatee"
    assert with_looks("a person", Looks()) == "a person"


@pytest.mark.parametrize("carry", [["hat"], "hair"])
def test_unknown_things_to_carry_are_refused(carry: object) -> None:
    with pytest.raises(UsageError, match="use some of hair, beard"):
        check_carry(carry)  # type: ignore[arg-type]
