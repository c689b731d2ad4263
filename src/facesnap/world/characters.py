"""Who is in a picture (:class:`Person`, identity) and how they are shown (:class:`Conditions`, never identity).

Everything follows from ``(seed, person_id)`` and ``(seed, person_id, index)`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.core.arkit import EXPRESSIONS, INDEX, PRESETS
from facesnap.core.types import Camera
from facesnap.world.background import COLOURED, COLOURS, PAINTERS
from facesnap.world.clothes import COLOURS_OF, GARMENTS
from facesnap.world.glasses import FRAMES
from facesnap.world.head import load_head
from facesnap.world.palette import DYED_HAIR, EYES, GLASSES, HAIR, LIPSTICK, NATURAL_HAIR, SKIN, jitter

Colour = tuple[float, float, float]
HAIR_VARIANTS = 4
LIGHTS = ("soft", "left", "right", "top", "warm", "cold")
LIGHT_SHARES = (0.35, 0.15, 0.15, 0.11, 0.12, 0.12)
MOODS = ("neutral", "smile", "laugh", "surprise", "sad", "anger", "talk", "wink")
PRESET_NAMES = ("cpu", "full")


@dataclass(frozen=True)
class Person:
    """One identity. ``shape`` (100,) coefficients; colours sRGB 0-255; amounts in [0, 1] unless said."""

    person_id: int
    seed: int
    shape: np.ndarray
    tone: str
    skin: Colour
    blush: float
    freckles: float
    age: float
    bags: float
    moles: np.ndarray  #: (3, 4) rest position (model space) and radius in cm, radius 0 = none
    eye_colour: str
    iris: Colour
    brow: Colour
    brow_thickness: float
    brow_density: float
    lip: Colour
    noise: tuple[float, float, float]
    leaning: float  #: sampler's taste: which hair, beard and make-up this person tends to wear


@dataclass(frozen=True)
class Conditions:
    """One picture of a person. Angles in degrees; ``expression`` (53,); colours sRGB 0-255."""

    index: int
    preset: str
    hair_style: str
    hair_variant: int
    hair_colour: str
    hair: Colour
    beard: str
    glasses: str
    glasses_colour: str
    lipstick: str
    garment: str
    garment_colour: str
    cloth: Colour
    cloth_second: Colour
    light: str
    light_jitter: tuple[float, float, float]
    background: str
    background_colour: str
    background_seed: int
    yaw: float
    pitch: float
    roll: float
    mood: str
    expression: np.ndarray
    gaze: tuple[float, float]
    picture_height: float  #: cm that the picture's height spans at the head's origin
    centre: tuple[float, float]  #: the head's origin in the picture, fractions
    distance: float  #: camera distance, cm
    occluder: str = "none"
    occluder_variant: int = 0
    occluder_colour: str = "none"  #: of background.COLOURS or occluders.MASK_COLOURS; hands have the person's skin

    def camera(self, size: int) -> Camera:
        """The pinhole camera for pictures of ``size`` pixels."""
        return Camera(size / self.picture_height, self.centre[0] * size, self.centre[1] * size, 1.0 / self.distance)


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(list(key)))


def sample_person(seed: int, person_id: int) -> Person:
    """Draw identity ``person_id`` of world ``seed``."""
    rng = _generator(seed, person_id, 0)
    tone = str(rng.choice(list(SKIN)))
    skin = jitter(rng, SKIN[tone], 0.05)
    darkness = list(SKIN).index(tone) / 7
    light_eyes = rng.random() < 0.75 - darkness
    eye = str(rng.choice(list(EYES)[2:] if light_eyes else list(EYES)[:3]))
    natural = str(rng.choice(NATURAL_HAIR[:2] if darkness > 0.6 else NATURAL_HAIR[:7]))
    brow = np.array(HAIR[natural]) * rng.uniform(0.5, 0.8)
    redness = rng.uniform(0.15, 0.75)
    lip = np.array(skin) * np.array([0.90, 0.64, 0.62]) * rng.uniform(0.85, 1.08) + np.array([14, 0, 4]) * redness
    moles = np.zeros((3, 4))
    for i in range(int(rng.choice([0, 0, 1, 2, 3]))):
        side = rng.choice([-1.0, 1.0])
        moles[i] = [side * rng.uniform(1.5, 5.5), rng.uniform(-6.0, 1.5), 0.0, rng.uniform(0.22, 0.36)]
        moles[i, 2] = 11.2 - 0.11 * moles[i, 0] ** 2
    return Person(
        person_id=person_id, seed=seed, shape=_sample_shape(rng), tone=tone, skin=skin,
        blush=float(rng.uniform(0.1, 0.8)), freckles=float(max(0.0, rng.uniform(-1.6, 0.9)) * (1 - darkness)),
        age=float(max(0.0, rng.uniform(-0.5, 0.85))), bags=float(rng.uniform(0.0, 0.7)), moles=_on_skin(moles),
        eye_colour=eye, iris=jitter(rng, EYES[eye], 0.10), brow=(float(brow[0]), float(brow[1]), float(brow[2])),
        brow_thickness=float(rng.uniform(0.75, 1.45)), brow_density=float(rng.uniform(0.82, 1.0)),
        lip=(float(lip[0]), float(lip[1]), float(lip[2])), noise=tuple(float(v) for v in rng.uniform(0, 1, 3)),  # type: ignore[arg-type]
        leaning=float(rng.random()),
    )  # fmt: skip


def _sample_shape(rng: np.random.Generator) -> np.ndarray:
    """Shape coefficients (100,): N(0, 1.05), livelier first 20, clipped; jowly outliers are pulled in."""
    shape = rng.normal(0, 1.05, 100)
    shape[:20] *= 1.15
    shape[:6] = np.clip(shape[:6], -1.8, 1.8)
    shape[6:] = np.clip(shape[6:], -2.5, 2.5)
    head = load_head()
    basis = head.identity.reshape(100, -1, 3)[:, head.landmarks]
    mean = head.mean[head.landmarks]
    for _ in range(6):
        points = mean + np.tensordot(shape, basis, 1)
        jaw, cheek = points[12, 0] - points[4, 0], points[16, 0] - points[0, 0]
        tall = (points[27, 1] - points[8, 1]) / cheek
        if jaw / cheek < 0.84 and 0.64 < tall < 0.90:
            break
        shape = shape * 0.85
    return np.asarray(shape.astype(np.float32))


def _on_skin(moles: np.ndarray) -> np.ndarray:
    """Move moles to the nearest vertex of the rest face."""
    from facesnap.world.head import HEAD_ORIGIN

    head = load_head()
    face = head.mean[head.part_vertices["skin"]] + HEAD_ORIGIN
    for mole in moles:
        mole[:3] = face[np.argmin(((face - mole[:3]) ** 2).sum(axis=1))]
    return moles.astype(np.float32)


def sample_conditions(seed: int, person: Person, index: int, preset: str = "cpu") -> Conditions:
    """Draw picture ``index`` of a person; ``preset`` is one of :data:`PRESET_NAMES`."""
    rng = _generator(seed, person.person_id, 1, index)
    cpu = preset == "cpu"
    hair_style, beard, lipstick = _grooming(rng, person.leaning)
    dyed = rng.random() < 0.14
    hair_colour = str(rng.choice(DYED_HAIR if dyed else NATURAL_HAIR))
    glasses = _glasses(rng)
    garment = str(rng.choice(list(GARMENTS)))
    cloth = str(rng.choice(COLOURS_OF.get(garment, tuple(COLOURS))))
    second = str(rng.choice([name for name in COLOURS if name != cloth]))
    background = _background(rng, cpu)
    mood, expression = _expression(rng)
    yaw = _clipped(rng, 14.0, 28.0) if cpu else _clipped(rng, 26.0, 60.0)
    pitch, roll = _clipped(rng, 6.0, 15.0), _clipped(rng, 5.0, 14.0)
    height = rng.uniform(25.0, 28.0) if cpu else rng.uniform(26, 42)
    focal = rng.uniform(55, 110) if cpu else rng.uniform(40, 130)
    spread = 0.015 if cpu else 0.05
    return Conditions(
        index=index, preset=preset, hair_style=hair_style, hair_variant=int(rng.integers(HAIR_VARIANTS)),
        hair_colour=hair_colour, hair=jitter(rng, HAIR[hair_colour], 0.08), beard=beard, glasses=glasses,
        glasses_colour="black" if glasses == "sunglasses" else str(rng.choice(list(GLASSES))), lipstick=lipstick,
        garment=garment, garment_colour=cloth, cloth=jitter(rng, COLOURS[cloth], 0.06),
        cloth_second=jitter(rng, COLOURS[second], 0.06), light=str(rng.choice(LIGHTS, p=LIGHT_SHARES)),
        light_jitter=tuple(float(v) for v in rng.normal(0, 0.12, 3)), background=background,  # type: ignore[arg-type]
        background_colour=str(rng.choice(list(COLOURS))), background_seed=int(rng.integers(2**31)),
        yaw=yaw, pitch=pitch, roll=roll, mood=mood, expression=expression,
        gaze=(_clipped(rng, 7.0, 20.0), _clipped(rng, 4.0, 10.0)), picture_height=float(height),
        centre=(float(0.5 + rng.normal(0, spread)), float(0.50 + rng.normal(0, spread))),
        distance=float(focal / 24.0 * height),
    )  # fmt: skip


def _glasses(rng: np.random.Generator) -> str:
    """None for seven in ten; a third of the pairs are sunglasses."""
    if rng.random() < 0.72:
        return "none"
    dark = rng.random() < 0.2
    return str(rng.choice([name for name, frame in FRAMES.items() if frame.dark == dark]))


def _background(rng: np.random.Generator, cpu: bool) -> str:
    """Backdrops of a named colour more often than places, on the small preset above all."""
    coloured = rng.random() < (0.75 if cpu else 0.4)
    return str(rng.choice([name for name in PAINTERS if (name in COLOURED) == coloured]))


def _clipped(rng: np.random.Generator, deviation: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, deviation), -limit, limit))


def _grooming(rng: np.random.Generator, leaning: float) -> tuple[str, str, str]:
    """Hair style, beard and lipstick: a person's leaning makes some likelier, none impossible."""
    cropped = ["bald", "buzz cut", "short", "swept back", "side-parted", "curly", "afro"]
    flowing = ["bob", "fringe bob", "long straight", "long wavy", "bun", "curly", "afro", "side-parted"]
    first = leaning < 0.5
    usual = rng.random() < 0.85
    style = str(rng.choice(cropped if first == usual else flowing))
    beard, lipstick = "none", "none"
    if first and rng.random() < 0.5:
        beard = str(rng.choice(["stubble", "moustache", "full beard"], p=[0.35, 0.25, 0.40]))
    if not first and rng.random() < 0.4:
        lipstick = str(rng.choice(list(LIPSTICK)))
    return style, beard, lipstick


def _expression(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Mood name and weights (53,): a preset by some amount, plus a few small random movements."""
    mood = str(rng.choice(MOODS, p=[0.24, 0.24, 0.12, 0.09, 0.08, 0.08, 0.10, 0.05]))
    weights = np.zeros(len(EXPRESSIONS), np.float32)
    amount = rng.uniform(0.9 if mood == "wink" else 0.7, 1.0)
    for name, weight in PRESETS[mood].items():
        weights[INDEX[name]] += weight * amount
    if mood == "wink" and rng.random() < 0.5:
        swapped = {name: name.replace("_L", "_#").replace("_R", "_L").replace("_#", "_R") for name in EXPRESSIONS}
        weights = weights[[INDEX[swapped[name]] for name in EXPRESSIONS]]
    free = [
        n
        for n in EXPRESSIONS
        if not n.startswith(("eyeLook", "jawLeft", "jawRight", "cheekPuff", "mouthRoll", "mouthFunnel"))
    ]
    for name in rng.choice(free, 5, replace=False):
        weights[INDEX[str(name)]] += rng.uniform(0, 0.12)
    blink = max(0.0, rng.normal(0.02, 0.07))
    weights[[INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]]] += np.float32(blink)
    return mood, np.clip(weights, 0, 1)
