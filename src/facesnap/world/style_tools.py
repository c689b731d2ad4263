"""What the picture styles share: a picture with its masks, tiling textures, flow along structure, smoothing, lines.

Lengths are in units of 1/256 of the side, so that a style looks the same at every size. Fields are float32 (S, S),
colours float32 (S, S, 3) RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

import cv2
import numpy as np

#: Classes of the segmentation.
BACKGROUND, SKIN, HAIR, CLOTHES, GLASSES, OCCLUDER = range(6)
Field = np.ndarray
#: Directions (multiples of 180/8 degrees) for which hatching is kept.
DIRECTIONS = 8


class Picture:
    """A picture to restyle.

    Args:
        image: (S, S, 3) uint8 RGB.
        classes: (S, S) uint8 segmentation.
        rng: the source of all that varies within a style.
    """

    def __init__(self, image: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> None:
        self.image, self.classes, self.rng = image, classes, rng
        self.side = len(image)
        self.unit = self.side / 256.0

    @cached_property
    def colour(self) -> Field:
        """(S, S, 3) in [0, 1]."""
        return np.asarray(self.image.astype(np.float32) * np.float32(1 / 255))

    @cached_property
    def grey(self) -> Field:
        """Luma in [0, 1]."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY).astype(np.float32) * np.float32(1 / 255))

    def mask(self, *kinds: int, soft: float = 0.7) -> Field:
        """1 where the class is one of ``kinds``, softened over ``soft`` units."""
        table = np.zeros(256, np.float32)
        table[list(kinds)] = 1.0
        return self.blur(cv2.LUT(self.classes, table), soft)

    @cached_property
    def subject(self) -> Field:
        """1 on the person, 0 on the background."""
        return self.mask(SKIN, HAIR, CLOTHES, GLASSES, OCCLUDER)

    def blur(self, field: Field, units: float) -> Field:
        """Gaussian blur; wide ones are made on a smaller picture, which looks the same and is quicker."""
        return blur(field, units * self.unit)

    def texture(self, kind: str) -> Field:
        """A tiling texture (mean 0, deviation 1) at a place that the seed chooses."""
        shift = self.rng.integers(0, self.side, 2)
        return np.roll(texture(kind, self.side), (int(shift[0]), int(shift[1])), (0, 1))

    def odd(self, units: float) -> int:
        """The odd number of pixels nearest to a length, at least 3: kernel sides that don't shift a picture."""
        return max(3, int(units * self.unit) // 2 * 2 + 1)

    def between(self, low: float, high: float) -> float:
        """A number drawn evenly."""
        return float(self.rng.uniform(low, high))

    def boundaries(self, *, width: float, together: tuple[int, ...] = ()) -> Field:
        """1 on borders between classes, ``width`` units wide, softened; classes ``together`` count as skin."""
        classes = self.classes
        if together:
            table = np.arange(256, dtype=np.uint8)
            table[list(together)] = SKIN
            classes = cv2.LUT(classes, table)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.odd(width), self.odd(width)))
        edge = cv2.morphologyEx(classes, cv2.MORPH_GRADIENT, kernel) > 0
        return self.blur(edge.astype(np.float32), 0.45)

    def outer(self, field: Field) -> Field:
        """The average of ``field`` over background alone, spread under the person: (S, S, 3)."""
        ground = three(1.0 - self.subject)
        spread, weight = self.blur(field * ground, 9.0), self.blur(ground, 9.0)
        far = cv2.mean(field, (self.classes == BACKGROUND).astype(np.uint8))[:3]
        return np.asarray((spread + np.array(far, np.float32) * 1e-2) / (weight + 1e-2))


def blur(field: Field, pixels: float) -> Field:
    """Gaussian blur by ``pixels``, on a half or quarter picture where that is wide enough not to show."""
    if pixels < 0.2:
        return field
    side = field.shape[0]
    shrink = 4 if pixels > 9 else 2 if pixels > 4 else 1
    if shrink == 1 or side % shrink:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE))
    small = cv2.resize(field, (side // shrink, side // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), pixels / shrink, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR))


def three(field: Field) -> Field:
    """A field (S, S) as three equal channels: much quicker than numpy's broadcasting over a last axis."""
    return np.asarray(cv2.merge([field, field, field]))


def ramp(field: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high`` (or the other way round), smooth between."""
    t = np.clip((field - np.float32(low)) * np.float32(1.0 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def mix(first: Field, second: Field, amount: Field) -> Field:
    """``first`` where ``amount`` (S, S) is 0, ``second`` where it is 1; colours (S, S, 3) or fields."""
    if first.ndim == 3 or second.ndim == 3:
        amount = three(amount)
    return np.asarray(first + (second - first) * amount)


def saturated(colour: Field, grey: Field, amount: float) -> Field:
    """Colours pulled from their grey by a factor."""
    centre = three(grey)
    return np.asarray(centre + (colour - centre) * np.float32(amount))


def finish(colour: Field) -> np.ndarray:
    """Colours or a field in [0, 1] to (S, S, 3) uint8."""
    pixels = cv2.convertScaleAbs(np.maximum(colour, 0), alpha=255.0)  # rounds and saturates
    return pixels if pixels.ndim == 3 else np.asarray(cv2.merge([pixels] * 3))


# --- textures -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=48)
def texture(kind: str, side: int) -> Field:
    """A texture (side, side) that tiles, mean 0, deviation 1; "hatch0" to "hatch7" run along 8 directions.

    Filtered noise: the filter is a function of the frequency (cycles per unit), so every size looks alike.
    """
    y, x = (f * side / 256 for f in (np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]))
    noise = np.random.default_rng(len(kind) * 1009 + side).standard_normal((side, side))
    if kind.startswith("hatch"):
        angle = np.pi * int(kind[5:]) / DIRECTIONS
        gain = _hatching(x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))
    else:
        gain = GAINS[kind](np.hypot(x, y))
    made = np.fft.irfft2(np.fft.rfft2(noise) * gain, s=(side, side))
    made -= made.mean()
    made = (made / made.std()).astype(np.float32)
    made.setflags(write=False)
    return np.asarray(made)


def _hatching(along: Field, across: Field) -> Field:
    """Lines about 40 units long, 2.6 units apart."""
    return np.asarray(np.exp(-((along * 26) ** 2)) * np.exp(-(((np.abs(across) - 0.30) / 0.13) ** 2)))


#: Frequency responses; frequencies in cycles per unit (0.5 is the finest of a 256 px picture).
GAINS: dict[str, Callable[[Field], Field]] = {
    "grain": lambda f: np.asarray(np.exp(-((f / 0.34) ** 2))),
    "tooth": lambda f: np.asarray(np.exp(-(((f - 0.26) / 0.12) ** 2))),
    "paper": lambda f: np.asarray(np.exp(-(((f - 0.13) / 0.075) ** 2))),
    "blotch": lambda f: np.asarray(np.exp(-(((f - 0.030) / 0.022) ** 2))),
    "clouds": lambda f: np.asarray(1.0 / (0.006 + f) ** 1.7 * np.exp(-((f / 0.2) ** 2)) * (f > 0)),
}


# --- structure ----------------------------------------------------------------------------------------------------


def flow(picture: Picture, grey: Field, reach: float, idle: float) -> tuple[Field, Field]:
    """Unit vectors (x, y) along the structure: the structure tensor's minor axis.

    Where nothing happens within ``reach`` units, the direction of what is farther away, and last ``idle`` (radians).
    """
    side = picture.side
    half = cv2.resize(grey, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    unit = picture.unit / 2
    half = blur(half, 0.8 * unit)
    gx, gy = cv2.Sobel(half, cv2.CV_32F, 1, 0), cv2.Sobel(half, cv2.CV_32F, 0, 1)
    double = np.array([np.cos(2 * idle + np.pi), np.sin(2 * idle + np.pi)]) * 1e-4  # an axis has no sign: angles twice
    axes = cv2.merge([gx * gx - gy * gy, 2 * gx * gy])
    axes = blur(axes, reach * unit) + 0.08 * blur(axes, 6 * reach * unit) + double.astype(np.float32)
    axes = cv2.resize(axes, (side, side), interpolation=cv2.INTER_LINEAR)
    angle = 0.5 * np.arctan2(axes[..., 1], axes[..., 0]) + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


@lru_cache(maxsize=8)
def grid(side: int) -> tuple[Field, Field]:
    """Pixel coordinates x, y."""
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    return x, y


def drag(field: Field, direction: tuple[Field, Field], pixels: float, doublings: int = 2) -> Field:
    """Average along a flow, symmetric (nothing moves): each doubling reaches 2.5 times as far as the one before."""
    x, y = grid(len(field))
    for _ in range(doublings):
        dx, dy = direction[0] * np.float32(pixels), direction[1] * np.float32(pixels)
        ahead = cv2.remap(field, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        behind = cv2.remap(field, x - dx, y - dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        field = (field + ahead + behind) * np.float32(1 / 3)
        pixels *= 2.5
    return field


def facets(colour: Field, radius: int) -> Field:
    """Kuwahara's filter: each pixel takes the mean of the calmest of the 8 windows about it; edges stay, texture goes.

    M. Kuwahara et al., 1976; eight overlapping windows instead of four leave fewer square artefacts.
    """
    side = 2 * radius // 2 * 2 + 1 if radius > 1 else 3
    mean = cv2.blur(colour, (side, side), borderType=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    spread = cv2.blur(grey * grey, (side, side), borderType=cv2.BORDER_REPLICATE)
    spread -= cv2.cvtColor(mean, cv2.COLOR_RGB2GRAY) ** 2
    pad = radius
    mean = cv2.copyMakeBorder(mean, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    spread = cv2.copyMakeBorder(spread, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    size, diagonal = len(colour), max(1, round(radius * 0.71))
    steps = [(0, radius), (0, -radius), (radius, 0), (-radius, 0)]
    steps += [(a, b) for a in (diagonal, -diagonal) for b in (diagonal, -diagonal)]
    best, least = None, None
    for dy, dx in steps:
        window = np.s_[pad + dy : pad + dy + size, pad + dx : pad + dx + size]
        here, value = spread[window], mean[window]
        if best is None or least is None:
            best, least = value.copy(), here.copy()
            continue
        cv2.copyTo(value, (here < least).view(np.uint8), best)
        np.minimum(least, here, out=least)
    return np.asarray(best)


def lines(picture: Picture, grey: Field, width: float, sharp: float = 0.96) -> Field:
    """How much darker a place is than what lies about it, >= 0 (difference of Gaussians, about 0.02 to 0.2 on lines).

    Args:
        picture: for its scale.
        grey: luma in [0, 1].
        width: of the lines that answer best, in units.
        sharp: share of the wide blur that is taken off; near 1 finds lines alone, lower also darkens dark areas.
    """
    narrow, wide = picture.blur(grey, width * 0.5), picture.blur(grey, width * 0.9)
    return np.maximum(wide * np.float32(sharp) - narrow, 0)
