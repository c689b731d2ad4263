"""Brush strokes for the oil style: covers of overlapping strokes in 12 directions, made once and kept."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from facesnap.world.styles.textures import grid

#: Directions, multiples of 180/12 degrees, in which strokes are kept.
BRUSH_DIRECTIONS = 12
#: Largest tile of strokes in pixels; bigger pictures repeat it.
TILE = 512


class Brush(NamedTuple):
    """A layer of strokes: distance apart, width and length in units."""

    apart: float
    width: float
    length: float


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
    drawn = drawn[edge : edge + size, edge : edge + size]
    to = copies[drawn] - np.stack(grid(size), -1)
    to[drawn < 0] = 0.0  # the rare gap keeps its own colour
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
    return np.asarray(0.10 + 0.35 * body + 0.40 * furrow * np.sqrt(body) + 0.15 * np.clip(ahead, -1, 1) ** 3)
