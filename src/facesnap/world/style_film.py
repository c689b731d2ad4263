"""Photographic styles: black and white film, an old print, neon glow."""

from __future__ import annotations

import cv2
import numpy as np

from facesnap.world.style_tools import Field, Picture, finish, grid, mix, ramp, saturated, three

#: What a film sees of red, green, blue: panchromatic, behind a yellow and a red filter, orthochromatic.
FILMS = ((0.30, 0.55, 0.15), (0.42, 0.50, 0.08), (0.55, 0.38, 0.07), (0.12, 0.55, 0.33))
FILM_SHARES = (0.4, 0.25, 0.15, 0.2)
#: Prints, as (deepest tone, middle tone, paper): sepia, warm brown, yellowed, purple-brown albumen.
TONES = (
    ((62, 40, 24), (156, 118, 78), (240, 222, 184)),
    ((54, 38, 30), (150, 116, 88), (232, 212, 182)),
    ((76, 60, 36), (168, 140, 90), (238, 226, 176)),
    ((66, 40, 36), (160, 116, 92), (242, 220, 188)),
)


def vignette(picture: Picture, strength: float) -> Field:
    """Brightness factor that falls towards the corners, about a centre that wanders a little."""
    x, y = grid(picture.side)
    centre = [picture.side * picture.between(0.42, 0.58) for _ in range(2)]
    squared = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) * np.float32((1.35 / picture.side) ** 2)
    return np.asarray(1.0 / (1.0 + np.float32(strength) * squared * squared * 2.2))


def curve(points: list[tuple[float, float]]) -> Field:
    """A lookup table (256,) float32 through points (input, output) in [0, 1], smooth by Hermite pieces."""
    x, y = np.array(points).T
    slopes = np.gradient(y, x)
    t = np.linspace(0, 1, 256)
    i = np.clip(np.searchsorted(x, t, side="right") - 1, 0, len(x) - 2)
    h = x[i + 1] - x[i]
    u = (t - x[i]) / h
    rise = y[i] * (2 * u**3 - 3 * u**2 + 1) + y[i + 1] * (3 * u**2 - 2 * u**3)
    bend = h * (slopes[i] * (u**3 - 2 * u**2 + u) + slopes[i + 1] * (u**3 - u**2))
    return np.asarray(np.clip(rise + bend, 0, 1), np.float32)


def stretched(picture: Picture, grey: np.ndarray, dark: float, light: float) -> Field:
    """A grey picture (uint8) with its darkest percent brought to ``dark`` and its lightest to ``light``, [0, 1]."""
    shares = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    low, high = int(np.searchsorted(shares, 0.01)), int(np.searchsorted(shares, 0.99))
    gain = min((light - dark) * 255 / max(high - low, 1), 1.7)
    offset = dark * 255 - low * gain + max(0.0, (light - dark) * 255 - (high - low) * gain) * 0.4
    table = np.clip(np.arange(256) * gain + offset, 0, 255) / 255
    return np.asarray(cv2.LUT(grey, table.astype(np.float32)))


def as_film(picture: Picture) -> np.ndarray:
    """The picture in grey (S, S) uint8, as one of the films sees it."""
    film = FILMS[int(picture.rng.choice(len(FILMS), p=FILM_SHARES))]
    return np.asarray(cv2.transform(picture.image, np.array([film])))


def through(field: Field, table: Field) -> Field:
    """A field in [0, 1] through a lookup table (256,)."""
    return np.asarray(cv2.LUT(cv2.convertScaleAbs(np.maximum(field, 0), alpha=255.0), table))


def black_and_white(picture: Picture) -> np.ndarray:
    """Silver film: strong contrast, deep blacks, fine grain that shows most in the middle tones."""
    grey = stretched(picture, as_film(picture), 0.03, 0.95)
    grey = grey + np.float32(picture.between(0.35, 0.6)) * (grey - picture.blur(grey, 7.0))
    hard = picture.between(0.55, 1.0)
    s_curve = curve([(0, 0), (0.25, 0.25 - 0.12 * hard), (0.5, 0.5), (0.75, 0.75 + 0.09 * hard), (1, 1)])
    grey = through(grey * vignette(picture, picture.between(0.1, 0.5)), s_curve)
    glow = picture.blur(np.maximum(grey - 0.7, 0), 5.0)  # halation: bright places bleed a little
    grain = picture.texture("grain") * np.float32(picture.between(0.018, 0.042))
    return finish(grey + 0.35 * glow + grain * (0.35 + 2.6 * grey * (1 - grey)))


def old_photograph(picture: Picture) -> np.ndarray:
    """An old print: brown, soft, faded towards its edges, stained, scratched, dusty; some with a paper border."""
    grey = stretched(picture, as_film(picture), 0.05, 0.93)
    grey = picture.blur(grey, picture.between(0.45, 0.75))
    grey = grey + 0.25 * (grey - picture.blur(grey, 6.0))
    grey = through(grey * vignette(picture, picture.between(0.2, 0.7)), curve([(0, 0.06), (0.5, 0.52), (1, 0.93)]))
    grey = grey + picture.texture("grain") * np.float32(picture.between(0.02, 0.04))
    fading = _fading(picture)
    grey = mix(grey, np.full_like(grey, 0.86), fading)
    grey = grey + 0.018 * picture.texture("clouds")
    grey = _scratched(picture, grey)
    tones = np.array(TONES[int(picture.rng.integers(len(TONES)))], np.float32) / 255
    table = np.stack([curve([(0, float(a)), (0.5, float(b)), (1, float(c))]) for a, b, c in tones.T], axis=-1)
    pixels = cv2.convertScaleAbs(np.maximum(grey, 0), alpha=255.0)
    colour = cv2.LUT(cv2.merge([pixels] * 3), table.reshape(1, 256, 3))
    colour = _stained(picture, colour)
    if picture.rng.random() < 0.5:
        colour = _bordered(picture, colour, table[245])
    return finish(colour)


def _edge_distance(picture: Picture) -> Field:
    """Distance to the nearest side, in units."""
    x, y = grid(picture.side)
    last = np.float32(picture.side - 1)
    return np.asarray(np.minimum(np.minimum(x, last - x), np.minimum(y, last - y)) / np.float32(picture.unit))


def _fading(picture: Picture) -> Field:
    """How far the print has bleached: at the edges and in cloudy patches there, most at one or two corners."""
    x, y = grid(picture.side)
    far = np.zeros((picture.side, picture.side), np.float32)
    for _ in range(2):
        corner = picture.rng.integers(0, 2, 2) * float(picture.side)
        near = np.hypot(x - corner[0], y - corner[1]) * np.float32(1 / (picture.side * picture.between(0.35, 0.6)))
        far = np.maximum(far, 1.0 - near)
    edge = _edge_distance(picture) + 7.0 * picture.texture("clouds")
    return np.asarray(picture.between(0.35, 0.75) * far + picture.between(0.25, 0.6) * ramp(edge, 24.0, -4.0)) * 0.75


def _scratched(picture: Picture, grey: Field) -> Field:
    """Scratches, dust and hairs: light and dark marks, thin and mostly away from the middle."""
    rng, unit, side = picture.rng, picture.unit, picture.side
    marks = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(2, 7))):  # scratches: long, nearly upright
        top, length = rng.uniform(-0.2, 0.7), rng.uniform(0.15, 0.9)
        x = rng.uniform(0, 1)
        ends = np.array([[x, top], [x + rng.normal(0, 0.012), top + length]]) * side
        _polyline(marks, ends, int(rng.integers(60, 190)), max(1, round(0.7 * unit)))
    for _ in range(int(rng.integers(1, 4))):  # hairs
        turn = np.cumsum(np.append(rng.uniform(0, 6.3), rng.normal(0, 0.5, 6)))
        path = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=1) * 5 * unit, axis=0)
        _polyline(marks, path + rng.uniform(0, side, 2), int(rng.integers(90, 200)), max(1, round(0.8 * unit)))
    for x, y, size, value in zip(
        *rng.uniform(0, side, (2, 34)), rng.exponential(0.5, 34), rng.integers(70, 230, 34), strict=True
    ):
        centre = (int(x * 16), int(y * 16))
        cv2.circle(marks, centre, int((0.35 + min(size, 1.6)) * unit * 16), int(value), -1, cv2.LINE_AA, 4)
    worn = np.clip(0.75 + 0.45 * picture.texture("blotch"), 0, 1)  # marks break off
    amount = marks.astype(np.float32) * np.float32(picture.between(0.6, 1.0) / 255) * worn
    dark = picture.rng.random() < 0.25
    return mix(grey, np.full_like(grey, 0.08 if dark else 0.98), amount)


def _polyline(target: np.ndarray, points: np.ndarray, value: int, thickness: int) -> None:
    cv2.polylines(target, [np.round(points * 16).astype(np.int32)], False, value, thickness, cv2.LINE_AA, 4)


def _stained(picture: Picture, colour: Field) -> Field:
    """Foxing and a water mark: brown where the cloudy texture is high, darker along the rim."""
    clouds = picture.texture("clouds")
    level = picture.between(1.0, 2.2)
    stain = 0.25 * ramp(clouds, level, level + 0.5) + 0.3 * np.exp(-(((clouds - level) / 0.10) ** 2))
    spots = ramp(picture.texture("blotch"), 2.3, 3.2) * picture.between(0.2, 0.7)
    amount = np.minimum(stain * picture.between(0.3, 0.9) + spots, 1)
    brown = np.array([0.80, 0.62, 0.42], np.float32)
    return np.asarray(colour * (1 - three(amount) * (1 - brown)))


def _bordered(picture: Picture, colour: Field, paper: Field) -> Field:
    """A paper border of slightly uneven edge, with a faint shadow line where the print begins."""
    inside = _edge_distance(picture) + 0.25 * picture.texture("blotch")
    width = picture.between(5.0, 11.0)
    border = three(1.0 + 0.02 * picture.texture("paper")) * (paper * np.float32(0.97))
    line = np.exp(-(((inside - width) / 0.9) ** 2)) * 0.2
    return mix(colour, border, ramp(inside, width + 0.5, width - 0.5)) * three(1 - line)


def neon(picture: Picture) -> np.ndarray:
    """Night and coloured light: blacks deepen, colours grow, and what is bright and saturated glows."""
    grey = picture.grey
    colour = saturated(picture.colour, grey, picture.between(1.2, 1.45))
    colour = np.clip(colour, 0, 1)
    colour = colour * (0.72 + 0.28 * three(ramp(grey, 0.05, 0.6)))
    most, least = colour.max(axis=2), colour.min(axis=2)
    glowing = colour * three(np.clip((most - least) * 1.6 * most, 0, 1) + ramp(grey, 0.8, 1.0) * 0.4)
    bloom = 0.55 * picture.blur(glowing, 3.0) + 0.65 * picture.blur(glowing, 14.0)
    colour = 1 - (1 - colour) * (1 - np.clip(bloom * picture.between(0.55, 0.9), 0, 1))
    shadow = np.array([[0.03, 0.0, 0.055], [0.0, 0.02, 0.055], [0.04, 0.0, 0.04]], np.float32)
    lift = shadow[int(picture.rng.integers(3))] * three(ramp(grey, 0.45, 0.0))
    return finish(colour * three(vignette(picture, 0.5)) + lift + 0.012 * three(picture.texture("grain")))
