"""Beards: painted stubble, and short ribbons that are rooted anew on every expression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from facesnap.world.characters import Conditions, Person
from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel
from facesnap.world.palette import DYED_HAIR, linear
from facesnap.world.render.masks import MASK_SIZE, mask_textures

#: Roots that are scattered; a beard grows from those that its shape holds.
STRANDS = 5200


@dataclass(frozen=True)
class Beard:
    """One kind: painted cover of cheeks, upper lip and chin, share of dots in it; hair lengths in cm (0 = none)."""

    cover: tuple[float, float, float]
    dots: float = 0.0
    cheeks: float = 0.0
    lip: float = 0.0
    chin: float = 0.0
    lift: float = 0.5  #: how much hairs stand off the skin
    width: float = 0.055  #: half width at the root, cm


KINDS: dict[str, Beard] = {
    "none": Beard((0.0, 0.0, 0.0)),
    "stubble": Beard((0.50, 0.50, 0.55), dots=0.9),
    "moustache": Beard((0.0, 0.85, 0.0), lip=0.66, lift=0.4, width=0.065),
    "goatee": Beard((0.0, 0.80, 0.90), lip=0.5, chin=0.9, lift=0.4),
    "short beard": Beard((0.88, 0.84, 0.90), dots=0.25, cheeks=0.34, lip=0.36, chin=0.42, lift=0.3, width=0.045),
    "full beard": Beard((0.97, 0.88, 0.97), cheeks=0.85, lip=0.62, chin=1.4, lift=0.5, width=0.06),
}
#: Names that captions use, and those of them that have hairs.
BEARDS = tuple(KINDS)
GROWN = tuple(name for name, kind in KINDS.items() if kind.lip)
#: Shapes of a beard by variant: factors of the lengths on cheeks and chin, and how low the cheek's edge lies (cm).
SHAPES = ((1.0, 1.0, 0.0), (0.8, 1.5, 0.5), (1.3, 1.1, -0.2), (0.7, 0.8, 0.9))


@dataclass(frozen=True, eq=False)
class BeardRoots:
    """N hair roots of beard and moustache on the rest face."""

    triangles: np.ndarray  #: (N, 3) vertices
    weights: np.ndarray  #: (N, 3) f32 barycentric
    rest: np.ndarray  #: (N, 3) f32 model space
    moustache: np.ndarray  #: (N,) bool
    edge: np.ndarray  #: (N,) 0 at the area's edge .. 1
    lip: np.ndarray  #: (N,) cm to the lips
    lock: np.ndarray  #: (N, 3) f32 cm from the root to the middle of its lock
    random: np.ndarray  #: (N, 6) f32 standard normal


class Growth(NamedTuple):
    """What hairs keep from picture to picture: ``direction = (normal * lift + comb) * length``."""

    chosen: np.ndarray  #: (M,) of the roots
    lift: float
    comb: np.ndarray  #: (M, 3)
    length: np.ndarray  #: (M, 1) cm
    look: np.ndarray  #: (M, 2) brightness, shade


def beard_colour(person: Person, c: Conditions) -> tuple[float, float, float]:
    """Beards follow the hair, but not its dye, and not bald heads (sRGB)."""
    return person.brow if c.hair_colour in DYED_HAIR or c.hair_style == "bald" else c.hair


def beard_cover(person: Person, c: Conditions) -> tuple[float, float, float, float]:
    """Painted cover of cheeks, upper lip and chin, and the share of dots; a person's beard is dense or thin."""
    kind = KINDS[c.beard]
    dense = 0.8 + 0.4 * person.noise[0]
    cheeks, lip, chin = (min(1.0, dense * cover) for cover in kind.cover)
    return cheeks, lip, chin, kind.dots


def beard_uniforms(person: Person, c: Conditions) -> dict[str, Any]:
    """Uniforms of the beard's ribbons."""
    return {"u_width": KINDS[c.beard].width, "u_hair": linear(beard_colour(person, c)), "u_shine": 0.35}


def beard_roots(head: HeadModel, count: int = STRANDS, seed: int = 5) -> BeardRoots:
    """Scatter ``count`` roots over the beard's area, the moustache denser; lips and ears stay free."""
    first, second = mask_textures(head)
    rng = np.random.default_rng(seed)
    triangles = head.triangles[head.part_triangles["skin"]]
    corners = (head.mean + HEAD_ORIGIN)[triangles]
    masks = _painted(first, second, corners.mean(axis=1))
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weight = area * np.maximum(masks[1] > 0.02, 2.6 * (masks[2] > 0.02)) * (corners[:, :, 2].mean(axis=1) > 0.5)
    chosen = rng.choice(len(triangles), count * 2, p=weight / weight.sum())
    bary = rng.dirichlet((1.0, 1.0, 1.0), count * 2).astype(np.float32)
    rest = (corners[chosen] * bary[:, :, None]).sum(axis=1).astype(np.float32)
    lip, beard, moustache = _painted(first, second, rest)
    front = _ramp(2.4, 3.8, rest[:, 2] - 0.9 * np.clip(-5.5 - rest[:, 1], 0, None))  # not on the neck's sides
    density = np.maximum(beard * front, moustache) * (lip > 0.14)
    kept = np.flatnonzero(density > rng.uniform(0.03, 0.75, count * 2))[:count]
    rest = rest[kept]
    middle = rest[rng.choice(len(rest), len(rest) // 14, replace=False)]
    nearest = np.argmin(((rest[:, None] - middle[None]) ** 2).sum(axis=2), axis=1)
    return BeardRoots(
        triangles[chosen[kept]], bary[kept], rest, moustache[kept] > 0.4, density[kept], lip[kept],
        middle[nearest] - rest, rng.standard_normal((len(kept), 6)).astype(np.float32),
    )  # fmt: skip


def _painted(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lip distance, beard and moustache masks (N,) at rest points (N, 3)."""
    column = np.clip((points[:, 0] + 10) / 20 * MASK_SIZE, 0, MASK_SIZE - 1).astype(int)
    row = np.clip((points[:, 1] + 14) / 28 * MASK_SIZE, 0, MASK_SIZE - 1).astype(int)
    return first[row, column, 0], first[row, column, 3], second[row, column, 3]


@lru_cache(maxsize=32)
def beard_growth(roots: BeardRoots, kind: str, variant: int = 0) -> Growth:
    """Which roots a kind of beard grows from, how far and which way; shapes follow :data:`SHAPES`."""
    beard, (wide, long, lower) = KINDS[kind], SHAPES[variant % len(SHAPES)]
    x, y, z = roots.rest.T
    aside, lip_hair = np.abs(x), roots.moustache
    chin = _ramp(3.6, 2.4, aside) * _ramp(-2.4, -3.4, y) * _ramp(6.5, 8.0, z)
    length = beard.cheeks * wide + (beard.chin * long - beard.cheeks * wide) * chin
    above = lip_hair & (y > 0.25 * aside - 2.4)  # over the lips: too short to cover them
    length = np.where(lip_hair, np.where(above, np.minimum(beard.lip, 0.16 + 0.75 * roots.lip), beard.lip), length)
    length *= np.exp(0.18 * roots.random[:, 0]) * (0.45 + 0.55 * np.clip(roots.edge / 0.8, 0, 1))
    shaved = ~lip_hair & (aside > 3.4) & (aside < 6.2) & (y > 0.55 * aside - 6.0 - lower) & (lower > 0)
    across = np.where(lip_hair, 0.75 * np.clip(x / 0.8, -1, 1), -0.22 * np.clip(x / 3, -1, 1))
    comb = np.stack([across, np.where(lip_hair, -0.45, -0.85), np.where(lip_hair, 0.0, -0.05)], axis=1)
    comb = comb + 0.16 * roots.random[:, 1:4] + 0.55 * roots.lock / np.maximum(length, 0.35)[:, None]
    look = np.stack([np.exp(0.16 * roots.random[:, 4]), np.clip(0.5 + 0.25 * roots.random[:, 5], 0, 1)], axis=1)
    chosen = np.flatnonzero((length > 0.05) & ~shaved)
    return Growth(chosen, beard.lift, comb[chosen], length[chosen, None], look[chosen])


def _ramp(low: float, high: float, value: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip((value - low) / (high - low), 0, 1))


def beard_hairs(
    roots: BeardRoots, kind: str, vertices: np.ndarray, normals: np.ndarray, variant: int = 0
) -> np.ndarray:
    """Ribbons rooted on the expressed face: (M, 8) f32 root, direction in cm, brightness, shade."""
    grown = beard_growth(roots, kind, variant)
    corners = roots.triangles[grown.chosen]
    weights = roots.weights[grown.chosen][:, :, None]
    root = (vertices[corners] * weights).sum(axis=1)
    normal = (normals[corners] * weights).sum(axis=1)
    direction = (normal * grown.lift + grown.comb) * grown.length
    return np.concatenate([root, direction, grown.look], axis=1).astype(np.float32)
