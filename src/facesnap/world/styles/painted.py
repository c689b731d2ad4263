"""Painted styles: watercolour washes on paper, and oil strokes on canvas."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.classes import CLOTHES
from facesnap.world.styles.film import vignette
from facesnap.world.styles.strokes import BRUSH_DIRECTIONS, Brush, strokes
from facesnap.world.styles.textures import grid
from facesnap.world.styles.tools import (
    Field,
    Picture,
    Planes,
    as_field,
    axis,
    facets,
    finish,
    lines,
    luma,
    mix,
    planes,
    ramp,
    ridge,
    saturated,
    through,
    tint,
)

PAPER = (0.988, 0.98, 0.96)


def watercolour(picture: Picture) -> np.ndarray:
    """Transparent washes: pigment gathers at their rims and in the paper's hollows; the background runs into white."""
    smooth = facets(picture.image, max(2, round(3.0 * picture.unit)))
    colour = planes(smooth)
    colour = mix(colour, planes(picture.image), np.float32(0.1) + np.float32(0.55) * picture.detail)
    clouds, paper = picture.texture("clouds"), picture.texture("paper")
    grey = luma(colour)
    wash = _steps(picture, grey, clouds)
    wash = wash + np.float32(0.35) * (grey - picture.blur(grey, 9.0)) * picture.subject
    colour *= np.maximum(wash + np.float32(0.03), 0) / (grey + np.float32(0.03))
    colour = mix(_loose(picture), colour, picture.subject)
    thin = (np.linspace(0, 1, 256) ** picture.between(0.68, 0.85) * 0.945 + 0.04).astype(np.float32)
    colour = np.stack([through(plane, thin) for plane in saturated(colour, picture.between(1.15, 1.4))])
    density, painted = _pigment(picture, wash, clouds, paper)
    drift = picture.texture("clouds") * np.float32(picture.between(0.04, 0.12))  # pigments part: warmer, cooler
    density += np.float32(5.0) * np.minimum(lines(picture, 1.6), np.float32(0.2)) * picture.subject
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
    far = np.array(cv2.mean(small, (ground > 0.5).view(np.uint8))[:3], np.float32) * np.float32(1 / 255)
    weight = cv2.GaussianBlur(ground, (0, 0), 3.0) + np.float32(0.01)
    spread = cv2.GaussianBlur(small * (ground / 255)[..., None], (0, 0), 3.0) + np.float32(0.01) * far
    light = 1 - (1 - spread / weight[..., None]) * np.float32(0.75)
    return np.stack([cv2.resize(plane, (picture.side,) * 2) for plane in cv2.split(light)])


def _pigment(picture: Picture, wash: Field, clouds: Field, paper: Field) -> tuple[Field, Field]:
    """Density of the pigment less one layer, and where there is paint (1) or bare paper (0)."""
    ground = 1 - picture.blur(picture.subject, 1.2)
    swell, blooms = picture.texture("swell"), picture.texture("clouds")
    tape = picture.margin() + np.float32(0.5) * picture.texture("blotch")
    loosely, taped = picture.rng.random(2) < (0.65, 0.55)
    tape -= np.float32(picture.between(3.0, 12.0) if taped or not loosely else -9.0)  # some white paper always
    if loosely:  # a wash about the head, clothes left unfinished
        free = np.clip(ground + picture.mask(CLOTHES, soft=3.0) * _below(picture), 0, 1)
        near = picture.blur(picture.subject, 24.0)
        reach = np.float32(picture.between(35, 65)) * near
        rough = (np.float32(8) * swell + np.float32(2.5) * blooms) * (1 - near * near) + np.float32(0.5) * paper
        loose = reach + rough - np.float32(picture.between(4, 12)) + (1 - free) * np.float32(60)
        rim = np.minimum(tape, loose)
    else:
        rim = tape
    painted = ramp(rim, -0.7, 0.9)
    density = np.float32(0.7) * ridge(rim, 1.6, 1.5)
    steps = np.abs(wash - picture.blur(wash, 1.6))
    density += np.float32(5.0) * np.minimum(steps, np.float32(0.08))
    density += (np.float32(0.45) * ridge(blooms, 0.5, 0.14) + np.float32(0.25) * clouds) * ground
    density += np.float32(0.09) * clouds + np.float32(0.10) * paper - np.float32(0.1)
    gaps = picture.boundaries(1.0) * ramp(picture.texture("blotch"), 0.1, 0.9)
    return density, painted * (1 - np.float32(0.8) * gaps)


def _below(picture: Picture) -> Field:
    """0 on the upper part of the picture to 1 at its lower edge, as a column (S, 1)."""
    return ramp(grid(picture.side)[1][:, :1], 0.72 * picture.side, 0.95 * picture.side)


# --- oil ----------------------------------------------------------------------------------------------------------


BROAD, MIDDLE, FINE = Brush(6.0, 10.0, 30.0), Brush(3.6, 5.0, 15.0), Brush(2.3, 2.5, 7.0)


def oil(picture: Picture) -> np.ndarray:
    """Strokes along the forms, broad ones below finer ones; their relief catches the light; canvas shows through."""
    along = axis(picture, 3.0, picture.between(0, np.pi))
    paint, relief = _strokes(picture, along)
    colour = planes(paint)
    colour = mix(colour, planes(picture.image), np.float32(0.10) + np.float32(0.5) * picture.detail)
    tone = as_field(cv2.extractChannel(relief, 3)) - np.float32(0.5)
    tone *= np.float32(picture.between(0.16, 0.30)) * (1 - np.float32(0.5) * picture.subject)
    light = _lit(picture, as_field(cv2.extractChannel(relief, 2)))
    light *= np.float32(picture.between(0.7, 1.5)) * (1 - np.float32(0.55) * picture.subject)
    tone += light + np.float32(0.012) * _canvas(picture)
    tone += 1
    colour *= tone
    colour += np.float32(0.6) * np.maximum(light - np.float32(0.05), 0)
    old = picture.between(0.0, 1.0)  # how far the varnish has yellowed and the corners have darkened
    warm = tint(1.03, 1.01 - 0.02 * old, 1.01 - 0.17 * old)
    colour *= vignette(picture, 0.7 * old)
    return finish(saturated(colour, picture.between(1.2, 1.45)) * warm)


def _lit(picture: Picture, height: Field) -> Field:
    """How much a relief of height [0, 1] turns towards a light at the upper left."""
    slope: Field = cv2.Sobel(height, cv2.CV_32F, 1, 0)
    slope += cv2.Sobel(height, cv2.CV_32F, 0, 1)
    slope *= np.float32(0.07 * picture.unit)
    return np.asarray(np.clip(slope, -0.16, 0.16))


def _canvas(picture: Picture) -> Field:
    """A plain weave, about 3 units to the thread."""
    x, y = grid(picture.side)
    step = np.float32(2 * np.pi / max(3.0 * picture.unit, 2.6))
    return np.asarray(np.sin(x[:1] * step) * np.cos(y[:, :1] * step))


def _strokes(picture: Picture, along: Field) -> tuple[np.ndarray, np.ndarray]:
    """Paint (S, S, 4) uint8, colour first, and relief (S, S, 4) uint8, height and tone last, of the topmost strokes.

    After A. Hertzmann, 1998: finer brushes only where broader ones would lose something.
    """
    bins = (along * np.float32(BRUSH_DIRECTIONS / (2 * np.pi)) + np.float32(0.5)).astype(np.int64)
    bins[bins == BRUSH_DIRECTIONS] = 0
    call = cv2.convertScaleAbs(picture.subject * np.float32(0.45) + picture.detail, alpha=170.0)
    paint, relief = _laid(picture, call, BROAD, bins)
    for brush, least in ((MIDDLE, 0.25), (FINE, 0.75)):
        finer, thinner = _laid(picture, call, brush, bins)
        there = (cv2.extractChannel(finer, 3) > least * 170).view(np.uint8)
        cv2.copyTo(finer, there, paint)
        cv2.copyTo(thinner, there, relief)
    return paint, relief


def _laid(picture: Picture, call: np.ndarray, brush: Brush, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A full cover of strokes: colour with ``call`` at the strokes' centres, and the bytes of :func:`strokes`."""
    tile = strokes(brush, picture.side)
    size = tile.shape[1]
    rows, columns = ((np.arange(picture.side) + s) % size for s in picture.rng.integers(0, size, 2))
    places = bins * (size * size)
    places += (rows * size)[:, None]
    places += columns
    found = tile.reshape(-1).take(places).view(np.uint8).reshape(picture.side, picture.side, 4)
    x, y = grid(picture.side)
    x, y = x + cv2.extractChannel(found, 0) - np.float32(128), y + cv2.extractChannel(found, 1) - np.float32(128)
    seen = cv2.GaussianBlur(picture.image, (0, 0), max(0.25 * brush.width * picture.unit, 0.4))
    seen = cv2.cvtColor(seen, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(call, seen, 3)
    taken = cv2.remap(seen, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(taken), found
