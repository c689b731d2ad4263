"""A small picture to paint places on: shapes, light and lens blur, sRGB float32 in 0-255."""

from __future__ import annotations

import cv2
import numpy as np

#: Side that places are painted at, and side of the finished background.
SIDE, SIZE = 96, 192
Colour = np.ndarray | tuple[float, ...]
#: Lamplight; leaves in daylight.
WARM = np.array([255, 206, 140], np.float32)
LEAF = np.array([72, 112, 48], np.float32)
_FRACTION = 4  # bits of a pixel's fraction in cv2's shapes
#: Height and breadth (SIDE, SIDE) f32 in [0, 1] of each pixel.
Y, X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / (SIDE - 1)


def mixed(one: Colour, two: Colour, share: np.ndarray) -> np.ndarray:
    """Between two colours by ``share`` (H, W) of the second: (H, W, 3)."""
    a, b = np.asarray(one, np.float32), np.asarray(two, np.float32)
    return np.asarray(a + (b - a) * share[..., None].astype(np.float32))


def thing(rng: np.random.Generator) -> np.ndarray:
    """Colour of a piece of furniture, a car, a book: mostly muted, at times bright."""
    grey = rng.uniform(45, 215)
    return np.asarray(grey + rng.normal(0, 1, 3) * (34 if rng.random() < 0.25 else 15) * [1.0, 0.7, 1.0] + [9, 0, -9])


class Canvas:
    """A picture (SIDE, SIDE, 3); coordinates are fractions of it, x to the right, y down."""

    def __init__(self, top: Colour, bottom: Colour) -> None:
        self.picture = mixed(top, bottom, Y)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def shape(self, corners: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon with smooth edges."""
        points = np.rint(np.array(corners) * SIDE * 2**_FRACTION).astype(np.int32)
        cv2.fillPoly(self.picture, [points], _scalar(colour), cv2.LINE_AA, _FRACTION)

    def disc(self, x: float, y: float, radius: float, colour: Colour, tall: float = 1.0) -> None:
        """Fill an ellipse, ``tall`` times as high as wide."""
        centre = (round(x * SIDE * 2**_FRACTION), round(y * SIDE * 2**_FRACTION))
        half = round(radius * SIDE * 2**_FRACTION)
        cv2.ellipse(
            self.picture, centre, (half, round(half * tall)), 0, 0, 360, _scalar(colour), -1, cv2.LINE_AA, _FRACTION
        )

    def below(self, line: np.ndarray, top: Colour, bottom: Colour) -> None:
        """Fill below a skyline (SIDE,) of heights, from ``top`` at it to ``bottom`` at the picture's foot."""
        depth = Y - line[None, :]
        cover = np.clip(depth * SIDE + 0.5, 0, 1)[..., None]
        share = np.clip(depth / np.maximum(1.0 - line[None, :], 0.05), 0, 1)
        self.picture += (mixed(top, bottom, share) - self.picture) * cover

    def glow(self, x: float, y: float, radius: float, colour: Colour, amount: float = 1.0) -> None:
        """Add light that falls off round a lamp."""
        light = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * radius**2))
        self.picture += (amount * light)[..., None] * np.asarray(colour, np.float32)

    def dim(self, factor: np.ndarray) -> None:
        """Multiply by light (SIDE, SIDE)."""
        self.picture *= factor[..., None].astype(np.float32)

    def blurred(self, radius: float) -> np.ndarray:
        """The picture out of focus: light (not sRGB) spread over ``radius`` (fraction of the side)."""
        light = (np.clip(self.picture, 0, 255) / 255.0) ** 2
        kernel = max(1, round(radius * SIDE * 0.8)) * 2 + 1
        for _ in range(2):
            light = cv2.blur(light, (kernel, kernel), borderType=cv2.BORDER_REFLECT_101)
        light = cv2.GaussianBlur(light, (0, 0), 0.8, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(np.sqrt(np.maximum(light, 0.0)) * 255.0)


def skyline(rng: np.random.Generator, level: float, rough: float, points: int) -> np.ndarray:
    """A smooth random line (SIDE,) about ``level``, of ``points`` hills and ``rough`` high."""
    knots = rng.normal(0, 1, points + 3).astype(np.float32)
    line = cv2.resize(knots[None], (SIDE, 1), interpolation=cv2.INTER_CUBIC)[0]
    return np.asarray(level + rough * line)


def lens_discs(
    rng: np.random.Generator, picture: np.ndarray, count: int, tints: list[Colour], radius: tuple[float, float],
    rows: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Add lamps far out of focus: even discs with a brighter rim on a picture scaled to SIZE."""
    picture = cv2.resize(picture.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    size = float(rng.uniform(*radius))
    for _ in range(count):
        r = size * rng.uniform(0.75, 1.15) * SIZE
        x, y = rng.uniform(-0.02, 1.02) * SIZE, rng.uniform(*rows) * SIZE
        x0, x1 = int(max(0, x - r - 2)), int(min(SIZE, x + r + 3))
        y0, y1 = int(max(0, y - r - 2)), int(min(SIZE, y + r + 3))
        if x1 <= x0 or y1 <= y0:
            continue
        yy, xx = np.ogrid[y0:y1, x0:x1]
        distance = np.sqrt((xx - x) ** 2 + (yy - y) ** 2).astype(np.float32)
        disc = np.clip(r - distance, 0, 1) * (0.78 + 0.22 * np.clip(distance / r, 0, 1) ** 4)
        tint = np.asarray(tints[int(rng.integers(len(tints)))], np.float32) * rng.uniform(0.25, 0.75)
        part = picture[y0:y1, x0:x1]
        part += disc[..., None] * tint * (1.0 - part / 270.0)
    return picture


def _scalar(colour: Colour) -> tuple[float, ...]:
    return tuple(float(v) for v in colour)
