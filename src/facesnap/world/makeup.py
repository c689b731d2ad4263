"""What is painted or grown on the face: skin, lips, brows, undercoats, as uniforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from facesnap.world.beards import beard_colour, beard_cover
from facesnap.world.characters import Conditions, Person
from facesnap.world.hairstyles import variant_of
from facesnap.world.palette import LIPSTICK, linear


def skin_uniforms(person: Person, c: Conditions) -> dict[str, Any]:
    """Uniforms of skin.frag."""
    painted = c.lipstick != "none"
    style, _ = variant_of(c.hair_style, c.hair_variant)
    return {
        "u_lip": linear(LIPSTICK[c.lipstick] if painted else person.lip), "u_lip_gloss": 0.3 if painted else 0.12,
        "u_brow": linear(person.brow), "u_brow_shape": (person.brow_thickness, person.brow_density),
        "u_scalp_cover": style.cover, "u_recede": style.recede, "u_fade": style.fade,
        "u_beard": linear(beard_colour(person, c)) * 0.6, "u_beard_cover": beard_cover(person, c),
        "u_marks": (person.blush, person.freckles, person.age, person.bags),
        "u_person": person.noise, "u_moles": person.moles.T,
    }  # fmt: skip


def inner_uniforms(person: Person) -> dict[str, Any]:
    """Uniforms of inner.frag that don't change from part to part."""
    return {"u_iris": linear(person.iris), "u_lash": linear(np.array(person.brow) * 0.5)}
