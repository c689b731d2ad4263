"""Drawn styles: graphite on paper, and an inked comic panel."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.style_tools import (
    BACKGROUND,
    CLOTHES,
    DIRECTIONS,
    GLASSES,
    HAIR,
    SKIN,
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

#: Drawing papers, sRGB: white, natural, cream, light grey.
PAPERS = ((250, 250, 248), (244, 242, 236), (243, 238, 226), (226, 226, 224))


def pencil(picture: Picture) -> np.ndarray:
    """Graphite: lines of varying pressure, hatching in up to three directions, strands of hair, mostly empty paper."""
    tone = _sketch_tone(picture)
    along = flow(picture, picture.grey, 2.5, picture.between(0.5, 1.2))
    tooth = 0.6 * picture.texture("tooth") + 0.5 * picture.texture("grain")
    done = _finished(picture)
    shade = _shading(picture, tone, along) * done
    ink = _pencil_lines(picture, along)
    dark = 1 - (1 - np.clip(shade, 0, 1)) * (1 - np.clip(ink, 0, 1))
    dark = dark * (1 + 0.34 * tooth * (1.15 - dark))  # graphite misses the paper's valleys until pressed hard
    paper = np.array(PAPERS[int(picture.rng.choice(4, p=[0.35, 0.3, 0.2, 0.15]))], np.float32) / 255
    graphite = np.float32(picture.between(0.10, 0.20))
    sheet = three(1 + 0.010 * picture.texture("paper")) * paper
    return finish(mix(sheet, np.full_like(sheet, graphite), np.clip(dark, 0, 1)))


def _sketch_tone(picture: Picture) -> Field:
    """Luma spread over the person's own range, with local contrast: a drawing is not as dark as its subject."""
    person = picture.image[picture.classes != BACKGROUND]
    values = np.sort(cv2.cvtColor(person[None, ::7], cv2.COLOR_RGB2GRAY).ravel()) if person.size else np.array([0, 255])
    low, high = values[len(values) // 50] / 255, values[-1 - len(values) // 50] / 255
    tone = (picture.grey - np.float32(low)) * np.float32(1 / max(high - low, 0.25))
    tone = tone + 0.7 * (tone - picture.blur(tone, 8.0))
    return np.asarray(np.clip(tone, 0, 1)) ** np.float32(0.75)


def _finished(picture: Picture) -> Field:
    """Where the sketch is worked out: the head; clothes trail off downwards, the background hardly begins."""
    _, y = grid(picture.side)
    height = y * np.float32(1 / picture.unit) + 9.0 * picture.texture("clouds")
    clothes = picture.mask(CLOTHES, soft=1.5)
    done = 1 - clothes * ramp(height, picture.between(190, 225), picture.between(240, 262)) * 0.9
    side = picture.between(-1.2, 1.2)
    x = grid(picture.side)[0] * np.float32(2 / picture.side) - 1
    halo = ramp(picture.blur(picture.subject, 22.0), 0.03, 0.7) * np.clip(0.5 + np.float32(side) * x, 0, 1)
    ground = 1 - picture.subject
    return np.asarray(done * (1 - ground) + ground * halo * picture.between(0.25, 0.8))


def _shading(picture: Picture, tone: Field, along: tuple[Field, Field]) -> Field:
    """Smooth graphite under hatching that thickens with darkness; hair in strands."""
    dark = 1 - tone
    first = int(picture.rng.integers(DIRECTIONS))
    hatching = picture.between(0.35, 1.0)
    smooth = 1 - hatching * 0.55
    shade = dark * np.float32(0.62 * smooth) + np.maximum(dark - 0.55, 0) * 0.5
    for turn, start, gain in ((0, 0.10, 0.50), (2, 0.38, 0.55), (5, 0.62, 0.6)):
        strokes = ramp(picture.texture(f"hatch{(first + turn) % DIRECTIONS}"), -0.5, 1.1)
        shade += np.clip((dark - start) * 2.2, 0, 1) * strokes * np.float32(gain * hatching)
    strands = drag(picture.texture("grain"), along, 1.1 * picture.unit, 3)
    strands = np.clip(0.62 + 0.9 * strands, 0, 1.4)
    hair = np.clip(dark * 1.1 + 0.05, 0, 1) * strands
    return mix(shade, hair, picture.mask(HAIR, soft=1.0))


def _pencil_lines(picture: Picture, along: tuple[Field, Field]) -> Field:
    """Contours from luma and from the borders of the segmentation; pressure comes and goes."""
    found = lines(picture, picture.grey, 1.6) * 13.0 + lines(picture, picture.grey, 3.6) * 5.0
    found = drag(found, along, 0.9 * picture.unit, 1)
    contour = picture.boundaries(width=1.0, together=(GLASSES,))
    pressure = np.clip(0.75 + 0.3 * picture.texture("clouds") + 0.15 * picture.texture("blotch"), 0.25, 1.15)
    ground = 0.25 + 0.75 * picture.blur(picture.subject, 1.5)
    return np.asarray(np.clip(found, 0, 0.95) * ground + contour * pressure * 0.75)


def comic(picture: Picture) -> np.ndarray:
    """Ink outlines, flat colours in steps of light, halftone dots where a shade turns."""
    along = flow(picture, picture.grey, 2.0, 0.8)
    flat = _cels(picture)
    ink = _ink(picture, along)
    page = np.array([0.99, 0.975, 0.94], np.float32) if picture.rng.random() < 0.6 else np.ones(3, np.float32)
    inked = flat * page * three(1 - ink) + three(ink) * np.array([0.05, 0.045, 0.07], np.float32)
    if picture.rng.random() < 0.4:
        inked = _panel(picture, inked, page)
    return finish(inked)


def _screen(picture: Picture, period: float) -> Field:
    """A halftone screen: 0 in the dots' centres to 1 between them, turned by 30 to 60 degrees."""
    angle = picture.between(np.pi / 6, np.pi / 3)
    step = max(period * picture.unit, 3.6)  # finer dots would only make moire
    x, y = grid(picture.side)
    turn = 2 * np.pi / step
    a, b = np.float32(np.cos(angle) * turn), np.float32(np.sin(angle) * turn)
    wave = np.cos(x * a + y * b) + np.cos(y * a - x * b)
    return np.asarray(0.5 - 0.25 * wave)


def _cels(picture: Picture) -> Field:
    """Flat colours: luma goes in steps relative to its class's median, so that light and dark skin both get shades."""
    smooth = facets(picture.colour, max(2, round(2.2 * picture.unit)))
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    step = picture.between(0.55, 0.7)  # octaves
    anchor = np.zeros(256, np.float32)
    pixels = cv2.convertScaleAbs(grey, alpha=255.0)
    for kind in np.unique(picture.classes):
        anchor[kind] = np.log2(max(float(np.median(pixels[picture.classes == kind])), 8.0) / 255)
    centre = cv2.LUT(picture.classes, anchor)
    level = (np.log2(np.maximum(grey, 0.012)) - centre) * np.float32(1 / step) + 0.42
    screen = _screen(picture, picture.between(4.2, 5.4))
    whole = np.floor(level)
    rest = level - whole
    shadow = level < 0.5
    hard = np.clip((rest - 0.5) * 7 + 0.5, 0, 1)
    dotted = np.clip((rest - 0.28) / 0.5 * 3 - screen * 2 , 0, 1)
    stepped = (whole + np.where(shadow, dotted, hard)) * np.float32(step) + centre - np.float32(0.02)
    luma = np.clip(np.exp2(stepped), 0, 1)
    chroma = picture.blur(smooth, 1.0) * three(1.0 / np.maximum(picture.blur(grey, 1.0), 0.02))
    bright = 1 - (1 - luma) ** np.float32(1.25)
    colour = np.clip(chroma * three(bright), 0, 1)
    return np.clip(saturated(colour, bright, picture.between(1.3, 1.6)), 0, 1)


def _ink(picture: Picture, along: tuple[Field, Field]) -> Field:
    """Lines: thick round the person and its parts, thinner inside, solid black in the darkest places."""
    found = lines(picture, picture.grey, 2.0, 0.985) * 1.0 + 0.5 * lines(picture, picture.grey, 4.0, 0.97)
    found = drag(found, along, 0.9 * picture.unit, 2)
    inner = ramp(found, 0.028, 0.062) * (1 - 0.8 * (1 - picture.subject))
    outline = picture.boundaries(width=2.6, together=(GLASSES,))
    black = ramp(picture.blur(picture.grey, 0.8), 0.13, 0.07) * picture.mask(HAIR, CLOTHES, GLASSES)
    return np.asarray(np.clip(np.maximum(np.maximum(inner, outline * 1.2), black), 0, 1))


def _panel(picture: Picture, inked: Field, page: Field) -> Field:
    """A white gutter and the panel's black frame."""
    x, y = grid(picture.side)
    last = np.float32(picture.side - 1)
    edge = np.minimum(np.minimum(x, last - x), np.minimum(y, last - y)) / np.float32(picture.unit)
    gutter = picture.between(3.0, 6.5)
    framed = inked * three(ramp(edge, gutter + 1.7, gutter + 2.5))
    return mix(framed, np.ones_like(inked) * page, ramp(edge, gutter + 0.4, gutter - 0.4))
