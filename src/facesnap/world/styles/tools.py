"""What the picture styles share: a picture with its masks, colour arithmetic, flow along structure, lines.

Lengths are in units of 1/256 of the side, so that a style looks the same at every size. A field is float32 (S, S);
colours are planes, float32 (3, S, S) RGB in [0, 1], because numpy spreads a field over planes without copies.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from facesnap.world.classes import CLOTHES, GLASSES, HAIR, OCCLUDER, SKIN
from facesnap.world.styles.textures import grid, texture

Field = np.ndarray
Planes = np.ndarray


class Picture:
    """A picture to restyle.

    Args:
        image: (S, S, 3) uint8 RGB.
        classes: (S, S) uint8 segmentation (numbers of :data:`facesnap.world.classes.CLASSES`).
        rng: the source of all that varies within a style.
    """

    def __init__(self, image: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> None:
        self.image, self.classes, self.rng = image, classes, rng
        self.side = len(image)
        self.unit = self.side / 256.0

    @cached_property
    def grey(self) -> Field:
        """Luma in [0, 1]."""
        return as_field(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY))

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
        """Gaussian blur of a field or of colours (S, S, 3) by so many units."""
        return blur(field, units * self.unit)

    def texture(self, kind: str) -> Field:
        """A texture (mean 0, deviation 1, read-only) at a place that the seed chooses."""
        y, x = (int(shift) for shift in self.rng.integers(0, self.side // 2, 2))
        return texture(kind, self.side)[y : y + self.side, x : x + self.side]

    def odd(self, units: float) -> int:
        """The odd number of pixels nearest to a length, at least 3: kernels of such sides don't shift a picture."""
        return max(3, round((units * self.unit - 1) / 2) * 2 + 1)

    def between(self, low: float, high: float) -> float:
        """A number drawn evenly."""
        return float(self.rng.uniform(low, high))

    def margin(self) -> Field:
        """Distance to the nearest side of the picture, in units."""
        x, y = grid(self.side)
        last = np.float32(self.side - 1)
        return np.asarray(np.minimum(np.minimum(x, last - x), np.minimum(y, last - y)) * np.float32(1 / self.unit))

    def boundaries(self, width: float) -> Field:
        """1 on borders between classes, ``width`` units wide, softened; glasses count as skin."""
        table = np.arange(256, dtype=np.uint8)
        table[GLASSES] = SKIN
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.odd(width), self.odd(width)))
        edge = cv2.morphologyEx(cv2.LUT(self.classes, table), cv2.MORPH_GRADIENT, kernel) > 0
        return self.blur(edge.astype(np.float32), 0.5)

    @cached_property
    def detail(self) -> Field:
        """1 where the person has fine things: eyes, brows, mouth, glasses."""
        fine = np.abs(self.grey - self.blur(self.grey, 2.2))
        return np.asarray(ramp(self.blur(fine, 2.0), 0.012, 0.045) * self.subject)


def blur(field: Field, pixels: float) -> Field:
    """Gaussian blur by ``pixels``; on a smaller picture where it is wide enough for that not to show."""
    if pixels < 0.2:
        return field
    side = field.shape[0]
    shrink = 8 if pixels > 20 else 4 if pixels > 8 else 2 if pixels > 2.5 else 1
    if shrink == 1 or side % shrink:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE))
    small = cv2.resize(field, (side // shrink, side // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), pixels / shrink, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR))


def as_field(pixels: np.ndarray) -> Field:
    """(S, S) uint8 to [0, 1]."""
    return np.asarray(np.multiply(pixels, np.float32(1 / 255), dtype=np.float32))


def planes(image: np.ndarray) -> Planes:
    """(S, S, 3) uint8 to colour planes (3, S, S) in [0, 1]."""
    out = np.empty((3, *image.shape[:2]), np.float32)
    for k in range(3):
        np.multiply(cv2.extractChannel(image, k), np.float32(1 / 255), out=out[k])
    return out


def luma(colour: Planes) -> Field:
    """Rec. 601 luma of colour planes."""
    return np.asarray(cv2.scaleAdd(colour[2], 0.114, cv2.addWeighted(colour[0], 0.299, colour[1], 0.587, 0)))


def tint(red: float, green: float, blue: float) -> Planes:
    """One colour, ready to be spread over planes: (3, 1, 1)."""
    return np.array([red, green, blue], np.float32)[:, None, None]


def ramp(field: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high`` (or the other way round), smooth between."""
    t = field * np.float32(1.0 / (high - low))
    t -= np.float32(low / (high - low))
    np.clip(t, 0, 1, out=t)
    curve = np.float32(3) - 2 * t
    curve *= t
    curve *= t
    return curve


def ridge(field: Field, centre: float, width: float) -> Field:
    """1 where ``field`` is ``centre``, falling as a Gaussian of deviation ``width`` / sqrt(2)."""
    t = field * np.float32(1 / width)
    t -= np.float32(centre / width)
    t *= -t
    return np.asarray(cv2.exp(np.maximum(t, np.float32(-20), out=t)))  # denormal numbers would be slow


def mix(first: np.ndarray, second: np.ndarray | float, amount: np.ndarray) -> np.ndarray:
    """``first`` where ``amount`` is 0, ``second`` where it is 1; fields or planes."""
    out = np.subtract(second, first, dtype=np.float32)
    out *= amount
    out += first
    return np.asarray(out)


def saturated(colour: Planes, amount: float) -> Planes:
    """Colours pulled away from their grey (or towards it) by a factor."""
    grey = luma(colour)
    out = colour * np.float32(amount)
    out += grey * np.float32(1 - amount)
    return out


def finish(colour: np.ndarray) -> np.ndarray:
    """Planes (3, S, S), or a field for grey, in [0, 1] to (S, S, 3) uint8; what lies outside is clipped."""
    fields = list(colour) if colour.ndim == 3 else [colour] * 3
    return np.asarray(cv2.merge([_pixels(field) for field in fields]))


def _pixels(field: Field) -> np.ndarray:
    return np.asarray(cv2.convertScaleAbs(np.maximum(field, 0), alpha=255.0))  # rounds and saturates


def through(field: Field, table: Field) -> Field:
    """A field in [0, 1] through a lookup table (256,) float32."""
    return np.asarray(cv2.LUT(_pixels(field), table))


def curve(*points: tuple[float, float]) -> Field:
    """A lookup table (256,) float32 through points (input, output) in [0, 1], smooth by Hermite pieces."""
    x, y = np.array(points).T
    slopes = np.gradient(y, x)
    t = np.linspace(0, 1, 256)
    i = np.clip(np.searchsorted(x, t, side="right") - 1, 0, len(x) - 2)
    h = x[i + 1] - x[i]
    u = (t - x[i]) / h
    rise = y[i] * (2 * u**3 - 3 * u**2 + 1) + y[i + 1] * (3 * u**2 - 2 * u**3)
    bend = h * (slopes[i] * (u**3 - 2 * u**2 + u) + slopes[i + 1] * (u**3 - u**2))
    return np.asarray(np.clip(rise + bend, 0, 1).astype(np.float32))


# --- structure ----------------------------------------------------------------------------------------------------


def axis(picture: Picture, reach: float, idle: float) -> Field:
    """Direction of the structure in [0, 2 pi): twice the angle of the structure tensor's minor axis.

    Where nothing happens within ``reach`` units it follows what is farther away, and at last ``idle`` (radians).
    Twice the angle, because an axis has no sign.
    """
    side, unit = picture.side, picture.unit / 2
    half = cv2.resize(picture.grey, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    half = blur(half, 0.8 * unit)
    gx, gy = cv2.Sobel(half, cv2.CV_32F, 1, 0), cv2.Sobel(half, cv2.CV_32F, 0, 1)
    gradient = cv2.merge([gy * gy - gx * gx, -2 * gx * gy])
    smooth = blur(gradient, reach * unit) + np.float32(0.08) * blur(gradient, 6 * reach * unit)
    full = cv2.resize(smooth, (side, side), interpolation=cv2.INTER_LINEAR)
    across: Field = cv2.extractChannel(full, 0)
    along: Field = cv2.extractChannel(full, 1)
    across += np.float32(1e-4 * np.cos(2 * idle))
    along += np.float32(1e-4 * np.sin(2 * idle))
    return np.asarray(cv2.phase(across, along))


def drag(field: Field, doubled: Field, pixels: float, rounds: int) -> Field:
    """Average along an :func:`axis`, symmetric (nothing moves); each round reaches 2.5 times as far as the last."""
    x, y = grid(len(field))
    dx, dy = cv2.polarToCart(np.full_like(doubled, pixels), doubled * np.float32(0.5))
    for _ in range(rounds):
        ahead: Field = cv2.remap(field, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        behind: Field = cv2.remap(field, x - dx, y - dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        ahead += behind
        ahead += field
        ahead *= np.float32(1 / 3)
        dx, dy, field = dx * np.float32(2.5), dy * np.float32(2.5), ahead
    return field


def facets(image: np.ndarray, radius: int) -> np.ndarray:
    """Each pixel takes the mean of the calmest of 8 windows about it: edges stay, texture goes. (S, S, 3) uint8.

    ``radius`` (pixels, >= 1): how far the windows' middles lie from the pixel; a window is about as wide.

    M. Kuwahara et al., 1976, with eight windows instead of four, which leaves fewer square artefacts.
    """
    window = (2 * (radius // 2) + 1,) * 2
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    spread: Field = cv2.blur(grey * grey, window, borderType=cv2.BORDER_REPLICATE)
    spread -= cv2.blur(grey, window, borderType=cv2.BORDER_REPLICATE) ** 2
    mean = cv2.blur(image, window, borderType=cv2.BORDER_REPLICATE)
    mean, spread = (cv2.copyMakeBorder(a, *(radius,) * 4, cv2.BORDER_REPLICATE) for a in (mean, spread))
    size, slant = len(image), max(1, round(radius * 0.71))
    steps = [(radius, 0), (0, radius), (slant, slant), (slant, -slant)]
    best, least = None, None
    for dy, dx in steps + [(-dy, -dx) for dy, dx in steps]:
        part = np.s_[radius + dy : radius + dy + size, radius + dx : radius + dx + size]
        if best is None or least is None:
            best, least = mean[part].copy(), spread[part].copy()
            continue
        cv2.copyTo(mean[part], (spread[part] < least).view(np.uint8), best)
        np.minimum(least, spread[part], out=least)
    return np.asarray(best)


def lines(picture: Picture, width: float) -> Field:
    """How much darker a place is than what lies about it: >= 0, about 0.02 to 0.2 on lines ``width`` units wide."""
    grey = picture.grey
    dark = picture.blur(grey, width * 0.9)
    dark *= np.float32(0.97)
    dark -= picture.blur(grey, width * 0.5)
    return np.asarray(np.maximum(dark, 0, out=dark))
