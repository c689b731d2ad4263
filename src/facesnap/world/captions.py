"""Three differently worded English captions of a picture, from its attributes.

They name what a prompt would name (hair, beard, glasses, make-up, clothes, background, light, expression,
turn of the head) and say "person": the head modes carry no gender. "Left" and "right" are the picture's,
as a viewer of the picture would say them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_OPENINGS = {
    "photo": ("a portrait of a person", "a photo of a person", "a close-up portrait of a person",
              "a headshot of a person", "a person", "portrait photo of a person"),
    "pencil": ("a pencil drawing of a person", "a pencil sketch of a person", "a pencil portrait of a person"),
    "watercolour": ("a watercolour of a person", "a watercolor painting of a person",
                    "watercolour portrait of a person"),
    "oil": ("an oil painting of a person", "a portrait of a person in oil", "an oil portrait of a person"),
    "comic": ("a comic drawing of a person", "a comic book portrait of a person", "a comic style picture of a person"),
    "black and white": ("a black and white photo of a person", "a black-and-white portrait of a person",
                        "a monochrome portrait of a person"),
    "old photograph": ("an old photograph of a person", "a vintage photo of a person", "a faded old photo of a person"),
    "neon": ("a neon portrait of a person", "a photo of a person in a neon-lit street",
             "a portrait of a person in neon colours"),
}  # fmt: skip
_MOOD = {
    "smile": ("smiling", "with a smile"), "laugh": ("laughing", "laughing happily"),
    "surprise": ("looking surprised", "with a surprised expression"), "sad": ("looking sad", "with a sad expression"),
    "anger": ("looking angry", "with an angry expression"), "talk": ("talking", "speaking"),
    "wink": ("winking", "with a wink"),
    "blink": ("with closed eyes", "eyes closed"),
    "pout": ("pouting", "with pursed lips"), "grimace": ("grimacing", "pulling a face"),
    "neutral": ("with a neutral expression", "with a calm face"),
}  # fmt: skip
_LIGHT = {
    "soft": ("in soft light", "in soft studio light"), "left": ("lit from the left", "with light from the left"),
    "right": ("lit from the right", "with light from the right"), "top": ("lit from above", "in light from above"),
    "back": ("lit from behind", "with backlight"), "dramatic": ("in dramatic light", "with hard shadows"),
    "neon": ("in neon light", "lit by neon lights"), "warm": ("in warm light", "in warm evening light"),
    "cold": ("in cold light", "in cold blue light"),
}  # fmt: skip
_SKIN = {
    "very pale": "very pale skin", "pale": "pale skin", "fair": "fair skin", "olive": "olive skin", "tan": "tan skin",
    "brown": "brown skin", "dark": "dark skin", "very dark": "very dark skin",
}  # fmt: skip


#: Styles that show no colours: captions name none.
COLOURLESS = ("pencil", "black and white", "old photograph")
_COLOURS = ("hair_colour", "glasses_colour", "clothes_colour", "background_colour")


_OCCLUDER = {
    "hand": ("a hand before the face", "a hand at the face"), "scarf": ("a scarf", "a woollen scarf"),
    "mask": ("a face mask", "a medical mask"),
}  # fmt: skip


def _article(phrase: str) -> str:
    phrase = phrase.strip()
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _hair(a: dict[str, Any], rng: np.random.Generator) -> str:
    style, colour = a["hair_style"], a["hair_colour"]
    phrases = {
        "bald": ("a bald head", "a shaved head"),
        "buzz cut": (_article(f"{colour} buzz cut"), f"very short {colour} hair"),
        "short": (f"short {colour} hair", f"short-cropped {colour} hair"),
        "swept back": (f"{colour} hair swept back", f"swept-back {colour} hair"),
        "side-parted": (f"side-parted {colour} hair", f"short {colour} hair parted at the side"),
        "curly": (f"curly {colour} hair", f"{colour} curls"),
        "afro": (_article(f"{colour} afro"), f"{colour} afro hair"),
        "bob": (_article(f"{colour} bob"), f"chin-length {colour} hair"),
        "fringe bob": (_article(f"{colour} bob with a fringe"), f"chin-length {colour} hair with bangs"),
        "long straight": (f"long straight {colour} hair", f"long {colour} hair"),
        "long wavy": (f"long wavy {colour} hair", f"wavy long {colour} hair"),
        "bun": (f"{colour} hair in a bun", _article(f"{colour} bun")),
        "receding": (f"receding {colour} hair", f"short {colour} hair with a receding hairline"),
        "pixie": (_article(f"{colour} pixie cut"), f"a pixie cut in {colour}"),
        "long curly": (f"long curly {colour} hair", f"long {colour} curls"),
        "ponytail": (f"{colour} hair in a ponytail", _article(f"{colour} ponytail")),
        "locs": (f"{colour} locs", f"{colour} dreadlocks"),
        "braids": (f"{colour} box braids", f"long braided {colour} hair"),
        "cornrows": (f"{colour} cornrows", f"{colour} hair in cornrows"),
    }
    return str(rng.choice(phrases[style]))


def _worn(a: dict[str, Any], rng: np.random.Generator) -> list[str]:
    """Beard, glasses, make-up: phrases that follow "with"."""
    found = []
    if a["beard"] != "none":
        found.append(
            {
                "stubble": "stubble",
                "moustache": "a moustache",
                "goatee": "a goatee",
                "short beard": "a short beard",
                "full beard": "a full beard",
            }[a["beard"]]
        )
    if a["glasses"].endswith("sunglasses"):
        found.append(str(rng.choice(["sunglasses", a["glasses"]])))
    elif a["glasses"] != "none":
        found.append(
            str(rng.choice([f"{a['glasses']} glasses", f"{a['glasses_colour']} {a['glasses']} glasses", "glasses"]))
        )
    if a["occluder"] in _OCCLUDER:
        found.append(str(rng.choice(_OCCLUDER[a["occluder"]])))
    if a["style"] not in COLOURLESS:
        found += [f"{a[kind]} {kind}" for kind in ("lipstick", "eyeshadow") if a[kind] != "none"]
    return found


def _clothes(a: dict[str, Any], rng: np.random.Generator) -> str:
    kind, colour = a["clothes"], a["clothes_colour"]
    first, _, last = kind.rpartition(" ")
    phrase = f"{first} {colour} {last}" if first and rng.random() < 0.5 else f"{colour} {kind}"
    return f"{rng.choice(['wearing', 'in'])} {_article(phrase)}"


def _background(a: dict[str, Any], rng: np.random.Generator) -> str:
    colour = a["background_colour"]
    phrases = {
        "plain": (
            f"on a plain {colour} background",
            f"in front of {_article(f'{colour} wall')}",
            f"{colour} background",
        ),
        "gradient": (f"on a {colour} gradient background", f"{colour} backdrop", f"{colour} studio background"),
        "studio": (f"in a studio with {_article(f'{colour} backdrop')}", f"{colour} studio backdrop",
                   f"against a lit {colour} backdrop"),
        "mottled": (f"on a mottled {colour} backdrop", f"painted {colour} canvas background"),
        "living room": ("in a living room", "in a room at home", "indoors, in a blurred living room"),
        "office": ("in an office", "in a bright office", "at work, with an office behind"),
        "library": ("in a library", "in front of bookshelves", "with blurred books behind"),
        "cafe": ("in a cafe", "in a dim cafe", "in a bar with warm lamps"),
        "kitchen": ("in a kitchen", "with a kitchen in the background"),
        "window": ("in front of a window", "by a large window", "with a bright window behind"),
        "park": ("in a park", "outdoors, with trees behind", "outdoors in a green park"),
        "forest": ("in a forest", "in the woods", "with a blurred forest behind"),
        "street": ("in a street", "on a city street", "outdoors, between houses"),
        "beach": ("on a beach", "by the sea", "at the seaside"),
        "mountains": ("in the mountains", "with mountains behind", "before a mountain landscape"),
        "sunset": ("at sunset", "in front of a sunset", "with the evening sun behind"),
        "city night": ("in a city at night", "with city lights behind", "at night in the city"),
        "bokeh": ("with bokeh lights behind", "with blurred lights in the background"),
    }  # fmt: skip
    return str(rng.choice(phrases[a["background"]]))


def _joined(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _turn(a: dict[str, Any], rng: np.random.Generator) -> str:
    turn = a["head_turn"]
    if turn == "ahead":
        return str(rng.choice(["looking at the camera", "facing the camera"]))
    return str(rng.choice([f"looking to the {turn}", f"turned to the {turn}"]))


def captions_of(attributes: dict[str, Any], key: tuple[int, int, int]) -> list[str]:
    """Three captions: one full, one of medium length, one that names two or three things."""
    rng = np.random.default_rng(np.random.SeedSequence([*key, 9]))
    return [_caption(attributes, rng, share) for share in (1.0, 0.6, 0.3)]


def _caption(a: dict[str, Any], rng: np.random.Generator, share: float) -> str:
    if a["style"] in COLOURLESS:
        a = {**a, **dict.fromkeys(_COLOURS, "")}
    having = [_hair(a, rng), *_worn(a, rng)]
    if rng.random() < 0.3:
        having.insert(0, _SKIN[a["skin"]])
    rest: list[Callable[[dict[str, Any], np.random.Generator], str]] = [_clothes, _background]
    parts = [f(a, rng) for f in rest]
    parts.append(str(rng.choice(_MOOD[a["expression"]])))
    parts.append(str(rng.choice(_LIGHT[a["light"]])))
    if a["head_turn"] != "ahead" or rng.random() < 0.25:
        parts.append(_turn(a, rng))
    total = len(having) + len(parts)
    kept = set(rng.permutation(total)[: max(2, round(share * total))].tolist())
    having = [phrase for i, phrase in enumerate(having) if i in kept]
    parts = [phrase for i, phrase in enumerate(parts) if i + total - len(parts) in kept]
    rng.shuffle(parts)
    opening = str(rng.choice(_OPENINGS[a["style"]]))
    text = ", ".join([f"{opening} with {_joined(having)}" if having else opening, *parts])
    return " ".join(text.split())  # where a colour is left out, so is its space
