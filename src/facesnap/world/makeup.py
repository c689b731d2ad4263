"""What is painted or grown on the face: skin, lips, brows, undercoat and beard, as uniforms and short ribbons."""

from __future__ import annotations

from typing import Any

import numpy as np

from facesnap.world.characters import Conditions, Person
from facesnap.world.hairstyles import variant_of
from facesnap.world.masks import BeardRoots
from facesnap.world.palette import DYED_HAIR, LIPSTICK, linear

#: Painted cover of the beard's and the moustache's area.
BEARD_COVER = {"none": (0.0, 0.0), "stubble": (0.45, 0.5), "moustache": (0.0, 0.75), "full beard": (0.85, 0.85)}


def skin_uniforms(person: Person, c: Conditions) -> dict[str, Any]:
    """Uniforms of skin.frag."""
    painted = c.lipstick != "none"
    style, _ = variant_of(c.hair_style, c.hair_variant)
    return {
        "u_lip": linear(LIPSTICK[c.lipstick] if painted else person.lip), "u_lip_gloss": 0.3 if painted else 0.12,
        "u_brow": linear(person.brow), "u_brow_shape": (person.brow_thickness, person.brow_density),
        "u_scalp_cover": style.cover, "u_recede": style.recede, "u_fade": style.fade,
        "u_beard": linear(beard_colour(person, c)) * 0.6, "u_beard_cover": BEARD_COVER[c.beard],
        "u_marks": (person.blush, person.freckles, person.age, person.bags),
        "u_person": person.noise, "u_moles": person.moles.T,
    }  # fmt: skip


def inner_uniforms(person: Person) -> dict[str, Any]:
    """Uniforms of inner.frag that don't change from part to part."""
    return {"u_iris": linear(person.iris), "u_lash": linear(np.array(person.brow) * 0.5)}


def beard_colour(person: Person, c: Conditions) -> tuple[float, float, float]:
    """Beards follow the hair, but not its dye, and not bald heads (sRGB)."""
    return person.brow if c.hair_colour in DYED_HAIR or c.hair_style == "bald" else c.hair


def beard_uniforms(person: Person, c: Conditions) -> dict[str, Any]:
    """Uniforms of the beard's ribbons."""
    return {"u_width": 0.16, "u_hair": linear(beard_colour(person, c)) * 0.85}


def beard_hairs(roots: BeardRoots, beard: str, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Ribbons rooted on the expressed face: (N, 8) f32 root, direction in cm, brightness, bend."""
    weights = roots.weights[:, :, None]
    root = (vertices[roots.triangles] * weights).sum(axis=1)
    normal = (normals[roots.triangles] * weights).sum(axis=1)
    keep = roots.moustache if beard == "moustache" else np.ones(len(root), bool)
    length = np.where(roots.moustache, 0.55, 1.05) * roots.random[:, 0]
    down = np.array([0.0, -0.75, 0.0])
    side = np.where(roots.moustache, np.sign(root[:, 0]) * 0.5, 0.0)[:, None] * [1.0, 0.0, 0.0]
    direction = (normal * 0.55 + down + side + 0.25 * (roots.random[:, 1:4] - 1.0)) * length[:, None]
    hairs = np.concatenate([root, direction, roots.random[:, 1:3]], axis=1)
    return np.asarray(hairs[keep], dtype=np.float32)
