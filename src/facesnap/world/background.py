"""Backgrounds as small pictures: plain, gradient, blurred room, bokeh, outdoors."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

#: Everyday colour names of plain backgrounds and clothes, sRGB.
COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (232, 232, 228), "light grey": (186, 188, 190), "grey": (128, 130, 134), "black": (30, 30, 33),
    "red": (178, 44, 46), "orange": (220, 122, 44), "yellow": (226, 190, 62), "green": (62, 130, 74),
    "dark green": (34, 72, 52), "teal": (38, 122, 126), "light blue": (142, 184, 218), "blue": (52, 92, 170),
    "navy": (32, 42, 82), "purple": (112, 70, 146), "pink": (226, 150, 170), "beige": (208, 188, 156),
    "brown": (112, 76, 50),
}  # fmt: skip
SIZE = 64


def _colour(name: str) -> np.ndarray:
    return np.array(COLOURS[name], np.float32)


def _plain(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    return np.tile(colour, (SIZE, SIZE, 1))


def _gradient(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    if rng.random() < 0.6:
        t = np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.2, 0.6)) / 0.9
    else:
        t = y * rng.uniform(0.6, 1.0) + x * rng.uniform(-0.3, 0.3)
    light, dark = np.minimum(colour * 1.25 + 12, 250), colour * rng.uniform(0.35, 0.6)
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(light * (1 - t) + dark * t)


def _room(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    picture = np.tile(colour * rng.uniform(0.75, 1.0), (SIZE, SIZE, 1)).astype(np.float32)
    floor = int(rng.integers(44, 60))
    picture[floor:] = np.array([120, 92, 66]) * rng.uniform(0.6, 1.2)
    for _ in range(int(rng.integers(4, 9))):
        x, y = rng.integers(-8, SIZE, 2)
        width, height = rng.integers(6, 26, 2)
        tint = rng.uniform(0.3, 1.2) * (0.5 * colour + 0.5 * rng.uniform(40, 220, 3))
        picture[max(0, y) : y + height, max(0, x) : x + width] = np.clip(tint, 0, 255)
    if rng.random() < 0.5:
        x = int(rng.integers(0, 50))
        picture[4:30, x : x + 14] = (246, 244, 232)
    return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(2.2, 4.0)))


def _bokeh(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    picture = np.tile(colour * 0.30, (SIZE, SIZE, 1)).astype(np.float32)
    for _ in range(int(rng.integers(10, 22))):
        layer = np.zeros((SIZE, SIZE, 3), np.float32)
        tint = 0.5 * colour + 0.5 * np.array([255, 220, 160]) * rng.uniform(0.5, 1.0)
        centre = tuple(int(v) for v in rng.integers(0, SIZE, 2))
        cv2.circle(layer, centre, int(rng.integers(3, 8)), tuple(float(v) for v in tint), -1, cv2.LINE_AA)
        picture += layer * rng.uniform(0.25, 0.7)
    return cv2.GaussianBlur(picture, (0, 0), 0.7)


def _outdoors(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    y = np.linspace(0, 1, SIZE)[:, None, None]
    sky = np.array([150, 192, 232]) * (1 - y) + np.array([226, 234, 240]) * y
    picture = np.tile(sky, (1, SIZE, 1)).astype(np.float32)
    horizon = int(rng.integers(24, 44))
    green = np.array([84, 124, 60]) * rng.uniform(0.7, 1.2)
    picture[horizon:] = green
    for _ in range(int(rng.integers(6, 14))):
        centre = (int(rng.integers(0, SIZE)), horizon + int(rng.integers(-10, 6)))
        shade = tuple(float(v) for v in green * rng.uniform(0.45, 1.1))
        cv2.circle(picture, centre, int(rng.integers(5, 13)), shade, -1)
    return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(2.0, 4.0)))


PAINTERS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "plain": _plain, "gradient": _gradient, "room": _room, "bokeh": _bokeh, "outdoors": _outdoors,
}  # fmt: skip


def paint(kind: str, colour: str, seed: int) -> np.ndarray:
    """A background (64, 64, 3) uint8, row 0 at the top."""
    picture = PAINTERS[kind](np.random.default_rng(seed), _colour(colour))
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)
