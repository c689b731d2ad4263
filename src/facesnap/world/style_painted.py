"""Painted styles: watercolour washes on paper, and oil strokes on canvas."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from facesnap.world.style_tools import (
    CLOTHES,
    Field,
    Picture,
    Planes,
    as_field,
    axis,
    facets,
    finish,
    grid,
    lines,
    luma,
    mix,
    planes,
    ramp,
    ridge,
    saturated,
    tint,
)

PAPER = (0.988, 0.98, 0.96)
#: Directions, multiples of 180/12 degrees, in which brush strokes are kept.
BRUSH_DIRECTIONS = 12
#: Largest tile of strokes in pixels; bigger pictures repeat it.
TILE = 512


def watercolour(picture: Picture) -> np.ndarray:
    """Transparent washes: pigment gathers at their rims and in the paper's hollows; the background runs into white."""
    smooth = facets(picture.image, max(2, round(3.0 * picture.unit)))
    colour = planes(smooth)
    colour = mix(colour, planes(picture.image), np.float32(0.1) + np.float32(0.55) * picture.detail)
    clouds, paper = picture.texture("clouds"), picture.texture("paper")
    grey = luma(colour)
    wash = _steps(picture, grey, clouds)
    colour *= (wash + np.float32(0.03)) / (grey + np.float32(0.03))
    colour = mix(_loose(picture), colour, picture.subject)
    colour = 1 - (1 - saturated(colour, picture.between(1.25, 1.55))) * np.float32(picture.between(0.76, 0.9))
    np.clip(colour, 0.03, 0.985, out=colour)
    density, painted = _pigment(picture, wash, clouds, paper)
    drift = picture.texture("clouds") * np.float32(picture.between(0.04, 0.12))  # pigments part: warmer, cooler
    density += np.float32(1.6) * np.minimum(lines(picture, 1.6), np.float32(0.3)) * picture.subject
    grain = 1 + np.float32(0.016) * paper
    for plane, sheet, part in zip(colour, PAPER, (-1.0, 0.0, 1.0), strict=True):
        layers = density + drift * np.float32(part)
        plane -= (plane - plane * plane) * layers  # Beer's law, linearised about one layer
        plane *= np.float32(sheet)
        plane += (np.float32(sheet) - plane) * (1 - painted)
        plane *= grain
    return finish(colour)


def _steps(picture: Picture, grey: Field, clouds: Field) -> Field:
    """Luma in a few soft-edged steps: washes laid over each other, with rims that wander."""
    count = picture.between(5.0, 7.0)
    level = grey * np.float32(count) + np.float32(0.1) * clouds
    whole = np.floor(level)
    whole += ramp(level - whole, 0.3, 0.7)
    whole *= np.float32(0.65 / count)
    whole += np.float32(0.35) * grey
    return np.asarray(whole)


def _loose(picture: Picture) -> Planes:
    """The background as one wet wash: its colours alone, run together and lightened."""
    small = cv2.resize(picture.image, (64, 64), interpolation=cv2.INTER_AREA)
    ground = cv2.resize(1 - picture.subject, (64, 64), interpolation=cv2.INTER_AREA) ** 2
    fields = np.dstack([small * (ground / 255)[..., None], ground]) + np.float32(1e-6)
    spread = cv2.GaussianBlur(fields, (0, 0), 3.0) + np.float32(0.02) * cv2.GaussianBlur(fields, (0, 0), 14.0)
    spread = 1 - (1 - spread[..., :3] / spread[..., 3:]) * np.float32(0.75)
    big = cv2.resize(spread.astype(np.float32), (picture.side, picture.side), interpolation=cv2.INTER_LINEAR)
    return np.stack(cv2.split(big))


def _pigment(picture: Picture, wash: Field, clouds: Field, paper: Field) -> tuple[Field, Field]:
    """Density of the pigment less one layer, and where there is paint (1) or bare paper (0)."""
    ground = 1 - picture.blur(picture.subject, 1.2)
    swell, blooms = picture.texture("swell"), picture.texture("clouds")
    tape = picture.margin() + np.float32(0.5) * picture.texture("blotch")
    tape -= np.float32(picture.between(3.0, 12.0) if picture.rng.random() < 0.55 else -9.0)
    if picture.rng.random() < 0.65:  # a loose wash about the head, clothes left unfinished
        free = np.clip(ground + picture.mask(CLOTHES, soft=3.0) * _below(picture), 0, 1)
        reach = np.float32(picture.between(30, 60)) * picture.blur(picture.subject, 24.0)
        rough = np.float32(9) * swell + np.float32(2.0) * blooms + np.float32(0.5) * paper
        loose = reach + rough - np.float32(picture.between(4, 12)) + (1 - free) * np.float32(60)
        rim = np.minimum(tape, loose)
    else:
        rim = tape
    painted = ramp(rim, -0.7, 0.9)
    density = np.float32(0.7) * ridge(rim, 1.6, 1.5)
    steps = np.abs(wash - picture.blur(wash, 1.6))
    density += np.float32(5.0) * np.minimum(steps, np.float32(0.08))
    density += (np.float32(0.45) * ridge(blooms, 0.5, 0.14) + np.float32(0.18) * clouds) * ground
    density += np.float32(0.16) * clouds + np.float32(0.13) * paper - np.float32(0.1)
    gaps = picture.boundaries(1.0) * ramp(picture.texture("blotch"), 0.1, 0.9)
    return density, painted * (1 - np.float32(0.8) * gaps)


def _below(picture: Picture) -> Field:
    """0 on the upper part of the picture to 1 at its lower edge, as a column (S, 1)."""
    return ramp(grid(picture.side)[1][:, :1], 0.72 * picture.side, 0.95 * picture.side)


# --- oil ----------------------------------------------------------------------------------------------------------


class Brush(NamedTuple):
    """A layer of strokes: distance apart, width and length in units."""

    apart: float
    width: float
    length: float


BROAD, MIDDLE, FINE = Brush(6.0, 10.0, 30.0), Brush(3.6, 5.0, 15.0), Brush(2.0, 2.4, 7.0)


def oil(picture: Picture) -> np.ndarray:
    """Strokes along the forms, broad ones below finer ones; their relief catches the light; canvas shows through."""
    along = axis(picture, 3.0, picture.between(0, np.pi))
    paint = _strokes(picture, along)
    colour, height, tone = planes(paint[..., :3]), as_field(paint[..., 3]), paint[..., 4]
    rich = saturated(planes(picture.image), 1.15)
    colour = mix(colour, rich, np.float32(0.10) + np.float32(0.5) * picture.detail)
    colour *= 1 + (as_field(tone) - np.float32(0.5)) * np.float32(picture.between(0.12, 0.24))
    light = _lit(picture, height)
    colour *= 1 + np.float32(0.5) * light + np.float32(0.015) * _canvas(picture)
    colour += np.float32(0.25) * np.maximum(light - np.float32(0.12), 0)
    warm = tint(1.02, 1.0, picture.between(0.90, 0.99))  # varnish
    return finish(saturated(colour, picture.between(1.1, 1.35)) * warm)


def _lit(picture: Picture, height: Field) -> Field:
    """How much a relief of height [0, 1] turns towards a light at the upper left."""
    dx, dy = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    dx += dy
    dx *= np.float32(0.25 * picture.unit)
    return np.clip(dx, -0.5, 0.5)


def _canvas(picture: Picture) -> Field:
    """A plain weave, about 3 units to the thread."""
    x, y = grid(picture.side)
    step = np.float32(2 * np.pi / max(3.0 * picture.unit, 2.6))
    return np.asarray(np.sin(x[:1] * step) * np.cos(y[:, :1] * step))


def _strokes(picture: Picture, along: Field) -> np.ndarray:
    """Paint (S, S, 5) uint8: colour, height and tone of the topmost stroke.

    After A. Hertzmann, 1998: finer brushes only where broader ones would lose something.
    """
    bins = (along * np.float32(BRUSH_DIRECTIONS / (2 * np.pi)) + np.float32(0.5)).astype(np.int64)
    fine = picture.subject * np.float32(0.45) + picture.detail
    made = None
    for brush, least in ((BROAD, None), (MIDDLE, 0.25), (FINE, 0.75)):
        seen = cv2.GaussianBlur(picture.image, (0, 0), max(0.25 * brush.width * picture.unit, 0.4))
        call = cv2.convertScaleAbs(fine, alpha=170)
        layer = _laid(picture, np.dstack([seen, call]), brush, bins)
        if made is None or least is None:
            made = layer
            continue
        np.copyto(made, layer, where=(layer[..., 5] > least * 170)[..., None])
    return np.asarray(made)


def _laid(picture: Picture, seen: np.ndarray, brush: Brush, bins: np.ndarray) -> np.ndarray:
    """A full cover of strokes (S, S, 6) uint8: colour, height, tone, and ``seen``'s last channel at their centres."""
    tile = strokes(brush, picture.side)
    size = tile.shape[1]
    shift = picture.rng.integers(0, size, 2)
    rows, columns = ((np.arange(picture.side) + s) % size for s in shift)
    places = (rows * size)[:, None] + columns[None] + (bins % BRUSH_DIRECTIONS) * (size * size)
    found = tile.reshape(-1).take(places).view(np.uint8).reshape(picture.side, picture.side, 4)
    dx, dy, height, tone = cv2.split(found)
    x, y = grid(picture.side)
    centre = (x + dx - np.float32(128), y + dy - np.float32(128))
    taken = cv2.remap(seen, *centre, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.dstack([taken[..., :3], height, tone, taken[..., 3]])


@lru_cache(maxsize=9)
def strokes(brush: Brush, side: int) -> np.ndarray:
    """Brush strokes that cover a tile in each direction: (directions, T, T) uint32 of four bytes.

    The bytes are the way from the pixel to its stroke's centre, x and y + 128 in pixels; the height of the paint
    there, with the furrows that bristles leave; and a random tone, one per stroke.
    """
    size, unit = min(side, TILE), side / 256
    rng = np.random.default_rng([round(brush.width * 10), side])
    return np.stack([_tile(brush, size, unit, np.pi * k / BRUSH_DIRECTIONS, rng) for k in range(BRUSH_DIRECTIONS)])


def _tile(brush: Brush, size: int, unit: float, angle: float, rng: np.random.Generator) -> np.ndarray:
    """One direction of :func:`strokes`: (T, T) uint32."""
    count = max(4, round(size / unit / brush.apart))
    cells = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2)
    centres = rng.permutation((cells + rng.random(cells.shape)) * (size / count))
    turn = angle + rng.normal(0, 0.12, len(centres))
    half = 0.5 * (brush.length - brush.width) * unit * rng.uniform(0.6, 1.15, len(centres))
    edge = round(brush.length * unit) + 2
    drawn = np.full((size + 2 * edge,) * 2, -1, np.int32)
    number, copies = _wrapped(centres, size, edge)
    way = np.stack([np.cos(turn), np.sin(turn)], 1)
    reach = (way * half[:, None])[number]
    ends = np.round((np.hstack([copies - reach, copies + reach]) + edge) * 16).astype(int).tolist()
    thick = max(1, round(brush.width * unit))
    for index, (x0, y0, x1, y1) in enumerate(ends):
        cv2.line(drawn, (x0, y0), (x1, y1), index, thick, cv2.LINE_8, 4)
    drawn = np.maximum(drawn[edge : edge + size, edge : edge + size], 0)
    x, y = grid(size)
    to = copies[drawn] - np.stack([x, y], -1)
    own = number[drawn]
    across = (to[..., 0] * way[own, 1] - to[..., 1] * way[own, 0]) / (0.5 * brush.width * unit)
    ahead = (to[..., 0] * way[own, 0] + to[..., 1] * way[own, 1]) / (half[own] + 0.5 * brush.width * unit)
    height = _relief(across, ahead, own, rng)
    tone = rng.integers(0, 256, len(centres))[own]
    way_bytes = np.clip(np.round(to) + 128, 0, 255)
    packed = np.dstack([way_bytes, np.clip(height * 255, 0, 255), tone]).astype(np.uint8)
    return np.ascontiguousarray(packed).view(np.uint32)[..., 0]


def _wrapped(centres: np.ndarray, size: int, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Strokes and, for those near a side, their copies beyond the opposite one, in the same order from below."""
    shifts = np.array([(a, b) for a in (-size, 0, size) for b in (-size, 0, size)])
    copies = (centres[:, None] + shifts).reshape(-1, 2)
    near = ((copies > -edge) & (copies < size + edge)).all(axis=1)
    return np.repeat(np.arange(len(centres)), len(shifts))[near], copies[near]


def _relief(across: np.ndarray, ahead: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Height [0, 1] of paint in a stroke: rounded, furrowed by bristles, thickest where the brush was lifted."""
    bristles = rng.random((int(own.max()) + 1, 9))
    place = np.clip((across + 1) * 4, 0, 7.999)
    left = place.astype(int)
    furrow = bristles[own, left] * (1 - place + left) + bristles[own, left + 1] * (place - left)
    body = np.sqrt(np.clip(1 - across**2, 0, 1))
    return np.asarray(0.10 + 0.40 * body + 0.35 * furrow * body + 0.15 * np.clip(ahead, -1, 1) ** 3)
