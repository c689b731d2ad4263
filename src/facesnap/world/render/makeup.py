"""What is painted on the face: the skin itself, lips, brows, make-up, undercoats, as uniforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from facesnap.world.characters import Conditions, Person
from facesnap.world.hair.beards import beard_colour, beard_cover
from facesnap.world.hair.styles import variant_of
from facesnap.world.palette import EYESHADOW, LIPSTICK, SKIN, linear


def bake_uniforms(person: Person) -> dict[str, Any]:
    """Uniforms of bake.frag: what a person's skin always is."""
    return {
        "u_skin": linear(person.skin), "u_lip": linear(person.lip), "u_brow": linear(person.brow),
        "u_brow_shape": (person.brow_thickness, person.brow_density, person.brow_coarseness),
        "u_marks": (person.redness, person.freckles, person.age, person.bags),
        "u_surface": (person.oiliness, person.mottling), "u_person": person.noise, "u_moles": person.moles.T,
    }  # fmt: skip


def skin_uniforms(person: Person, c: Conditions) -> dict[str, Any]:
    """Uniforms of skin.frag: what this picture puts on the skin."""
    style, _ = variant_of(c.hair_style, c.hair_variant)
    return {
        "u_lipstick": _paint(LIPSTICK, c.lipstick, 0.9), "u_eyeshadow": _paint(EYESHADOW, c.eyeshadow, 0.55),
        "u_scalp_cover": style.cover, "u_recede": style.recede, "u_fade": style.fade,
        "u_beard": linear(beard_colour(person, c)) * 0.6, "u_beard_cover": beard_cover(person, c),
        "u_darkness": darkness(person),
    }  # fmt: skip


def darkness(person: Person) -> float:
    """Place of the skin's tone between very pale (0) and very dark (1)."""
    return list(SKIN).index(person.tone) / (len(SKIN) - 1)


def _paint(colours: dict[str, tuple[int, int, int]], name: str, amount: float) -> np.ndarray:
    """Colour and amount (4,) of a make-up; nothing for "none"."""
    return np.zeros(4, np.float32) if name == "none" else np.append(linear(colours[name]), amount)


def inner_uniforms(person: Person) -> dict[str, Any]:
    """Uniforms of inner.frag that don't change from part to part."""
    return {"u_iris": linear(person.iris), "u_lash": linear(np.array(person.brow) * 0.35)}
