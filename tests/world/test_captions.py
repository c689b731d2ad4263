"""Captions of all that can be in a picture; without OpenGL and the head model."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from facesnap.world import phrases
from facesnap.world.backdrops.background import COLOURED, COLOURS, PAINTERS
from facesnap.world.captions import COLOURLESS, captions_of, named_by
from facesnap.world.clothes.garments import GARMENTS
from facesnap.world.hair import beards
from facesnap.world.hair import styles as hair
from facesnap.world.moments import LIGHT_SHARES, MOODS, STYLE_SHARES
from facesnap.world.palette import EYESHADOW, GLASSES, HAIR, LIPSTICK, SKIN
from facesnap.world.styles.apply import STYLES
from facesnap.world.worn.glasses import FRAMES
from facesnap.world.worn.occluders import HIDES

USUAL: dict[str, Any] = {
    "skin": "olive", "age": "young", "eyes": "brown", "hair_style": "bob", "hair_colour": "auburn", "beard": "none",
    "glasses": "none", "glasses_colour": "none", "lipstick": "none", "eyeshadow": "none", "clothes": "blazer",
    "clothes_colour": "navy", "clothes_second_colour": "white", "occluder": "none", "occluder_hides": "none",
    "light": "soft", "background": "plain", "background_colour": "orange", "style": "photo", "expression": "neutral",
    "head_turn": "ahead", "looks_at_camera": True, "close_up": False,
}  # fmt: skip
DARK = [name for name, frame in FRAMES.items() if frame.dark]
HIDDEN = [("none", "none"), *((kind, hides) for kind, several in HIDES.items() for hides in several)]
MOUTH = r"smil|laugh|talk|speak|pout|pursed|grimac|pulling a face|making a face|calm|neutral"
EYES = r"wink|closed|blink"
GENDERED = r"\b(man|woman|male|female|he|she|his|hers?|him|boy|girl|lady|guy|men|women|himself|herself)\b"
#: Words of colour that no thing's name has; "dark" and "light" alone are said of glasses and of light.
COLOUR = rf"\b({'|'.join(sorted({*COLOURS, *HAIR, *GLASSES, 'plum'} - {'dark'}))})\b"


def _captions(repeats: int = 4, **given: Any) -> Iterator[str]:
    shown = USUAL | given
    if shown["glasses"] != "none" and "glasses_colour" not in given:
        shown["glasses_colour"] = "gold"
    if shown["style"] == "neon":
        shown["light"] = "neon"
    for index in range(repeats):
        several = captions_of(shown, (0, 1, index))
        assert len(set(several)) == 3, several
        for caption in several:
            _check(caption, shown)
            yield caption


def _full(repeats: int = 12, **given: Any) -> list[str]:
    return list(_captions(repeats, **given))[::3]


def _check(caption: str, shown: dict[str, Any]) -> None:
    """What holds of every caption."""
    assert re.fullmatch(r"[a-z][a-z ,-]*[a-z]", caption), f"{caption} of {shown}"
    assert not re.search(
        r"  | ,|,,|,(?! )|\b(in|with|and|a|an|on|before|the|of|over),|\b(in|with|and|an?)$", caption
    ), f"{caption} of {shown}"
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|\b(\w+) \1\b|\((n)\)|\bnone\b|[{}]", caption), (
        f"{caption} of {shown}"
    )
    assert not re.search(GENDERED, caption), f"{caption} of {shown}"
    assert caption.count("person") == 1, f"{caption} of {shown}"
    opening, *parts = caption.split(", ")
    assert not {"background", "backdrop"} & set(parts), f"{caption} of {shown}"
    assert sum(part.startswith("with ") for part in parts) <= 1, f"{caption} of {shown}"
    for one, two in itertools.pairwise(parts):
        assert not (one + two).count("wearing") or {one[:3], two[:3]} != {"in "}, f"{caption} of {shown}"
        assert not (one.startswith("looking") and two.startswith("looking")), f"{caption} of {shown}"
    _check_seen(caption, shown)
    assert ("close-up" not in opening) or shown["close_up"], f"{caption} of {shown}"


def _check_seen(caption: str, shown: dict[str, Any]) -> None:
    """That nothing is named that can't be seen."""
    mouth = shown["occluder"] != "none" and "mouth" in shown["occluder_hides"]
    dark = shown["glasses"].endswith("sunglasses")
    eye = dark or shown["occluder_hides"].startswith("eye")
    if mouth:
        assert not re.search(rf"lipstick|beard|stubb|mo?ustache|goatee|{MOUTH}", caption), f"{caption} of {shown}"
    if eye:
        assert not re.search(rf"{EYES}|looking at the camera", caption), f"{caption} of {shown}"
    if dark:
        assert "eyeshadow" not in caption, f"{caption} of {shown}"
    if not shown["looks_at_camera"] or shown["expression"] == "blink":
        assert "looking at the camera" not in caption, f"{caption} of {shown}"
    if shown["style"] in COLOURLESS:
        text = caption.replace("black and white", "").replace("black-and-white", "")
        assert not re.search(rf"{COLOUR}|\bskin\b|warm|cold|neon|lipstick|eyeshadow", text), f"{caption} of {shown}"
    if shown["style"] == "neon" and shown["background_colour"] not in (shown["clothes_colour"], shown["hair_colour"]):
        assert shown["background_colour"] not in caption, f"{caption} of {shown}"
    if shown["style"] == "pencil":
        places = {text.split("{c}")[0].strip() for several in phrases.BACKGROUNDS.values() for text in several}
        parts = caption.split(", ")
        assert not re.search(r"background|backdrop|(?<!lit from )behind|outdoors", caption), f"{caption} of {shown}"
        assert not set(parts) & places, f"{caption} of {shown}"
    if "studio light" in caption:
        assert shown["background"] in COLOURED, f"{caption} of {shown}"


def test_the_tables_know_all_that_is_drawn():
    assert set(phrases.OPENINGS) == set(STYLE_SHARES) == set(STYLES)
    assert set(phrases.HAIR) == set(hair.STYLES)
    assert set(phrases.BEARDS) == set(beards.BEARDS) - {"none"}
    assert set(phrases.CLOTHES) == set(GARMENTS)
    assert set(phrases.LIGHTS) == {*LIGHT_SHARES, "neon"}
    assert set(phrases.MOODS) == set(MOODS)
    assert set(phrases.BACKGROUNDS) == set(PAINTERS)
    assert phrases.STUDIOS == COLOURED
    for table in (phrases.LIGHTS, phrases.MOODS, phrases.BACKGROUNDS, phrases.HANDS):
        for several in table.values():
            assert any(not text.startswith("with ") for text in several)


@pytest.mark.parametrize("style", STYLE_SHARES)
def test_every_hair_background_and_garment_in_every_style(style):
    for name, colour in itertools.product(hair.STYLES, ("auburn", "black", "dark blond", "purple")):
        for caption in _full(2, style=style, hair_style=name, hair_colour="none" if name == "bald" else colour):
            seen = style not in COLOURLESS and name != "bald"
            assert (colour in caption.replace("black and white", "").replace("black-and-white", "")) or not seen
    for name, colour in itertools.product(PAINTERS, ("orange", "light grey", "yellow")):
        for caption in _full(4, style=style, background=name, background_colour=colour, clothes_second_colour="red"):
            seen = style not in (*COLOURLESS, "neon") and name in COLOURED
            assert (colour in caption) == seen, caption
    for name, colour in itertools.product(GARMENTS, ("orange", "dark green", "yellow", "white")):
        for caption in _full(2, style=style, clothes=name, clothes_colour=colour, background="park"):
            text = caption.replace("black and white", "").replace("black-and-white", "")
            assert (f" {colour} " in text) == (style not in COLOURLESS), caption


@pytest.mark.parametrize(("occluder", "hides"), HIDDEN)
def test_every_mood_and_make_up_under_everything_worn(occluder, hides):
    for mood, glasses, style in itertools.product(MOODS, ("none", "round", *DARK), ("photo", "pencil")):
        given = {"occluder": occluder, "occluder_hides": hides, "expression": mood, "glasses": glasses, "style": style}
        list(_captions(1, **given, lipstick="red", eyeshadow="blue"))
        list(_captions(1, **given, beard="full beard", head_turn="left"))
    for one, two in itertools.product(LIPSTICK, EYESHADOW):
        list(_captions(1, occluder=occluder, occluder_hides=hides, lipstick=one, eyeshadow=two))
    for beard, tone in itertools.product(beards.BEARDS, SKIN):
        list(_captions(1, occluder=occluder, occluder_hides=hides, beard=beard, skin=tone))


@pytest.mark.parametrize("style", STYLE_SHARES)
def test_every_light_in_every_place_and_turn(style):
    for light, place, turn in itertools.product(phrases.LIGHTS, PAINTERS, ("ahead", "left", "right")):
        given = {"light": light, "background": place, "head_turn": turn, "looks_at_camera": place in COLOURED}
        for caption in _captions(1, style=style, expression="sad", close_up=turn == "left", **given):
            other = {"left": "right", "right": "left", "ahead": "(left|right)"}[turn]
            assert not re.search(rf"(turned|facing) (to the )?{other}", caption), caption


def test_occluders_are_said_by_what_they_do():
    said = {
        ("hand", "mouth, mirrored"): "mouth", ("hand", "chin"): "chin|under the chin", ("hand", "cheek"): "cheek",
        ("hand", "eye"): "one eye", ("scarf", "neck, other folds"): "scarf", ("scarf", "mouth"): "scarf .*mouth",
        ("mask", "nose and mouth"): "mask", ("mask", "mouth"): "mask (below the nose|over the mouth)",
    }  # fmt: skip
    for (kind, hides), words in said.items():
        for caption in _full(occluder=kind, occluder_hides=hides):
            assert re.search(words, caption), caption


def test_what_can_be_seen_is_said():
    def said(words: str, **given: Any) -> bool:
        return all(re.search(words, caption) for caption in _full(**given))

    assert said("red lipstick", lipstick="red")
    assert said("blue eyeshadow", eyeshadow="blue", glasses="round")
    assert said("eyeshadow", eyeshadow="dark", occluder="mask", occluder_hides="mouth")
    assert said("beard", beard="short beard", occluder="scarf", occluder_hides="neck")
    assert said("laughing", expression="laugh", glasses="sunglasses")
    assert said("sad|unhappy", expression="sad", occluder="mask", occluder_hides="mouth")
    assert said("wink", expression="wink", occluder="mask", occluder_hides="mouth")
    assert said("glasses", glasses="cat-eye")
    assert said("left", head_turn="left", looks_at_camera=False)
    assert any("close-up" in caption for caption in _full(30, close_up=True))
    assert any("looking at the camera" in caption for caption in _full(60))
    assert any("navy blazer over a white shirt" in caption for caption in _full(30))


def test_adjectives_swap_with_colours_where_that_is_english():
    for garment in ("denim jacket", "v-neck top"):
        first = garment.split(" ")[0]
        for caption in _full(20, clothes=garment):
            assert f"{first} navy" not in caption, caption
    both = {text for caption in _full(80, clothes="checked shirt") for text in re.findall(r"\w+ \w+ shirt", caption)}
    assert {"navy checked shirt", "checked navy shirt", "and white shirt"} <= both


def test_captions_follow_from_the_key_alone():
    assert captions_of(USUAL, (3, 5, 7)) == captions_of(USUAL, (3, 5, 7))
    assert captions_of(USUAL, (3, 5, 7)) != captions_of(USUAL, (3, 5, 8))


def test_what_a_caption_names_is_known():
    shown = USUAL | {"beard": "goatee", "glasses": "round", "glasses_colour": "gold"}
    for index in range(20):
        full, _, short = captions_of(shown, (0, 1, index))
        everything = {"style", "hair_style", "hair_colour", "beard", "glasses", "clothes", "clothes_colour"}
        assert named_by(full, shown) == everything | {"background", "expression", "light"}, full
        said = named_by(short, shown)
        assert ("beard" in said) == ("goatee" in short or "chin beard" in short), short
        assert ("clothes" in said) == ("blazer" in short), short
    masked = shown | {"occluder": "mask", "occluder_hides": "nose and mouth"}
    assert "beard" not in named_by("a person with a goatee and a face mask", masked)
    assert "occluder" in named_by("a person with a goatee and a face mask", masked)
