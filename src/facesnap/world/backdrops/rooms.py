"""Rooms behind a portrait, painted coarsely and put out of focus."""

from __future__ import annotations

import numpy as np

from facesnap.world.backdrops.canvas import LEAF, SIDE, WARM, Canvas, X, Y, thing

_WOOD = np.array([112, 78, 52], np.float32)


def _wall(colour: np.ndarray, pale: float) -> np.ndarray:
    """A wall's paint: the colour, paler, as rooms have it."""
    return np.asarray(colour * (1 - pale) + np.array([224, 216, 204], np.float32) * pale)


def _room(rng: np.random.Generator, colour: np.ndarray, pale: float = 0.6) -> tuple[Canvas, float]:
    """A lit wall above a floor; returns the canvas and the floor's height."""
    wall = _wall(colour, pale)
    canvas = Canvas(wall * 0.95, wall * 0.82)
    floor = float(rng.uniform(0.74, 0.95))
    boards = _WOOD * rng.uniform(0.6, 1.25)
    canvas.below(np.full(SIDE, floor, np.float32), boards * 0.75, boards)
    canvas.box(0, floor - 0.025, 1, floor, wall * 1.05)
    if rng.random() < 0.5:  # the corner of two walls: one is in its own shade
        corner = float(rng.uniform(0.1, 0.9))
        side = np.where(corner < X if rng.random() < 0.5 else corner > X, 0.80, 1.0)
        canvas.dim(np.where(floor > Y, side, 1.0))
    return canvas, floor


def _light(rng: np.random.Generator, canvas: Canvas) -> None:
    """Daylight from one side, dimmer towards the other."""
    side = rng.choice([-1.0, 1.0])
    canvas.dim(0.86 + 0.28 * (0.5 + side * (X - 0.5)) - 0.14 * Y)


def _pane(rng: np.random.Generator, canvas: Canvas, x: float, y: float, wide: float, tall: float) -> None:
    """A window: sky above foliage or houses, a frame with bars, and its light on the wall."""
    canvas.glow(x + wide / 2, y + tall / 2, 0.28, (60, 58, 52))
    frame = np.array([236, 233, 226], np.float32) * rng.uniform(0.8, 1.0)
    canvas.box(x - 0.02, y - 0.02, x + wide + 0.02, y + tall + 0.03, frame)
    canvas.box(x, y, x + wide, y + tall, (236, 244, 252))
    canvas.box(x, y + tall * rng.uniform(0.5, 0.75), x + wide, y + tall, (172, 190, 160))
    for k in range(1, int(rng.integers(2, 4))):
        canvas.box(x + wide * k / 3 - 0.006, y, x + wide * k / 3 + 0.006, y + tall, frame * 0.9)


def _lamp(rng: np.random.Generator, canvas: Canvas, x: float, floor: float) -> None:
    """A standing lamp that is on."""
    top = float(rng.uniform(0.22, 0.42))
    canvas.box(x - 0.006, top, x + 0.006, floor, (70, 58, 48))
    canvas.glow(x, top, 0.22, WARM, 0.42)
    canvas.shape([(x - 0.045, top - 0.11), (x + 0.045, top - 0.11), (x + 0.085, top + 0.03), (x - 0.085, top + 0.03)],
                 (255, 228, 178))  # fmt: skip


def _plant(rng: np.random.Generator, canvas: Canvas, x: float, floor: float) -> None:
    """A pot plant."""
    canvas.shape([(x - 0.05, floor - 0.12), (x + 0.05, floor - 0.12), (x + 0.035, floor), (x - 0.035, floor)],
                 (176, 116, 84))  # fmt: skip
    green = LEAF * rng.uniform(0.6, 1.1)
    for _ in range(16):
        canvas.disc(x + rng.normal(0, 0.05), floor - 0.2 - abs(rng.normal(0, 0.1)), rng.uniform(0.02, 0.045),
                    green * rng.uniform(0.6, 1.3), 0.6)  # fmt: skip


def _shelves(rng: np.random.Generator, canvas: Canvas, x0: float, x1: float, y0: float, y1: float, rows: int) -> None:
    """A bookcase with books of many colours."""
    wood = _WOOD * rng.uniform(0.5, 1.2)
    canvas.box(x0, y0, x1, y1, wood * 0.45)
    step = (y1 - y0) / rows
    for row in range(rows):
        foot = y0 + (row + 1) * step
        x = x0 + 0.01
        while x < x1 - 0.02:
            wide = float(rng.uniform(0.018, 0.05))
            if rng.random() < 0.9:
                cover = thing(rng) * [0.88, 0.72, 0.62]
                canvas.box(x, foot - step * rng.uniform(0.6, 0.9), min(x + wide, x1), foot, cover)
            x += wide + 0.002
        canvas.box(x0, foot - 0.012, x1, foot + 0.004, wood)


def living_room(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A wall with pictures, a window or a lamp, a sofa, a plant."""
    canvas, floor = _room(rng, colour)
    if rng.random() < 0.6:
        _pane(
            rng, canvas, rng.uniform(0.0, 0.7), rng.uniform(0.05, 0.15), rng.uniform(0.18, 0.3), rng.uniform(0.35, 0.5)
        )
    for _ in range(int(rng.integers(1, 4))):
        x, y, wide = rng.uniform(0, 0.85), rng.uniform(0.08, 0.3), rng.uniform(0.1, 0.2)
        canvas.box(x, y, x + wide, y + wide * 1.2, (58, 46, 38))
        canvas.box(x + 0.012, y + 0.012, x + wide - 0.012, y + wide * 1.2 - 0.012, thing(rng) * 0.6 + 80)
    sofa = thing(rng)
    left = float(rng.uniform(-0.3, 0.4))
    canvas.box(left, floor - 0.24, left + 0.75, floor + 0.08, sofa * 0.9)
    for k in range(3):
        canvas.box(left + 0.03 + 0.24 * k, floor - 0.19, left + 0.25 + 0.24 * k, floor - 0.02, sofa)
    _lamp(rng, canvas, rng.uniform(0.05, 0.95), floor)
    if rng.random() < 0.6:
        _plant(rng, canvas, rng.uniform(0.05, 0.95), floor + 0.05)
    _light(rng, canvas)
    return canvas.blurred(rng.uniform(0.012, 0.035))


def office(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A bright room with blinds, ceiling lights, screens on desks."""
    canvas, floor = _room(rng, colour, pale=0.8)
    left = float(rng.uniform(-0.1, 0.3))
    for k in range(3):
        _pane(rng, canvas, left + 0.3 * k, 0.12, 0.25, 0.42)
    for y in np.arange(0.13, rng.uniform(0.15, 0.45), 0.022):
        canvas.box(left, y, left + 0.85, y + 0.009, (214, 214, 210))
    canvas.box(0, 0, 1, 0.07, (226, 227, 226))
    for x in (0.15, 0.55, 0.9):
        canvas.box(x + rng.uniform(-0.05, 0.05), 0.015, x + 0.18, 0.045, (255, 255, 250))
    desk = floor - 0.1
    canvas.box(0, desk, 1, desk + 0.035, (206, 196, 180))
    for _ in range(int(rng.integers(2, 4))):
        x = float(rng.uniform(0, 0.85))
        canvas.box(x, desk - 0.15, x + 0.2, desk - 0.03, (38, 40, 44))
        canvas.box(x + 0.01, desk - 0.14, x + 0.19, desk - 0.04, thing(rng) * 0.5 + [70, 90, 115])
    _light(rng, canvas)
    return canvas.blurred(rng.uniform(0.012, 0.03))


def library(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Walls of books, with a passage or a lamp."""
    canvas, _ = _room(rng, colour, pale=0.3)
    gap = float(rng.uniform(0.1, 0.8))
    rows = int(rng.integers(4, 7))
    _shelves(rng, canvas, -0.02, gap, 0.0, 0.97, rows)
    _shelves(rng, canvas, gap + rng.uniform(0.08, 0.2), 1.02, 0.0, 0.97, rows)
    canvas.glow(gap + 0.05, 0.3, 0.3, WARM, 0.25)
    _light(rng, canvas)
    return canvas.blurred(rng.uniform(0.012, 0.03))


def cafe(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Warm and dim: a counter with a blackboard, bottles on a shelf, hanging lamps."""
    canvas, _ = _room(rng, colour * 0.5 + _WOOD * 0.5, pale=0.15)
    canvas.box(rng.uniform(0, 0.5), 0.12, rng.uniform(0.6, 1.0), 0.36, (40, 42, 40))
    shelf = float(rng.uniform(0.46, 0.54))
    canvas.box(0, shelf, 1, shelf + 0.02, _WOOD * 0.7)
    for x in np.arange(0.0, 1.0, 0.035):
        if rng.random() < 0.75:
            canvas.box(x, shelf - rng.uniform(0.05, 0.11), x + 0.02, shelf, thing(rng) * [0.9, 0.75, 0.5])
    canvas.box(0, rng.uniform(0.68, 0.75), 1, 1, _WOOD * rng.uniform(0.5, 0.9))
    canvas.dim(np.full((SIDE, SIDE), 0.72))
    lamps = [(float(x), float(rng.uniform(0.06, 0.25))) for x in rng.uniform(0.02, 0.98, int(rng.integers(2, 5)))]
    for x, y in lamps:
        canvas.glow(x, y + 0.05, 0.13, WARM, 0.45)
        canvas.disc(x, y, 0.028, (255, 240, 205))
    return canvas.blurred(rng.uniform(0.014, 0.03))


def kitchen(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Cupboards over a tiled wall and a worktop."""
    canvas, _ = _room(rng, colour, pale=0.75)
    front = _wall(colour, 0.45)
    edge = float(rng.uniform(0.28, 0.38))
    for x in np.arange(-0.05, 1.0, 0.24):
        canvas.box(x, 0.0, x + 0.23, edge, front * rng.uniform(0.93, 1.0))
        canvas.box(x + 0.19, edge - 0.09, x + 0.2, edge - 0.03, (150, 150, 150))
    if rng.random() < 0.6:
        _pane(rng, canvas, rng.uniform(0.1, 0.6), 0.08, 0.3, 0.4)
    top = float(rng.uniform(0.66, 0.74))
    for x in np.arange(0.05, 0.95, 0.13):
        if rng.random() < 0.6:
            tall = rng.uniform(0.06, 0.16)
            canvas.box(x, top - tall, x + rng.uniform(0.04, 0.09), top, thing(rng))
    canvas.box(0, top, 1, top + 0.03, (92, 84, 78))
    canvas.box(0, top + 0.03, 1, 1, front * 0.88)
    _light(rng, canvas)
    return canvas.blurred(rng.uniform(0.012, 0.03))


def window(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A large window with curtains, the garden behind it bright."""
    canvas, _ = _room(rng, colour)
    x, wide = float(rng.uniform(-0.05, 0.35)), float(rng.uniform(0.5, 0.75))
    canvas.box(x - 0.02, 0.03, x + wide + 0.02, 0.82, (238, 235, 228))
    canvas.box(x, 0.05, x + wide, 0.79, (238, 245, 252))
    green = np.array([150, 182, 116], np.float32) * rng.uniform(0.8, 1.1)
    for _ in range(14):
        canvas.disc(
            x + wide * rng.random(), rng.uniform(0.45, 0.78), rng.uniform(0.04, 0.1), green * rng.uniform(0.7, 1.2)
        )
    canvas.box(x - 0.02, 0.79, x + wide + 0.02, 0.84, (226, 222, 214))
    canvas.box(x + wide / 2 - 0.012, 0.05, x + wide / 2 + 0.012, 0.8, (232, 229, 222))
    cloth = _wall(colour, 0.4)
    for left, right in ((x - 0.14, x + 0.07), (x + wide - 0.07, x + wide + 0.14)):
        for k in range(5):
            a = left + (right - left) * k / 5
            canvas.box(a, 0.0, a + (right - left) / 5, 0.97, cloth * (0.78 + 0.22 * (k % 2)))
    canvas.glow(x + wide / 2, 0.4, 0.35, (70, 70, 66), 0.6)
    return canvas.blurred(rng.uniform(0.015, 0.035))
