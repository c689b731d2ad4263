"""Photographic styles: black and white film, an old print, neon glow."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.styles.textures import grid
from facesnap.world.styles.tools import (
    Field,
    Picture,
    Planes,
    as_field,
    curve,
    finish,
    mix,
    planes,
    ramp,
    ridge,
    saturated,
    through,
    tint,
)

#: What a film sees of red, green, blue: panchromatic, behind a yellow and a red filter, orthochromatic.
FILMS = ((0.30, 0.55, 0.15), (0.40, 0.51, 0.09), (0.50, 0.42, 0.08), (0.16, 0.55, 0.29))
FILM_SHARES = (0.4, 0.25, 0.15, 0.2)
#: Prints, as (deepest tone, middle tone, paper), sRGB: sepia, warm brown, yellowed, purple-brown albumen.
TONES = (
    ((58, 36, 20), (158, 116, 74), (242, 222, 184)),
    ((50, 34, 26), (150, 112, 82), (234, 212, 180)),
    ((68, 48, 26), (170, 134, 84), (240, 224, 176)),
    ((62, 36, 32), (160, 114, 90), (242, 218, 186)),
)


def vignette(picture: Picture, strength: float) -> Field:
    """Brightness factor that falls towards the corners, about a centre that wanders a little: (S, S) f32 in (0, 1].

    ``strength`` >= 0: 0 leaves all as it is, 0.7 about halves the light of the corners.
    """
    x, y = grid(picture.side)
    across, down = (picture.side * picture.between(0.42, 0.58) for _ in range(2))
    squared = (x[:1] - across) ** 2 + (y[:, :1] - down) ** 2
    squared *= np.float32((1.35 / picture.side) ** 2)
    return np.asarray(1.0 / (1.0 + np.float32(strength * 2.2) * squared * squared), np.float32)


def stretched(grey: np.ndarray, dark: float, light: float, most: float) -> Field:
    """Grey pixels (uint8) with their darkest percent brought to ``dark``, their lightest to ``light``, [0, 1].

    Contrast grows by the factor ``most`` at the most; what is then left of the range stays empty at both ends.
    """
    shares = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256])) / grey.size
    low, high = np.searchsorted(shares, 0.01) / 255, np.searchsorted(shares, 0.99) / 255
    gain = min((light - dark) / max(high - low, 1 / 255), most)
    spare = light - dark - (high - low) * gain
    table = (np.arange(256) / 255 - low) * gain + dark + 0.4 * spare
    return np.asarray(cv2.LUT(grey, np.clip(table, 0, 1).astype(np.float32)))


def as_film(picture: Picture) -> np.ndarray:
    """The picture in grey (S, S) uint8, as one of the films sees it."""
    film = FILMS[int(picture.rng.choice(len(FILMS), p=FILM_SHARES))]
    return np.asarray(cv2.transform(picture.image, np.array([film])))


def black_and_white(picture: Picture) -> np.ndarray:
    """Silver film: strong contrast, deep blacks, fine grain that shows most in the middle tones."""
    grey = stretched(as_film(picture), 0.03, 0.93, 1.3)
    grey = grey + np.float32(picture.between(0.2, 0.4)) * (grey - picture.blur(grey, 9.0))
    grey *= vignette(picture, picture.between(0.1, 0.45))
    hard = picture.between(0.4, 1.0)
    grey = through(grey, curve((0, 0), (0.25, 0.25 - 0.10 * hard), (0.5, 0.5), (0.75, 0.75 + 0.055 * hard), (1, 0.985)))
    grain = picture.texture("grain") * (np.float32(0.4) + 2.4 * grey * (1 - grey))
    glow = picture.blur(np.maximum(grey - np.float32(0.75), 0), 5.0)  # halation: bright places bleed a little
    grey += grain * np.float32(picture.between(0.014, 0.034))
    grey += np.float32(0.3) * glow
    return finish(grey)


def old_photograph(picture: Picture) -> np.ndarray:
    """An old print: brown, soft, faded towards its edges, stained, scratched, dusty; some with a paper border."""
    grey = stretched(as_film(picture), 0.05, 0.93, 1.5)
    grey = picture.blur(grey, picture.between(0.45, 0.75))
    grey = grey + np.float32(0.4) * (grey - picture.blur(grey, 6.0))
    grey *= vignette(picture, picture.between(0.2, 0.7))
    grey = through(grey, curve((0, 0.05), (0.5, picture.between(0.48, 0.56)), (1, 0.93)))
    grey += picture.texture("grain") * np.float32(picture.between(0.02, 0.04))
    grey = mix(grey, 0.86, _fading(picture))
    grey += picture.texture("clouds") * np.float32(0.018)
    grey = _scratched(picture, grey)
    tones = np.array(TONES[int(picture.rng.integers(len(TONES)))]).T / 255
    tables = [curve((0, float(a)), (0.5, float(b)), (1, float(c))) for a, b, c in tones]
    colour = np.stack([through(grey, table) for table in tables])
    _stain(picture, colour)
    if picture.rng.random() < 0.5:
        colour = _bordered(picture, colour, tint(*(table[245] for table in tables)))
    return finish(colour)


def _fading(picture: Picture) -> Field:
    """How far the print has bleached: most at two corners, and in cloudy patches along the edges."""
    x, y = grid(picture.side)
    corners = []
    for _ in range(2):
        across, down = picture.rng.integers(0, 2, 2) * picture.side
        reach = picture.side * picture.between(0.3, 0.55)
        corners.append(np.sqrt((x[:1] - across) ** 2 + (y[:, :1] - down) ** 2) * np.float32(1 / reach))
    far = np.maximum(1 - np.minimum(*corners), 0)
    patches = ramp(picture.margin() + 7.0 * picture.texture("clouds"), 22.0, -4.0)
    return np.asarray(far * np.float32(picture.between(0.2, 0.55)) + patches * np.float32(picture.between(0.15, 0.45)))


def _scratched(picture: Picture, grey: Field) -> Field:
    """Scratches, hairs and dust: thin marks, mostly light, broken where they wore off."""
    rng, unit, side = picture.rng, picture.unit, picture.side
    marks = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(2, 7))):  # scratches: long, nearly upright
        (x, top), length = rng.uniform((0, -0.2), (1, 0.7)), rng.uniform(0.15, 0.9)
        ends = np.array([[x, top], [x + rng.normal(0, 0.012), top + length]]) * side
        _draw(marks, ends, int(rng.integers(60, 190)), 0.7 * unit)
    for _ in range(int(rng.integers(1, 4))):  # hairs
        turn = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, 0.5, 7))
        path = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=1) * 5 * unit, axis=0)
        _draw(marks, path + rng.uniform(0, side, 2), int(rng.integers(90, 200)), 0.8 * unit)
    for centre in rng.uniform(0, side * 16, (int(rng.integers(15, 40)), 2)).astype(int):  # dust
        radius = 0.35 + min(float(rng.exponential(0.5)), 1.6)
        value = int(rng.integers(70, 230))
        cv2.circle(marks, centre.tolist(), int(radius * unit * 16), value, -1, cv2.LINE_AA, 4)
    worn = np.clip(np.float32(0.75) + np.float32(0.45) * picture.texture("blotch"), 0, 1)
    worn *= np.float32(picture.between(0.6, 1.0))
    return mix(grey, 0.08 if rng.random() < 0.25 else 0.98, as_field(marks) * worn)


def _draw(target: np.ndarray, points: np.ndarray, value: int, thickness: float) -> None:
    path = [np.round(points * 16).astype(np.int32)]
    cv2.polylines(target, path, False, value, max(1, round(thickness)), cv2.LINE_AA, 4)


def _stain(picture: Picture, colour: Planes) -> None:
    """Foxing and a water mark: brown where the cloudy texture is high, darker along the rim."""
    clouds, level = picture.texture("clouds"), picture.between(1.0, 2.2)
    stain = ramp(clouds, level, level + 0.5) * np.float32(0.25)
    stain += ridge(clouds, level, 0.10) * np.float32(0.3)
    stain *= np.float32(picture.between(0.3, 0.9))
    stain += ramp(picture.texture("blotch"), 2.3, 3.2) * np.float32(picture.between(0.2, 0.7))
    for plane, loss in zip(colour, (0.20, 0.38, 0.58), strict=True):
        plane *= 1 - stain * np.float32(loss)


def _bordered(picture: Picture, colour: Planes, paper: Planes) -> Planes:
    """A paper border of slightly uneven edge, with a faint shadow line where the print begins."""
    inside = picture.margin() + np.float32(0.25) * picture.texture("blotch")
    width = picture.between(5.0, 11.0)
    border = paper * (np.float32(0.97) + np.float32(0.015) * picture.texture("paper"))
    colour = mix(colour, border, ramp(inside, width + 0.5, width - 0.5))
    colour *= 1 - np.float32(0.2) * ridge(inside, width, 0.9)
    return colour


def neon(picture: Picture) -> np.ndarray:
    """Night and coloured light: blacks deepen, colours grow, and what is bright and saturated glows."""
    colour = np.clip(saturated(planes(picture.image), picture.between(1.2, 1.45)), 0, 1)
    colour *= np.float32(0.75) + np.float32(0.25) * ramp(picture.grey, 0.05, 0.6)
    most, least = (edge.reduce(colour, axis=0) for edge in (np.maximum, np.minimum))
    strength = np.clip((most - least) * most * np.float32(1.6), 0, 1) + np.float32(0.4) * ramp(picture.grey, 0.8, 1.0)
    strength *= np.float32(picture.between(0.55, 0.9))
    shadows = ((0.03, 0.0, 0.055), (0.0, 0.02, 0.055), (0.04, 0.0, 0.04))[int(picture.rng.integers(3))]
    dark, corners = ramp(picture.grey, 0.45, 0.0), vignette(picture, 0.4)
    for plane, lift in zip(colour, shadows, strict=True):
        glow = plane * strength
        glow = np.float32(0.55) * picture.blur(glow, 3.0) + np.float32(0.65) * picture.blur(glow, 14.0)
        plane += (1 - plane) * np.minimum(glow, 1)  # screen: light on light
        plane *= corners
        plane += dark * np.float32(lift)
    return finish(colour)
