"""The sampler of conditions: everything about a picture that is not identity."""

from __future__ import annotations

import numpy as np

from facesnap.core.arkit import EXPRESSIONS, INDEX, PRESETS, mirrored_name
from facesnap.core.pose import move_lids
from facesnap.world.backdrops.background import COLOURED, PAINTERS
from facesnap.world.characters import Conditions, Person, check_preset, generator
from facesnap.world.clothes.garments import COLOURS_OF, GARMENTS
from facesnap.world.hair.styles import VARIANTS as HAIR_VARIANTS
from facesnap.world.palette import (
    COLOURS,
    DYED_HAIR,
    EYESHADOW,
    GLASSES,
    HAIR,
    LIPSTICK,
    MASK_COLOURS,
    NATURAL_HAIR,
    jitter,
)
from facesnap.world.worn.glasses import FRAMES
from facesnap.world.worn.occluders import OCCLUDERS, VARIANTS

LIGHT_SHARES = {
    "soft": 0.28, "left": 0.12, "right": 0.12, "top": 0.09, "warm": 0.11, "cold": 0.10, "back": 0.09, "dramatic": 0.09,
}  # fmt: skip
SUNSET_LIGHTS = {"warm": 0.5, "back": 0.3, "left": 0.1, "right": 0.1}
STYLE_SHARES = {
    "photo": 0.65, "pencil": 0.05, "watercolour": 0.05, "oil": 0.05, "comic": 0.05, "black and white": 0.05,
    "old photograph": 0.05, "neon": 0.05,
}  # fmt: skip
MOODS = {
    "neutral": 0.20, "smile": 0.20, "laugh": 0.10, "surprise": 0.08, "sad": 0.07, "anger": 0.07, "talk": 0.11,
    "wink": 0.04, "blink": 0.04, "pout": 0.04, "grimace": 0.05,
}  # fmt: skip
#: Most that ``mouthClose`` may be of ``jawOpen``, and ``mouthShrugLower`` by itself, for lips that don't cross.
CLOSABLE, SHRUG = 0.85, 0.35
#: Movements that exclude each other.
_OPPOSED = (
    ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("mouthPucker", "mouthStretch_L"),
    ("mouthPucker", "mouthStretch_R"),
)  # fmt: skip
_TALKING = (
    "mouthFunnel",
    "mouthPucker",
    "mouthStretch",
    "mouthLowerDown",
    "mouthUpperUp",
    "mouthClose",
    "mouthRollLower",
)


def sample_conditions(seed: int, person: Person, index: int, preset: str = "full") -> Conditions:
    """Draw picture ``index`` of a person; ``preset`` is ``"full"`` or ``"cpu"`` (narrower: easier to learn).

    Raises:
        UsageError: another preset.
    """
    check_preset(preset)
    rng = generator(seed, person.person_id, 1, index)
    cpu = preset == "cpu"
    style = _choice(rng, STYLE_SHARES)
    hair_style, beard, lipstick, eyeshadow = _grooming(rng, person.leaning)
    hair_colour = _hair_colour(rng, person)
    glasses = _glasses(rng)
    garment = str(rng.choice(list(GARMENTS)))
    cloth = str(rng.choice(COLOURS_OF.get(garment, tuple(COLOURS))))
    second = str(rng.choice(_distinct(cloth)))
    background = _background(rng, cpu)
    occluder, occluder_variant, occluder_colour = _occluder(rng, 0.04 if cpu else 0.09, beard in ("none", "stubble"))
    gaze = (_clipped(rng, 8.0, 24.0), _clipped(rng, 5.0, 13.0))
    mood, expression = _expression(rng, gaze)
    yaw, pitch, roll = _pose(rng, cpu)
    height = rng.uniform(25.0, 28.0) if cpu else rng.uniform(26.0, 40.0)
    spread = 0.015 if cpu else 0.05
    return Conditions(
        index=index, preset=preset, style=style, hair_style=hair_style, hair_variant=int(rng.integers(HAIR_VARIANTS)),
        hair_colour=hair_colour, hair=jitter(rng, HAIR[hair_colour], 0.08), beard=beard, glasses=glasses,
        glasses_colour=str(rng.choice(list(GLASSES))), lipstick=lipstick,
        eyeshadow=eyeshadow, garment=garment, garment_colour=cloth, cloth=jitter(rng, COLOURS[cloth], 0.06),
        second_colour=second, cloth_second=jitter(rng, COLOURS[second], 0.06), occluder=occluder,
        occluder_variant=occluder_variant, occluder_colour=occluder_colour,
        light=_light(rng, style, background),
        light_jitter=_three(rng.normal(0, 0.12, 3)), exposure=float(np.exp(rng.normal(0.0, 0.10))),
        background=background, background_colour=str(rng.choice(list(COLOURS))),
        background_seed=int(rng.integers(2**31)), yaw=yaw, pitch=pitch, roll=roll, mood=mood, expression=expression,
        gaze=gaze, picture_height=float(height),
        centre=(float(0.5 + rng.normal(0, spread)), float(0.50 + rng.normal(0, spread))),
        focal=float(rng.uniform(55, 110) if cpu else rng.uniform(40, 130)),
    )  # fmt: skip


def _choice(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _light(rng: np.random.Generator, style: str, background: str) -> str:
    """A set-up that fits: neon for its style, a low sun at sunset, else any."""
    if style == "neon":
        return "neon"
    return _choice(rng, SUNSET_LIGHTS if background == "sunset" else LIGHT_SHARES)


def _three(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _clipped(rng: np.random.Generator, deviation: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, deviation), -limit, limit))


def _pose(rng: np.random.Generator, cpu: bool) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees; a third of the full preset's yaws are spread evenly to +-60."""
    if cpu:
        yaw = _clipped(rng, 14.0, 28.0)
    elif rng.random() < 0.33:
        yaw = float(rng.uniform(-60, 60))
    else:
        yaw = _clipped(rng, 20.0, 60.0)
    return yaw, _clipped(rng, 6.0 if cpu else 8.0, 15.0 if cpu else 22.0), _clipped(rng, 5.0 if cpu else 6.0, 14.0)


def _distinct(colour: str) -> list[str]:
    """Colours that can be told from ``colour`` at a glance: at least 70 apart in sRGB."""
    own = np.array(COLOURS[colour])
    return [name for name, other in COLOURS.items() if np.linalg.norm(own - np.array(other)) >= 70]


def _glasses(rng: np.random.Generator) -> str:
    """None for seven in ten; a fifth of the pairs are sunglasses."""
    if rng.random() < 0.70:
        return "none"
    dark = rng.random() < 0.2
    return str(rng.choice([name for name, frame in FRAMES.items() if frame.dark == dark]))


def _background(rng: np.random.Generator, cpu: bool) -> str:
    """Backdrops of a named colour more often than places, on the small preset above all."""
    coloured = rng.random() < (0.75 if cpu else 0.4)
    return str(rng.choice([name for name in PAINTERS if (name in COLOURED) == coloured]))


def _occluder(rng: np.random.Generator, share: float, shaved: bool) -> tuple[str, int, str]:
    """What is before the face, if anything: kind, variant, colour."""
    if rng.random() >= share:
        return "none", 0, "none"
    kind = str(rng.choice([name for name in OCCLUDERS if name != "mask" or shaved]))  # beards stick out of masks
    colours = {"mask": tuple(MASK_COLOURS), "scarf": tuple(COLOURS), "hand": ("none",)}[kind]
    return kind, int(rng.integers(VARIANTS[kind])), str(rng.choice(colours))


def _hair_colour(rng: np.random.Generator, person: Person) -> str:
    """Mostly the person's natural colour, else another, else a dye."""
    kind = rng.random()
    if kind < 0.60:
        return person.natural_hair
    return str(rng.choice(DYED_HAIR if kind > 0.88 else NATURAL_HAIR))


def _grooming(rng: np.random.Generator, leaning: float) -> tuple[str, str, str, str]:
    """Hair style, beard, lipstick, eyeshadow: a person's leaning makes some likelier, none impossible."""
    cropped = [
        "bald", "buzz cut", "short", "receding", "swept back", "side-parted", "curly", "afro", "locs", "cornrows",
    ]  # fmt: skip
    flowing = [
        "pixie", "bob", "fringe bob", "long straight", "long wavy", "long curly", "bun", "ponytail", "braids", "curly",
        "afro", "cornrows",
    ]  # fmt: skip
    first = leaning < 0.5
    usual = rng.random() < 0.82
    names = cropped if first == usual else flowing
    shares = np.array([0.5 if name in cropped and name in flowing else 1.0 for name in names])
    style = str(rng.choice(names, p=shares / shares.sum()))
    beard = lipstick = eyeshadow = "none"
    if rng.random() < (0.5 if first else 0.05):
        beard = _choice(
            rng, {"stubble": 0.28, "moustache": 0.14, "goatee": 0.14, "short beard": 0.22, "full beard": 0.22}
        )
    if beard == "none" and rng.random() < (0.06 if first else 0.42):
        lipstick = str(rng.choice(list(LIPSTICK)))
    if beard == "none" and rng.random() < (0.04 if first else 0.28):
        eyeshadow = str(rng.choice(list(EYESHADOW)))
    return style, beard, lipstick, eyeshadow


def _expression(rng: np.random.Generator, gaze: tuple[float, float]) -> tuple[str, np.ndarray]:
    """Mood name and weights (53,): the mood by some amount, a few small movements, lids that follow the gaze."""
    mood = _choice(rng, MOODS)
    weights = np.zeros(len(EXPRESSIONS), np.float32)
    amount = rng.uniform(0.9, 1.0) if mood in ("wink", "blink") else rng.uniform(0.65, 1.0)
    for name, weight in _movements(rng, mood).items():
        weights[INDEX[name]] += weight * amount
    if mood == "wink" and rng.random() < 0.5:
        weights = weights[[INDEX[mirrored_name(name)] for name in EXPRESSIONS]]
    free = [name for name in EXPRESSIONS if not name.startswith(("eyeLook", "eyeBlink"))]
    for name in rng.choice(free, 5, replace=False):
        weights[INDEX[str(name)]] += rng.uniform(0, 0.12)
    weights[[INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]]] += np.float32(max(0.0, rng.normal(0.02, 0.07)))
    for one, other in _OPPOSED:
        smaller = one if weights[INDEX[one]] < weights[INDEX[other]] else other
        weights[INDEX[smaller]] = 0.0
    closed = INDEX["mouthClose"]  # takes back what the jaw opens; more would push the lips through each other
    weights[closed] = min(weights[closed], CLOSABLE * weights[INDEX["jawOpen"]])
    weights[INDEX["mouthShrugLower"]] = min(weights[INDEX["mouthShrugLower"]], SHRUG)
    move_lids(weights, gaze)
    return mood, np.clip(weights, 0, 1)


def _movements(rng: np.random.Generator, mood: str) -> dict[str, float]:
    """What a mood moves, at full amount."""
    if mood == "talk":
        moved = {"jawOpen": float(rng.uniform(0.12, 0.5))}
        for chosen in rng.choice(_TALKING, 2, replace=False):
            amount = float(rng.uniform(0.25, 0.65))
            moved |= {name: amount for name in EXPRESSIONS if name.removesuffix("_L").removesuffix("_R") == chosen}
        return moved
    if mood == "grimace":
        names = rng.choice([n for n in EXPRESSIONS if not n.startswith("eyeLook")], 6, replace=False)
        return {str(name): float(rng.uniform(0.3, 0.9)) for name in names}
    return PRESETS[mood]
