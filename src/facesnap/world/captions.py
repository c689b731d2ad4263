"""Three differently worded English captions of a picture, from its attributes.

They name what a prompt would name (hair, beard, glasses, make-up, clothes, background, light, expression,
turn of the head), nothing that can't be seen, and say "person": the head modes carry no gender. "Left" and "right"
are the picture's, as a viewer of the picture would say them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from facesnap.world import phrases
from facesnap.world.characters import generator
from facesnap.world.palette import HAIR

__all__ = ["COLOURLESS", "captions_of", "named_by", "plain_phrases"]

#: Styles that show no colours: captions name none.
COLOURLESS = ("pencil", "black and white", "old photograph")
#: Share of what can be said that each of the three says, and how many things at least: no two are ever the same.
LENGTHS = ((1.0, 4), (0.6, 3), (0.3, 2))


def captions_of(attributes: dict[str, Any], key: tuple[int, int, int]) -> list[str]:
    """Three captions: one full, one of medium length, one that names two or three things.

    Args:
        attributes: as :func:`facesnap.world.labels.attributes_of` gives them.
        key: (seed, person_id, index) of the picture; all that is random follows from it.
    """
    seed, person_id, index = key
    rng = generator(seed, person_id, 2, index)  # 0 draws persons, 1 draws conditions
    return [_caption(attributes, rng, share, least) for share, least in LENGTHS]


#: What a phrase of a thing names.
NAMES = {
    "hair": ("hair_style", "hair_colour"), "beard": ("beard",), "glasses": ("glasses",), "covering": ("occluder",),
    "hand": ("occluder",), "clothes": ("clothes", "clothes_colour"), "background": ("background",),
    "mood": ("expression",), "light": ("light",),
}  # fmt: skip


def named_by(caption: str, attributes: dict[str, Any]) -> set[str]:
    """Which of a picture's attributes (by name) one of its captions says; the style always counts."""
    things = {**_worn(attributes), **_shown(attributes)}
    said = [name for name, options in things.items() if any(option in caption for option in options)]
    return {"style", *(attribute for thing in said for attribute in NAMES.get(thing, ()))}


def plain_phrases() -> dict[str, dict[str, str]]:
    """Attribute -> value -> a phrase that names it after "with"; ``{c}`` stands for hair's colour, and may be empty."""
    hair = {style: next(p for p in options if "a(n)" not in p) for style, options in phrases.HAIR.items()}
    beards = {name: options[0] for name, options in phrases.BEARDS.items()}
    return {"hair_style": hair, "hair_colour": {colour: colour for colour in HAIR}, "beard": beards}


def _caption(a: dict[str, Any], rng: np.random.Generator, share: float, least: int) -> str:
    having, parts = _having(a, rng), _parts(a, rng)
    total = len(having) + len(parts)
    kept = set(rng.permutation(total)[: max(least, round(share * total))].tolist())
    said = [part for i, part in enumerate(parts, len(having)) if i in kept]
    having = [phrase for i, phrase in enumerate(having) if i in kept]
    rng.shuffle(said)
    opening, rest = _opening(a, rng), _worded(said, rng)
    if having:
        opening += f" with {_joined(having)}"
    elif _first(rest[0]) in phrases.ATTACHED:
        opening += f" {rest.pop(0)}"
    return ", ".join([opening, *rest])


def _opening(a: dict[str, Any], rng: np.random.Generator) -> str:
    known = phrases.OPENINGS[a["style"]]
    if a["style"] == "photo" and a["close_up"]:
        known += phrases.CLOSE_UPS
    return _one(known, rng)


def _having(a: dict[str, Any], rng: np.random.Generator) -> list[str]:
    """One phrase of each thing that follows the opening's "with"; skin is rarely said."""
    return [_one(options, rng) for name, options in _worn(a).items() if name != "skin" or rng.random() < 0.3]


def _worn(a: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Skin, hair and what is on the head: thing -> phrases that can follow "with"."""
    coloured, mouth = a["style"] not in COLOURLESS, not _mouth_hidden(a)
    found: dict[str, tuple[str, ...]] = {}
    if coloured:
        found["skin"] = (f"{a['skin']} skin",)
    found["hair"] = _filled(phrases.HAIR[a["hair_style"]], "" if a["hair_style"] == "bald" else _hue(a, "hair_colour"))
    if a["beard"] != "none" and mouth:
        found["beard"] = phrases.BEARDS[a["beard"]]
    if a["glasses"] != "none":
        found["glasses"] = _glasses(a)
    if (a["occluder"], _hidden(a)) in phrases.COVERINGS:
        found["covering"] = phrases.COVERINGS[a["occluder"], _hidden(a)]
    if coloured and a["lipstick"] != "none" and mouth:
        found["lipstick"] = (f"{a['lipstick']} lipstick",)
    if coloured and a["eyeshadow"] != "none" and not _dark_glasses(a):
        found["eyeshadow"] = (f"{a['eyeshadow']} eyeshadow",)
    return found


def _glasses(a: dict[str, Any]) -> tuple[str, ...]:
    kind = a["glasses"]
    if _dark_glasses(a):
        return ("sunglasses", "dark glasses", kind)
    coloured = f"{a['glasses_colour']} {kind} glasses"
    return ("glasses", f"{kind} glasses", *([coloured] if a["style"] not in COLOURLESS else []))


def _parts(a: dict[str, Any], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """What stands between commas: for each thing to say, the phrases that say it."""
    found = list(_shown(a).values())
    # Hair is said as well; with little else, so is that the head isn't turned.
    if a["head_turn"] != "ahead" or len(found) + 1 < LENGTHS[0][1] or rng.random() < 0.25:
        found.append(_turn(a))
    return found


def _shown(a: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Thing -> phrases that say it between commas; the head's turn is apart."""
    hand = phrases.HANDS[_hidden(a)] if a["occluder"] == "hand" else ()
    parts = {"clothes": _clothes(a), "background": _background(a), "mood": _mood(a), "light": _light(a), "hand": hand}
    return {name: options for name, options in parts.items() if options}


def _clothes(a: dict[str, Any]) -> tuple[str, ...]:
    found = _filled(phrases.CLOTHES[a["clothes"]], _hue(a, "clothes_colour"), _hue(a, "clothes_second_colour"))
    return tuple(f"{verb} {garment}" for garment in found for verb in ("wearing", "in"))


def _background(a: dict[str, Any]) -> tuple[str, ...]:
    if a["style"] == "pencil":  # drawn on empty paper
        return ()
    colour = "" if a["style"] in (*COLOURLESS, "neon") else a["background_colour"]
    return _filled(phrases.BACKGROUNDS[a["background"]], colour)


def _mood(a: dict[str, Any]) -> tuple[str, ...]:
    mood, eyes, mouth = a["expression"], _eyes_hidden(a), _mouth_hidden(a)
    if (mouth and mood in phrases.MOUTH_MOODS) or (eyes and mood in phrases.EYE_MOODS) or (eyes and mouth):
        return ()
    return phrases.MOODS[mood]


def _light(a: dict[str, Any]) -> tuple[str, ...]:
    light = a["light"]
    if a["style"] == "neon" or (a["style"] in COLOURLESS and light in phrases.COLOURED_LIGHTS):
        return ()  # said by the opening, or not to be seen
    known = phrases.LIGHTS[light]
    if a["style"] == "pencil":  # shows no place
        return known
    if light == "soft" and a["background"] in phrases.STUDIOS:
        known += (phrases.STUDIO_LIGHT,)
    if light == "warm" and a["background"] in phrases.EVENINGS:
        known += (phrases.EVENING_LIGHT,)
    return known


def _turn(a: dict[str, Any]) -> tuple[str, ...]:
    turn = a["head_turn"]
    # A grimace may close the eyes.
    eyes_seen = a["looks_at_camera"] and not _eyes_hidden(a) and a["expression"] not in ("blink", "grimace")
    if turn == "ahead":
        return ("facing the camera", "looking at the camera") if eyes_seen else ("facing the camera",)
    return (
        f"turned to the {turn}",
        f"facing {turn}",
        *([f"turned {turn} but looking at the camera"] if eyes_seen else []),
    )


def _hue(a: dict[str, Any], name: str) -> str:
    """A colour, where the style shows colours."""
    return "" if a["style"] in COLOURLESS else str(a[name])


def _hidden(a: dict[str, Any]) -> str:
    """What the occluder is before, without the variant: "mouth" for "mouth, mirrored"."""
    return str(a["occluder_hides"]).partition(",")[0]


def _mouth_hidden(a: dict[str, Any]) -> bool:
    return a["occluder"] != "none" and "mouth" in _hidden(a)


def _dark_glasses(a: dict[str, Any]) -> bool:
    return str(a["glasses"]).endswith("sunglasses")


def _eyes_hidden(a: dict[str, Any]) -> bool:
    """An eye or both."""
    return _dark_glasses(a) or (a["occluder"] == "hand" and _hidden(a) == "eye")


def _filled(templates: Sequence[str], colour: str, second: str = "") -> tuple[str, ...]:
    """Templates with their colours and articles; those that would lack their second colour are left out."""
    kept = [text for text in templates if second or "{d}" not in text]
    return tuple(_articles(" ".join(text.format(c=colour, d=second).split())) for text in kept)


def _articles(text: str) -> str:
    return re.sub(r"\ba\(n\) (?=(\w))", lambda found: "an " if found[1] in "aeiou" else "a ", text)


def _worded(parts: Sequence[tuple[str, ...]], rng: np.random.Generator) -> list[str]:
    """One phrase of each part: no two begin with the same word if that can be had, and one with "with" at most.

    Parts with little choice come first, then the head's turn, which can always begin with "facing", and clothes, which
    can with "wearing".
    """
    used: list[str] = []
    chosen = [""] * len(parts)
    choices = [{_first(text) for text in part} for part in parts]
    order = [("wearing" in words, "facing" in words, len(words)) for words in choices]
    for at in sorted(range(len(parts)), key=order.__getitem__):
        fresh = [text for text in parts[at] if _first(text) not in used]
        chosen[at] = _one(fresh or [text for text in parts[at] if _first(text) != "with"], rng)
        used.append(_first(chosen[at]))
    return chosen


def _one(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _first(text: str) -> str:
    return text.partition(" ")[0]


def _joined(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
