"""Painted styles: watercolour washes on paper, and oil strokes on canvas."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.style_tools import (
    CLOTHES,
    GLASSES,
    Field,
    Picture,
    drag,
    facets,
    finish,
    flow,
    grid,
    lines,
    mix,
    ramp,
    saturated,
    three,
)


def watercolour(picture: Picture) -> np.ndarray:
    """Transparent washes: pigment gathers at their rims and in the paper's hollows; the background runs into white."""
    smooth = facets(picture.colour, max(2, round(3.0 * picture.unit)))
    smooth = mix(smooth, picture.colour, 0.15 + 0.5 * _detail(picture))
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    clouds, paper = picture.texture("clouds"), picture.texture("paper")
    wash = _steps(picture, grey, clouds)
    colour = smooth * three((wash + 0.02) / (grey + 0.02))
    colour = mix(colour, _loose(picture), 1 - picture.subject)
    colour = 1 - (1 - colour) * np.float32(picture.between(0.78, 0.92))
    colour = np.clip(saturated(colour, cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), picture.between(1.2, 1.5)), 0.02, 0.985)
    density, painted = _pigment(picture, wash, clouds, paper)
    colour = colour - (colour - colour * colour) * three(density)  # Beer's law, linearised at one layer
    sheet = np.array([0.985, 0.978, 0.955], np.float32)
    colour = mix(np.ones_like(colour) * sheet, colour * sheet, painted)
    drawing = np.clip(lines(picture, picture.grey, 1.6) * 8.0, 0, 0.8) * picture.subject
    colour = colour * (1 - three(drawing) * np.float32(picture.between(0.35, 0.8)))
    relief = paper - cv2.blur(paper, (3, 3))
    return finish(np.clip(colour * three(1 + 0.022 * paper + 0.02 * relief), 0, 1))


def _detail(picture: Picture) -> Field:
    """Where fine things are: eyes, brows, mouth, glasses."""
    fine = np.abs(picture.grey - picture.blur(picture.grey, 2.2))
    return ramp(picture.blur(fine, 2.0), 0.012, 0.05) * picture.subject


def _steps(picture: Picture, grey: Field, clouds: Field) -> Field:
    """Luma in a few soft-edged steps: washes laid over each other, with rims that wander."""
    count = picture.between(5.0, 7.0)
    level = grey * np.float32(count) + 0.10 * clouds
    whole = np.floor(level)
    return np.asarray((whole + ramp(level - whole, 0.32, 0.68)) * np.float32(1 / count)) * 0.65 + grey * 0.35


def _loose(picture: Picture) -> Field:
    """The background as one wet wash: its colours, run together."""
    return picture.outer(picture.colour)


def _pigment(picture: Picture, wash: Field, clouds: Field, paper: Field) -> tuple[Field, Field]:
    """Density of the pigment about 0 (one layer), and where there is paint at all (1) or bare paper (0)."""
    x, y = grid(picture.side)
    last = np.float32(picture.side - 1)
    edge = np.minimum(np.minimum(x, last - x), np.minimum(y, last - y)) / np.float32(picture.unit)
    ground = 1 - picture.blur(picture.subject, 1.5)
    blooms = picture.texture("clouds")
    rim = edge + 8.0 * blooms + 1.2 * paper - picture.between(4.0, 14.0) - ground * picture.between(0.0, 16.0)
    near = picture.blur(picture.subject, 18.0) * 42.0
    rim = np.minimum(rim, near + 9.0 * clouds - picture.between(0.0, 8.0)) if picture.rng.random() < 0.6 else rim
    painted = ramp(rim, -0.8, 1.2)
    gathered = np.exp(-(((rim - 1.8) / 1.8) ** 2))
    steps = np.abs(wash - picture.blur(wash, 1.6))
    border = picture.boundaries(width=1.0)
    gaps = border * ramp(picture.texture("blotch"), 0.2, 0.9)
    bloom = np.exp(-(((blooms - 0.6) / 0.13) ** 2)) * ground
    density = 0.32 * clouds * (0.4 + ground) + 0.16 * paper + 5.0 * np.minimum(steps, 0.09) + 0.8 * gathered + 0.5 * bloom
    return density, painted * (1 - 0.75 * gaps)


def oil(picture: Picture) -> np.ndarray:
    """Strokes along the forms, broad ones first; their relief catches the light; canvas shows through."""
    along = flow(picture, picture.grey, 3.0, picture.between(0, np.pi))
    ground = saturated(picture.colour, picture.grey, picture.between(1.15, 1.4))
    painting = _strokes(picture, finish(ground), along)
    paint, height = painting[..., :3].astype(np.float32) * np.float32(1 / 255), painting[..., 3].astype(np.float32)
    paint = mix(paint, np.clip(ground, 0, 1), 0.18 + 0.42 * _detail(picture))
    bristles = drag(picture.texture("grain"), along, 1.0 * picture.unit, 3)
    height = picture.blur(height * np.float32(1 / 255), 0.5) * 1.6 + 0.55 * bristles
    light = _lit(picture, height)
    colour = paint * three(1 + 0.16 * np.clip(light, -2, 2))
    colour = colour + three(0.05 * np.maximum(light - 0.8, 0))
    return finish(np.clip(colour * three(1 + 0.02 * _canvas(picture)), 0, 1))


def _lit(picture: Picture, height: Field) -> Field:
    """Slope of a height field towards the upper left."""
    dx, dy = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    return np.asarray((dx + dy) * np.float32(0.25 * picture.unit**0.5))


def _canvas(picture: Picture) -> Field:
    """A plain weave, about 3 units to the thread."""
    x, y = grid(picture.side)
    step = np.float32(2 * np.pi / max(3.0 * picture.unit, 2.6))
    return np.asarray(np.sin(x * step) * np.cos(y * step) + 0.3 * picture.texture("grain"))


#: Layers of strokes: distance apart, width and length in units, and the detail that calls for them.
LAYERS = ((8.0, 11.0, 30.0, 0.0), (5.0, 5.5, 18.0, 0.02), (3.0, 3.0, 9.0, 0.05), (2.0, 1.5, 5.0, 0.09))


def _strokes(picture: Picture, image: np.ndarray, along: tuple[Field, Field]) -> np.ndarray:
    """Paint (S, S, 4) uint8: colour and, in the fourth channel, how thick each stroke lies.

    A. Hertzmann, 1998: layers from broad to fine brushes, the finer ones only where the broad ones miss detail.
    """
    side, rng = picture.side, picture.rng
    made = np.dstack([cv2.GaussianBlur(image, (0, 0), 4 * picture.unit), np.full((side, side), 128, np.uint8)])
    for apart, width, length, limit in LAYERS:
        seen = cv2.GaussianBlur(image, (0, 0), max(0.3 * width * picture.unit, 0.3))
        miss = cv2.blur(cv2.absdiff(seen, made[..., :3]), (picture.odd(apart),) * 2).max(axis=2)
        count = int(256 / apart)
        places = (np.stack(np.mgrid[0:count, 0:count], -1).reshape(-1, 2) + rng.random((count * count, 2))) * side / count
        rows, columns = np.minimum(places.astype(int), side - 1).T
        keep = miss[rows, columns] >= limit * 255
        places, rows, columns = places[keep], rows[keep], columns[keep]
        order = rng.permutation(len(places))
        places, rows, columns = places[order], rows[order], columns[order]
        colours = seen[rows, columns].astype(np.float32)
        jitter = rng.normal(0, 5.0, (len(places), 1)) + rng.normal(0, 3.0, (len(places), 3))
        paint = np.concatenate([colours + jitter, rng.uniform(40, 215, (len(places), 1))], axis=1)
        half = np.stack([along[0][rows, columns], along[1][rows, columns]], 1) * (length - width) * 0.5 * picture.unit
        centre = places[:, ::-1]
        ends = np.round(np.concatenate([centre - half, centre + half], 1) * 16).astype(int).tolist()
        thick = max(1, round(width * picture.unit))
        for (x0, y0, x1, y1), tint in zip(ends, np.clip(paint, 0, 255).tolist(), strict=True):
            cv2.line(made, (x0, y0), (x1, y1), tint, thick, cv2.LINE_AA, 4)
    return made
