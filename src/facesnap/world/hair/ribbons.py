"""Hair as ribbons: strands grown once per process over the rest head, carried to people by an affine fit.

A style is a set of growth rules (:mod:`facesnap.world.hair.styles`) that :mod:`facesnap.world.hair.growth` and
:mod:`facesnap.world.hair.tied` follow. Strands end as ribbons that the vertex shader turns to the camera and lights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel, load_head
from facesnap.world.geometry import smoothstep
from facesnap.world.hair.body import Body
from facesnap.world.hair.growth import barber, curled, gather, lengths, march, scatter_roots
from facesnap.world.hair.styles import STYLES, Style, variant_of
from facesnap.world.hair.tied import bun, hanging, plaited, rope_width, rows, tail, tied

#: Of the strands of loose hair, the share that lies beneath, broad and dark, so that nothing shines through.
BENEATH = 0.16


@dataclass(frozen=True)
class Ribbons:
    """A style's triangles.

    ``vertices`` (N, 11) f32: position 3 (head space, cm), tangent 3 and side, then half width in cm, brightness
    (about 1), openness (0 deep inside .. 1 outside), shade (0..1, the strand's own); ``indices`` (I,) i32;
    ``shadow_indices`` (J,) i32: fewer, longer triangles for the shadow map.
    """

    vertices: np.ndarray
    indices: np.ndarray
    shadow_indices: np.ndarray


@dataclass(frozen=True)
class Strands:
    """Courses (N, P, 3) in model space; half width, brightness, openness (N, P); shade (N,)."""

    paths: np.ndarray
    width: np.ndarray
    brightness: np.ndarray
    openness: np.ndarray
    shade: np.ndarray


@lru_cache(maxsize=1)
def _body() -> Body:
    return Body(load_head())


def grow(head: HeadModel, name: str, variant: int) -> Ribbons:
    """Grow one variant of a style in head space (rest head)."""
    style, mirrored = variant_of(name, variant)
    rng = np.random.default_rng(np.random.SeedSequence([7, list(STYLES).index(name), variant]))
    if not style.strands:
        return Ribbons(np.zeros((0, 11), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32))
    body = _body()
    if style.flow == "rows":
        sets = _cornrows(style, body, rng)
    elif style.flow == "tie":
        sets = _tied(head, style, body, rng)
    else:
        sets = [_loose(head, style, body, rng)]
    made = [_ribbons(strands, mirrored) for strands in sets]
    starts = np.cumsum([0] + [len(m.vertices) for m in made])[:-1]
    return Ribbons(
        np.concatenate([m.vertices for m in made]),
        np.concatenate([m.indices + s for m, s in zip(made, starts, strict=True)]).astype(np.int32),
        np.concatenate([m.shadow_indices + s for m, s in zip(made, starts, strict=True)]).astype(np.int32),
    )


def _loose(head: HeadModel, style: Style, body: Body, rng: np.random.Generator) -> Strands:
    """Hair that falls free, or in ropes."""
    roots, normals, height = scatter_roots(head, style, style.strands, rng)
    layer = rng.uniform(0.0, 1.0, len(roots)) ** (0.5 if style.flow == "out" else 0.8)
    if style.cut is not None:  # what is rooted high falls over what is rooted low
        layer = 0.3 * layer + 0.7 * smoothstep(0.0, 13.5, roots[:, 1])
    beneath = (np.arange(len(roots)) < BENEATH * len(roots) * (not style.twist)) & (height > 0.8)
    layer = np.where(beneath, layer * 0.3, layer)
    paths = march(style, body, roots, normals, layer, lengths(style, roots, height), height, rng)
    flowing = style.cut is not None  # flowing hair is cut before it gathers to points, a crop as it lies
    if flowing:
        paths = barber(style, paths, rng)
    if style.twist:
        return _ropes(paths, style, layer, rng)
    leader = np.arange(len(paths))
    if style.clump:
        paths, leader = gather(style, paths, rng)
    paths = _drawn_part(style, curled(style, paths, leader, rng), rng)
    if not flowing:
        paths = barber(style, paths, rng)
    return _strands(paths, style, layer, beneath, leader, height, rng)


def _drawn_part(style: Style, paths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drop the hidden share near the roots: (N, P, 3) to the same shape."""
    if not style.start:
        return paths
    count, points, _ = paths.shape
    first = rng.uniform(0, style.start, (count, 1)) * (points - 1)
    place = first + (points - 1 - first) * np.linspace(0, 1, points)
    cell = np.minimum(place.astype(int), points - 2)
    part = (place - cell)[..., None]
    row = np.arange(count)[:, None]
    return np.asarray(paths[row, cell] * (1 - part) + paths[row, cell + 1] * part)


def _strands(
    paths: np.ndarray, style: Style, layer: np.ndarray, beneath: np.ndarray, leader: np.ndarray, height: np.ndarray,
    rng: np.random.Generator,
) -> Strands:  # fmt: skip
    """Width, brightness and openness of loose strands: thin at root and tip, darker inside and at the roots."""
    count, points, _ = paths.shape
    t = np.linspace(0, 1, points)[None]
    root = 0.9 if style.cut is not None else 0.65 if style.flow == "tie" else 0.5  # fallen hair covers its roots
    each = np.where(beneath, 2.6, rng.uniform(0.7, 1.25, count)) * (root + (1 - root) * smoothstep(0.1, 1.5, height))
    width = style.width * each[:, None] * (root + (1 - root) * smoothstep(0.0, 0.15, t)) * (1 - 0.8 * t**3)
    lock = rng.normal(1.0, 0.10, (count,))[leader]
    tint = lock * rng.normal(1.0, 0.12, count) * np.where(beneath, 0.8, 1.0)
    brightness = np.clip(tint, 0.6, 1.5)[:, None] * (0.88 + 0.2 * t)
    dense = min(1.0, style.volume / 1.5)  # in a thin coat light reaches everything
    depth = np.asarray(1 - dense * np.where(beneath, 0.6, 0.5 * (1 - layer)))
    openness = depth[:, None] * (1 - 0.3 * dense * smoothstep(0.3, 0.0, t))
    return Strands(paths, width, brightness, openness, rng.uniform(0, 1, (count,)))


def _ropes(courses: np.ndarray, style: Style, layer: np.ndarray, rng: np.random.Generator) -> Strands:
    """Locs and braids: each course as ``style.twist`` ribbons."""
    paths, outside = plaited(courses, style)
    count, points, _ = courses.shape
    size = rng.uniform(0.85, 1.15, count)
    tint = np.clip(rng.normal(1.0, 0.12, count), 0.7, 1.4)
    grain = rng.normal(1.0, 0.07, (count * style.twist, points))
    depth = np.tile(0.5 + 0.5 * layer, style.twist)
    width = style.width * np.tile(size, style.twist)[:, None] * rope_width(points)
    brightness = np.tile(tint, style.twist)[:, None] * grain
    return Strands(paths, width, brightness, depth[:, None] * outside, np.tile(rng.uniform(0, 1, count), style.twist))


def _tied(head: HeadModel, style: Style, body: Body, rng: np.random.Generator) -> list[Strands]:
    """Hair drawn tight to a tie, with its bun or tail."""
    roots, _, height = scatter_roots(head, style, style.strands, rng)
    over_ear = (roots[:, 1] < 5.2) & (roots[:, 2] > -2.6)  # too short to tie, and the ear is in the way
    roots, height = roots[~over_ear], height[~over_ear]
    layer = rng.uniform(0, 1, len(roots))
    beneath = (np.arange(len(roots)) < BENEATH * len(roots)) & (height > 1.5)
    paths = tied(style, body, roots, layer, rng)
    paths, leader = gather(style, paths, rng)
    sets = [_strands(paths, style, layer, beneath, leader, height, rng)]
    for more in ([bun(style, body, rng)] if style.bun else []) + ([tail(style, body, rng)] if style.tail else []):
        few = len(more)
        below = np.arange(few) < BENEATH * few
        out = rng.uniform(0.2, 1, few)
        sets.append(_strands(more, style, out, below, np.arange(few), np.full(few, 9.0), rng))
    return sets


def _cornrows(style: Style, body: Body, rng: np.random.Generator) -> list[Strands]:
    courses = np.stack(rows(style, body))
    sets = [_ropes(courses, style, np.ones(len(courses)), rng)]
    if style.tail:
        ends = courses[:, -1]
        falling = hanging(ends, style, body, style.segments // 2)
        sets.append(_ropes(falling, style, np.full(len(ends), 0.7), rng))
    return sets


def _ribbons(strands: Strands, mirrored: bool) -> Ribbons:
    """Two vertices per strand point."""
    paths = strands.paths * ([-1, 1, 1] if mirrored else [1, 1, 1]) - HEAD_ORIGIN
    count, points, _ = paths.shape
    tangent = np.gradient(paths, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-6)
    vertices = np.zeros((count, points, 2, 11), np.float32)
    vertices[..., 0:3] = paths[:, :, None]
    vertices[..., 3:6] = tangent[:, :, None]
    vertices[..., 6] = [-1, 1]
    for column, value in ((7, strands.width), (8, strands.brightness), (9, strands.openness)):
        vertices[..., column] = value[:, :, None]
    vertices[..., 10] = strands.shade[:, None, None]
    every = np.arange(points)
    every_other = np.unique(np.append(np.arange(0, points, 2), points - 1))
    return Ribbons(
        vertices.reshape(-1, 11),
        _indices(np.arange(count), every, points),
        _indices(np.arange(0, count, 2 if count > 400 else 1), every_other, points),
    )


def _indices(strands: np.ndarray, kept: np.ndarray, points: int) -> np.ndarray:
    """Two triangles between every two kept points of the chosen strands: (I,) vertex numbers."""
    near = (strands[:, None] * points + kept[None, :-1]).reshape(-1, 1) * 2
    far = (strands[:, None] * points + kept[None, 1:]).reshape(-1, 1) * 2
    return np.concatenate([near, near + 1, far, far, near + 1, far + 1], axis=1).ravel()


def affine_fit(rest: np.ndarray, shaped: np.ndarray) -> np.ndarray:
    """Least-squares affine map (4, 3) with ``[rest, 1] @ map ~ shaped`` for points (N, 3)."""
    design = np.concatenate([rest, np.ones((len(rest), 1), rest.dtype)], axis=1)
    return np.asarray(np.linalg.lstsq(design, shaped, rcond=None)[0].astype(np.float32))
