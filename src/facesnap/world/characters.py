"""Who is in a picture (:class:`Person`, identity) and how they are shown (:class:`Conditions`, never identity).

Everything follows from ``(seed, person_id)`` and ``(seed, person_id, index)`` alone: :mod:`facesnap.world.people`
draws persons, :mod:`facesnap.world.moments` draws conditions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import blake2b

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.types import Camera

Colour = tuple[float, float, float]
PRESET_NAMES = ("cpu", "full")


def check_preset(name: str) -> None:
    """Refuse an unknown preset.

    Raises:
        UsageError: it isn't one of :data:`PRESET_NAMES`.
    """
    if name not in PRESET_NAMES:
        raise UsageError(f"unknown preset {name!r}: use one of {', '.join(PRESET_NAMES)}")


@dataclass(frozen=True)
class Person:
    """One identity. ``shape`` (100,) coefficients; colours sRGB 0-255; amounts in [0, 1] unless said."""

    person_id: int
    seed: int
    shape: np.ndarray
    ears: np.ndarray  #: (2,) coefficients ~N(0, 1) of size and protrusion
    tone: str
    skin: Colour
    redness: float
    mottling: float  #: unevenness, 1 = usual
    oiliness: float
    freckles: float
    age: float
    bags: float
    moles: np.ndarray  #: (4, 4) rest position (model space) and radius in cm, radius 0 = none
    eye_colour: str
    iris: Colour
    brow: Colour
    brow_thickness: float  #: factor, 0.75 to 1.5
    brow_density: float
    brow_coarseness: float  #: factor, 0.55 to 1.1
    lip: Colour
    natural_hair: str
    noise: tuple[float, float, float]
    leaning: float  #: sampler's taste: which hair, beard and make-up this person tends to wear

    @cached_property
    def key(self) -> str:
        """The same for persons equal in everything, and for no others."""
        parts = [np.asarray(getattr(self, field.name)).tobytes() for field in fields(self)]
        return blake2b(b"|".join(parts), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Conditions:
    """One picture of a person. Angles in degrees; ``expression`` (53,); colours sRGB 0-255."""

    index: int
    preset: str
    style: str
    hair_style: str
    hair_variant: int
    hair_colour: str
    hair: Colour
    beard: str
    glasses: str
    glasses_colour: str
    lipstick: str
    eyeshadow: str
    garment: str
    garment_colour: str
    cloth: Colour
    second_colour: str  #: of stripes, checks, an inner shirt
    cloth_second: Colour
    occluder: str
    occluder_variant: int
    occluder_colour: str  #: of palette.COLOURS or palette.MASK_COLOURS; hands have the person's skin
    light: str
    light_jitter: tuple[float, float, float]
    exposure: float
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
    focal: float  #: millimetres on a sensor 24 mm high

    @property
    def distance(self) -> float:
        """Camera distance from the head's origin, cm."""
        return self.focal / 24.0 * self.picture_height

    def camera(self, size: int) -> Camera:
        """The pinhole camera for pictures of ``size`` pixels."""
        return Camera(size / self.picture_height, self.centre[0] * size, self.centre[1] * size, 1.0 / self.distance)


def generator(*key: int) -> np.random.Generator:
    """The random generator of a key: (seed, person_id, ...)."""
    return np.random.default_rng(np.random.SeedSequence(list(key)))
