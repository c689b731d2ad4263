"""Drawn styles: graphite on paper, and an inked comic panel."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.classes import BACKGROUND, CLASSES, CLOTHES, GLASSES, HAIR
from facesnap.world.styles.textures import DIRECTIONS, grid
from facesnap.world.styles.tools import (
    Field,
    Picture,
    Planes,
    axis,
    drag,
    facets,
    finish,
    lines,
    luma,
    mix,
    planes,
    ramp,
    saturated,
    through,
    tint,
)

#: Drawing papers, sRGB: white, natural, cream, light grey.
PAPERS = ((250, 250, 248), (245, 243, 238), (243, 238, 228), (228, 228, 226))
PAPER_SHARES = (0.35, 0.3, 0.2, 0.15)
#: Passes of hatching: turn from the first (steps of 180/8 degrees), darkness at which it sets in, strength.
HATCHING = ((0, 0.10, 0.50), (2, 0.38, 0.55), (5, 0.62, 0.60))
#: Comic colours are brighter than life: lookup table of luma.
BRIGHTER = (1 - np.linspace(1, 0, 256) ** 1.25).astype(np.float32)


def pencil(picture: Picture) -> np.ndarray:
    """Graphite: lines of varying pressure, hatching in up to three directions, strands of hair, mostly empty paper."""
    along = axis(picture, 2.5, picture.between(0.5, 1.2))
    blank = 1 - np.clip(_shading(picture, along) * _finished(picture), 0, 1)
    blank *= 1 - np.clip(_contours(picture, along), 0, 1)
    dark = 1 - blank
    tooth = np.float32(0.2) * picture.texture("tooth") + np.float32(0.17) * picture.texture("grain")
    tooth *= np.float32(1.15) - dark  # graphite misses the paper's valleys until it is pressed hard
    tooth += 1
    dark *= tooth
    np.clip(dark, 0, 1, out=dark)
    paper = np.array(PAPERS[int(picture.rng.choice(len(PAPERS), p=PAPER_SHARES))], np.float32) / 255
    sheet = 1 + np.float32(0.006) * picture.texture("paper")
    graphite = picture.between(0.10, 0.20)
    return finish(np.stack([mix(sheet * tone, graphite, dark) for tone in paper]))


def _sketch_tone(picture: Picture) -> Field:
    """Luma spread over the person's own range, with local contrast: a drawing is lighter than its subject."""
    person = (picture.classes != BACKGROUND).view(np.uint8)
    pixels = cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY)
    shares = np.cumsum(cv2.calcHist([pixels], [0], person, [256], [0, 256]))
    low, high = np.searchsorted(shares, np.array([0.02, 0.98]) * shares[-1]) / 255
    tone = (picture.grey - np.float32(low)) * np.float32(1 / max(high - low, 0.25))
    tone = np.float32(0.8) * tone + np.float32(0.2) * picture.grey  # so that dark skin stays the darker one
    tone += np.float32(0.7) * (tone - picture.blur(tone, 8.0))
    middle = float(np.searchsorted(shares, 0.5 * shares[-1])) / 255
    middle = float(np.clip(0.8 * (middle - low) / max(high - low, 0.25) + 0.2 * middle, 0.12, 0.7))
    power = min(np.log(0.62) / np.log(middle), 0.95)  # the middle tone becomes a light grey at the darkest
    return through(tone, (np.linspace(0, 1, 256) ** power).astype(np.float32))


def _finished(picture: Picture) -> Field:
    """Where the sketch is worked out: the head; clothes trail off downwards, the background hardly begins."""
    x, y = grid(picture.side)
    height = y * np.float32(1 / picture.unit) + np.float32(9) * picture.texture("clouds")
    clothes = picture.mask(CLOTHES, soft=1.5) * np.float32(0.9)
    done = 1 - clothes * ramp(height, picture.between(185, 220), picture.between(238, 262))
    lean = picture.between(-1.2, 1.2)
    side = np.clip(np.float32(0.5 - lean) + x[:1] * np.float32(2 * lean / picture.side), 0, 1)
    halo = ramp(picture.blur(picture.subject, 22.0), 0.03, 0.7)
    halo *= side * np.float32(picture.between(0.25, 0.8))
    return mix(halo, done, picture.subject)


def _shading(picture: Picture, along: Field) -> Field:
    """Smooth graphite under hatching that thickens with darkness; hair in strands."""
    dark = 1 - _sketch_tone(picture)
    first, hatching = int(picture.rng.integers(DIRECTIONS)), picture.between(0.4, 1.0)
    shade = dark * np.float32(0.62 * (1 - hatching * 0.5))
    shade += np.float32(0.5) * np.maximum(dark - np.float32(0.55), 0)
    shade *= picture.subject  # the background gets strokes alone
    for turn, start, gain in HATCHING:
        strokes = ramp(picture.texture(f"hatch{(first + turn) % DIRECTIONS}"), -0.5, 1.1)
        strokes *= np.clip((dark - np.float32(start)) * np.float32(2.2), 0, 1)
        shade += strokes * np.float32(gain * hatching)
    strands = drag(picture.texture("grain"), along, 1.1 * picture.unit, 3)
    strands = np.clip(np.float32(0.62) + np.float32(0.9) * strands, 0, 1.4)
    strands *= np.float32(1.1) * dark + np.float32(0.05)
    return mix(shade, strands, picture.mask(HAIR, soft=1.0))


def _contours(picture: Picture, along: Field) -> Field:
    """Lines from luma and from the borders of the segmentation; the pencil's pressure comes and goes."""
    found = lines(picture, 1.6) * np.float32(12)
    found += lines(picture, 3.6) * np.float32(5)
    found = np.minimum(drag(found, along, 0.9 * picture.unit, 1), 0.95)
    found *= np.float32(0.25) + np.float32(0.75) * picture.subject
    pressure = np.clip(np.float32(0.56) + np.float32(0.25) * picture.texture("clouds"), 0.2, 0.85)
    pressure *= picture.boundaries(1.0)
    return np.asarray(np.maximum(found, pressure) + np.float32(0.3) * np.minimum(found, pressure))


def comic(picture: Picture) -> np.ndarray:
    """Ink outlines, flat colours in steps of light, halftone dots where a shade turns; some as a framed panel."""
    page = tint(0.99, 0.975, 0.94) if picture.rng.random() < 0.6 else tint(1, 1, 1)
    screen = _screen(picture)
    colour = _cels(picture, screen)
    _backdrop(picture, colour, screen)
    colour *= page
    ink = _ink(picture, axis(picture, 2.0, 0.8))
    margin, gutter = picture.margin(), picture.between(3.0, 6.5)
    framed = picture.rng.random() < 0.4
    if framed:
        ink = np.maximum(ink, ramp(margin, gutter + 2.5, gutter + 1.7))
    colour = mix(colour, tint(0.05, 0.045, 0.07), ink)
    if framed:
        colour = mix(colour, page, ramp(margin, gutter + 0.4, gutter - 0.4))
    return finish(colour)


def _screen(picture: Picture) -> Field:
    """A halftone screen: 0 in the dots' centres to 1 between them, turned by 30 to 60 degrees."""
    angle = picture.between(np.pi / 6, np.pi / 3)
    step = max(picture.between(4.2, 5.4) * picture.unit, 3.6)  # finer dots would only make moire
    x, y = grid(picture.side)
    a, b = (np.float32(2 * np.pi / step * part) for part in (np.cos(angle), np.sin(angle)))
    # cos(u + v) = cos u cos v - sin u sin v: cosines of one row and one column instead of the whole picture
    row, column = x[:1], y[:, :1]
    wave = np.cos(row * a) * np.cos(column * b) - np.sin(row * a) * np.sin(column * b)
    wave += np.cos(column * a) * np.cos(row * b)
    wave += np.sin(column * a) * np.sin(row * b)
    wave *= np.float32(-0.25)
    wave += np.float32(0.5)
    return np.asarray(wave)


def _cels(picture: Picture, screen: Field) -> Planes:
    """Flat colours: luma goes in steps about its class's median, so that light and dark skin both get their shades."""
    smooth = facets(picture.image, max(2, round(2.2 * picture.unit)))
    pixels = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    step, lift = picture.between(0.55, 0.7), 0.15  # octaves; the median lies a little above the middle of its step
    centre = cv2.LUT(picture.classes, _medians(picture, pixels))
    octave = np.log2(np.maximum(np.arange(256), 3) / 255).astype(np.float32)
    level = (cv2.LUT(pixels, octave) - centre) * np.float32(1 / step) + np.float32(lift)
    whole = np.floor(level)
    rest = level - whole
    hard = np.clip((rest - np.float32(0.5)) * np.float32(7) + np.float32(0.5), 0, 1)
    dotted = np.clip((rest - np.float32(0.28)) * np.float32(6) - 2 * screen, 0, 1)
    whole += np.where(level < 0, dotted, hard)
    whole *= np.float32(step)
    whole += centre
    whole *= np.float32(np.log(2))
    value = through(cv2.exp(whole), BRIGHTER)
    chroma = cv2.GaussianBlur(smooth, (0, 0), picture.unit)
    base = planes(chroma)
    base *= value / np.maximum(luma(base), np.float32(0.02))
    np.clip(base, 0, 1, out=base)
    return np.asarray(np.clip(saturated(base, picture.between(1.3, 1.55)), 0, 1))


def _backdrop(picture: Picture, colour: Planes, screen: Field) -> None:
    """The background in a handful of flat colours; some with rays from behind the head, some with printed dots."""
    ground, here = 1 - picture.subject, (picture.classes == BACKGROUND).view(np.uint8)
    for plane in colour:
        own = np.float32(cv2.mean(plane, here)[0])  # steps about the mean: a plain background keeps its colour
        level = (plane - own) * np.float32(4) + np.float32(0.5)
        whole = np.floor(level)
        whole += ramp(level - whole, 0.42, 0.58)
        plane += (whole * np.float32(0.25) + own - plane) * ground
    kind = picture.rng.random()
    if kind < 0.25:
        x, y = grid(picture.side)
        middle = np.array([picture.between(0.45, 0.55), picture.between(0.38, 0.46)], np.float32) * picture.side
        angle = cv2.phase(x - middle[0], y - middle[1])
        rays = np.sin(angle * np.float32(picture.rng.integers(9, 15)))
        colour *= 1 - np.float32(0.16) * ramp(rays, -0.12, 0.12) * ground
    elif kind < 0.6:
        y = grid(picture.side)[1] * np.float32(1 / picture.side)
        grown = (y if picture.rng.random() < 0.5 else 1 - y) * np.float32(0.75) - np.float32(0.05)
        colour *= 1 - np.float32(0.2) * ramp(grown - screen, -0.08, 0.08) * ground


def _medians(picture: Picture, pixels: np.ndarray) -> Field:
    """Class number -> log2 of its median luma, as a lookup table (256,)."""
    table = np.zeros(256, np.float32)
    for kind in range(len(CLASSES)):
        here = (picture.classes == kind).view(np.uint8)
        shares = np.cumsum(cv2.calcHist([pixels], [0], here, [256], [0, 256]))
        table[kind] = np.log2(max(float(np.searchsorted(shares, 0.5 * shares[-1])), 8.0) / 255)
    return table


def _ink(picture: Picture, along: Field) -> Field:
    """Lines: thick round the person and its parts, thinner inside, solid black in the darkest places."""
    found = lines(picture, 2.0)
    found += np.float32(0.5) * lines(picture, 4.0)
    found = ramp(drag(found, along, 0.9 * picture.unit, 2), 0.026, 0.058)
    found *= np.float32(0.2) + np.float32(0.8) * picture.subject
    worn = (picture.classes == GLASSES).view(np.uint8)
    rims = worn - cv2.erode(worn, np.ones((3, 3), np.uint8), iterations=max(1, round(picture.unit)))
    rims = picture.blur(rims.astype(np.float32), 0.4)
    np.maximum(found, rims, out=found)
    black = ramp(picture.blur(picture.grey, 0.8), 0.13, 0.07)
    black *= picture.mask(HAIR, CLOTHES, GLASSES)
    np.maximum(found, black, out=found)
    return np.asarray(np.minimum(np.maximum(found, np.float32(1.2) * picture.boundaries(2.6)), 1))
