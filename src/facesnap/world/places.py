"""Places behind a portrait: rooms and outdoors, painted coarsely and put out of focus."""

from __future__ import annotations

import numpy as np

from facesnap.world.canvas import SIDE, Canvas, Colour, X, Y, lens_discs, mixed, skyline

_WOOD = np.array([112, 78, 52], np.float32)
_LEAF = np.array([72, 112, 48], np.float32)
_WARM = np.array([255, 206, 140], np.float32)


def _thing(rng: np.random.Generator) -> np.ndarray:
    """Colour of a piece of furniture, a car, a book: mostly muted, at times bright."""
    grey = rng.uniform(45, 215)
    return np.asarray(grey + rng.normal(0, 1, 3) * (34 if rng.random() < 0.25 else 15) * [1.0, 0.7, 1.0] + [9, 0, -9])


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
    canvas.glow(x, top, 0.22, _WARM, 0.42)
    canvas.shape([(x - 0.045, top - 0.11), (x + 0.045, top - 0.11), (x + 0.085, top + 0.03), (x - 0.085, top + 0.03)],
                 (255, 228, 178))  # fmt: skip


def _plant(rng: np.random.Generator, canvas: Canvas, x: float, floor: float) -> None:
    """A pot plant."""
    canvas.shape([(x - 0.05, floor - 0.12), (x + 0.05, floor - 0.12), (x + 0.035, floor), (x - 0.035, floor)],
                 (176, 116, 84))  # fmt: skip
    green = _LEAF * rng.uniform(0.6, 1.1)
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
                cover = _thing(rng) * [0.88, 0.72, 0.62]
                canvas.box(x, foot - step * rng.uniform(0.6, 0.9), min(x + wide, x1), foot, cover)
            x += wide + 0.002
        canvas.box(x0, foot - 0.012, x1, foot + 0.004, wood)


def living_room(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A wall with pictures, a window or a lamp, a sofa, a plant."""
    canvas, floor = _room(rng, colour)
    if rng.random() < 0.6:
        _pane(rng, canvas, rng.uniform(0.0, 0.7), rng.uniform(0.05, 0.15), rng.uniform(0.18, 0.3), rng.uniform(0.35, 0.5))
    for _ in range(int(rng.integers(1, 4))):
        x, y, wide = rng.uniform(0, 0.85), rng.uniform(0.08, 0.3), rng.uniform(0.1, 0.2)
        canvas.box(x, y, x + wide, y + wide * 1.2, (58, 46, 38))
        canvas.box(x + 0.012, y + 0.012, x + wide - 0.012, y + wide * 1.2 - 0.012, _thing(rng) * 0.6 + 80)
    sofa = _thing(rng)
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
        canvas.box(x + 0.01, desk - 0.14, x + 0.19, desk - 0.04, _thing(rng) * 0.5 + [70, 90, 115])
    _light(rng, canvas)
    return canvas.blurred(rng.uniform(0.012, 0.03))


def library(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Walls of books, with a passage or a lamp."""
    canvas, _ = _room(rng, colour, pale=0.3)
    gap = float(rng.uniform(0.1, 0.8))
    rows = int(rng.integers(4, 7))
    _shelves(rng, canvas, -0.02, gap, 0.0, 0.97, rows)
    _shelves(rng, canvas, gap + rng.uniform(0.08, 0.2), 1.02, 0.0, 0.97, rows)
    canvas.glow(gap + 0.05, 0.3, 0.3, _WARM, 0.25)
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
            canvas.box(x, shelf - rng.uniform(0.05, 0.11), x + 0.02, shelf, _thing(rng) * [0.9, 0.75, 0.5])
    canvas.box(0, rng.uniform(0.68, 0.75), 1, 1, _WOOD * rng.uniform(0.5, 0.9))
    canvas.dim(np.full((SIDE, SIDE), 0.72))
    lamps = [(float(x), float(rng.uniform(0.06, 0.25))) for x in rng.uniform(0.02, 0.98, int(rng.integers(2, 5)))]
    for x, y in lamps:
        canvas.glow(x, y + 0.05, 0.13, _WARM, 0.45)
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
            canvas.box(x, top - tall, x + rng.uniform(0.04, 0.09), top, _thing(rng))
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
        canvas.disc(x + wide * rng.random(), rng.uniform(0.45, 0.78), rng.uniform(0.04, 0.1), green * rng.uniform(0.7, 1.2))
    canvas.box(x - 0.02, 0.79, x + wide + 0.02, 0.84, (226, 222, 214))
    canvas.box(x + wide / 2 - 0.012, 0.05, x + wide / 2 + 0.012, 0.8, (232, 229, 222))
    cloth = _wall(colour, 0.4)
    for left, right in ((x - 0.14, x + 0.07), (x + wide - 0.07, x + wide + 0.14)):
        for k in range(5):
            a = left + (right - left) * k / 5
            canvas.box(a, 0.0, a + (right - left) / 5, 0.97, cloth * (0.78 + 0.22 * (k % 2)))
    canvas.glow(x + wide / 2, 0.4, 0.35, (70, 70, 66), 0.6)
    return canvas.blurred(rng.uniform(0.015, 0.035))


def _sky(rng: np.random.Generator, haze: float = 1.0) -> Canvas:
    """Sky by day, with a few clouds."""
    deep = rng.random()
    canvas = Canvas((84 + 62 * deep, 146 + 34 * deep, 208 + 18 * deep), (214, 228, 238))
    for _ in range(int(rng.integers(0, 8))):
        canvas.disc(rng.random(), rng.uniform(0.0, 0.35), rng.uniform(0.06, 0.2), (236, 241, 246), 0.3 * haze)
    return canvas


def _foliage(
    rng: np.random.Generator, canvas: Canvas, level: float, spread: float, count: int, green: np.ndarray
) -> None:
    """Crowns of trees from dark beneath to sunlit on top."""
    for k in range(count):
        light = k / count
        x, y = rng.uniform(-0.05, 1.05), level + spread * (rng.normal(0, 0.5) - light * 0.5)
        canvas.disc(x, y, rng.uniform(0.03, 0.09), green * (0.5 + 0.75 * light) * rng.uniform(0.85, 1.15))


def park(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Trees behind a lawn with sun spots between leaves."""
    canvas = _sky(rng)
    green = _LEAF * rng.uniform(0.75, 1.2) * [rng.uniform(0.8, 1.5), 1.0, 0.9]
    horizon = float(rng.uniform(0.5, 0.72))
    canvas.below(skyline(rng, horizon, 0.01, 3), green * 1.35, green * 0.95)
    _foliage(rng, canvas, horizon - 0.16, 0.2, 60, green)
    for _ in range(int(rng.integers(1, 4))):
        x, wide = rng.random(), rng.uniform(0.008, 0.02)
        canvas.box(x - wide, horizon - 0.22, x + wide, horizon + 0.03, (70, 54, 40))
    if rng.random() < 0.5:
        x = rng.random()
        canvas.shape([(x, horizon + 0.02), (x + 0.05, horizon + 0.02), (x + 0.5, 1), (x - 0.2, 1)], (190, 178, 156))
    picture = canvas.blurred(rng.uniform(0.018, 0.04))
    spots: list[Colour] = [(255, 246, 196), (226, 240, 190)]
    return lens_discs(rng, picture, int(rng.integers(0, 12)), spots, (0.015, 0.035), (0.1, 0.45))


def forest(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Trunks in shade, light through leaves."""
    green = _LEAF * rng.uniform(0.6, 1.0)
    canvas = Canvas(green * 1.3, green * 0.6)
    _foliage(rng, canvas, 0.35, 0.7, 60, green)
    for _ in range(int(rng.integers(4, 10))):
        x, wide = rng.random(), rng.uniform(0.008, 0.035)
        bark = np.array([74, 58, 44]) * rng.uniform(0.5, 1.2)
        canvas.shape([(x - wide * 0.8, 0), (x + wide * 0.8, 0), (x + wide, 0.9), (x - wide, 0.9)], bark)
    canvas.below(skyline(rng, 0.86, 0.02, 4), green * 0.8 + [20, 8, 0], green * 0.5 + [16, 8, 0])
    canvas.glow(rng.random(), 0.2, 0.25, (150, 160, 90), 0.6)
    spots: list[Colour] = [(230, 240, 170), (250, 250, 215)]
    picture = canvas.blurred(rng.uniform(0.018, 0.035))
    return lens_discs(rng, picture, int(rng.integers(6, 18)), spots, (0.015, 0.04), (0.0, 0.5))


def street(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Houses in perspective on both sides of a road by day, some parked cars."""
    canvas = _sky(rng)
    vanish = (float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.55, 0.66)))

    def towards(x: float, y: float, share: float) -> tuple[float, float]:
        return x + (vanish[0] - x) * share, y + (vanish[1] - y) * share

    canvas.below(np.full(SIDE, vanish[1], np.float32), (136, 134, 132), (104, 102, 102))
    for edge in (0.0, 1.0):
        for k in range(4, -1, -1):
            near, far = k * 0.16, k * 0.16 + 0.17
            top, foot = float(rng.uniform(-0.5, -0.05)), 1.08
            stone = np.array([176, 156, 136]) * rng.uniform(0.6, 1.15) * (0.9 if edge else 1.05) + rng.normal(0, 9, 3)
            canvas.shape([towards(edge, top, near), towards(edge, top, far), towards(edge, foot, far),
                          towards(edge, foot, near)], stone)  # fmt: skip
            for row in np.linspace(top + 0.15, 0.75, 5):
                for a in (0.03, 0.1):
                    canvas.shape([towards(edge, row, near + a), towards(edge, row, near + a + 0.04),
                                  towards(edge, row + 0.1, near + a + 0.04), towards(edge, row + 0.1, near + a)],
                                 np.array([92, 104, 118]) * rng.uniform(0.8, 1.3))  # fmt: skip
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0.1, 0.9), vanish[1] + rng.uniform(0.04, 0.12)
        paint = _thing(rng)
        canvas.disc(x, y - 0.02, 0.06, paint * 0.8, 0.7)
        canvas.box(x - 0.09, y - 0.01, x + 0.09, y + 0.05, paint)
    return canvas.blurred(rng.uniform(0.016, 0.035))


def beach(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Sky, sea with surf, sand."""
    canvas = _sky(rng)
    horizon = float(rng.uniform(0.42, 0.6))
    canvas.below(np.full(SIDE, horizon, np.float32), (52, 116, 158), (96, 178, 188))
    shore = skyline(rng, horizon + rng.uniform(0.14, 0.24), 0.02, 2) + rng.uniform(-0.15, 0.15) * (X[0] - 0.5)
    for shift in (-0.08, -0.045, 0.0):
        canvas.below(shore + shift - 0.018, (236, 242, 242), (150, 196, 200))
    canvas.below(shore, (198, 172, 130), (228, 206, 168))
    if rng.random() < 0.4:
        x = rng.uniform(0.05, 0.85)
        canvas.shape([(x, shore[0] - 0.06), (x + 0.2, shore[0] - 0.06), (x + 0.1, shore[0] - 0.16)], _thing(rng))
    return canvas.blurred(rng.uniform(0.008, 0.025))


def mountains(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Ranges one behind the other, paler and bluer with distance, some snow."""
    canvas = _sky(rng)
    far = np.array([158, 180, 206], np.float32)
    near = np.array([62, 84, 58], np.float32) * rng.uniform(0.7, 1.2)
    for k in range(4):
        share = k / 3
        line = skyline(rng, 0.32 + 0.15 * k, 0.09 - 0.015 * k, 4 + k) - 0.03 * np.abs(np.sin(X[0] * (9 + 5 * k) + k))
        rock = far * (1 - share) + near * share
        snow = np.array([238, 242, 248], np.float32) if k == 0 and rng.random() < 0.7 else rock * 1.1
        canvas.below(line, snow, rock * 0.95)
    return canvas.blurred(rng.uniform(0.006, 0.022))


def sunset(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A low sun over hills or water."""
    canvas = Canvas((74, 78, 128), (252, 176, 96))
    horizon = float(rng.uniform(0.6, 0.78))
    canvas.picture = mixed((70, 74, 128), (250, 170, 92), np.clip(Y / horizon, 0, 1) ** 1.3)
    for _ in range(int(rng.integers(2, 9))):
        canvas.disc(rng.random(), rng.uniform(0.1, horizon), rng.uniform(0.08, 0.25), (226, 132, 112), 0.12)
    x = float(rng.uniform(0.1, 0.9))
    canvas.glow(x, horizon - 0.06, 0.22, (130, 90, 40))
    canvas.disc(x, horizon - rng.uniform(0.02, 0.12), 0.05, (255, 244, 206))
    if rng.random() < 0.5:
        canvas.below(np.full(SIDE, horizon, np.float32), (196, 122, 84), (62, 60, 92))
        canvas.glow(x, horizon + 0.1, 0.06, (150, 100, 40))
    else:
        canvas.below(skyline(rng, horizon, 0.04, 4), (70, 50, 56), (34, 28, 36))
    return canvas.blurred(rng.uniform(0.01, 0.025))


def city_night(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Dark houses with lit windows, street lamps as discs."""
    canvas = Canvas((18, 22, 44), (52, 46, 62))
    for x in np.arange(-0.05, 1.0, 0.11):
        top, wide = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.09, 0.18))
        canvas.box(x, top, x + wide, 1, np.array([26, 28, 40]) * rng.uniform(0.6, 1.6))
        for y in np.arange(top + 0.03, 0.8, 0.075):
            for a in np.arange(x + 0.015, x + wide - 0.015, 0.04):
                if rng.random() < 0.4:
                    canvas.box(a, y, a + 0.024, y + 0.038, _WARM * rng.uniform(0.3, 1.0))
    canvas.below(np.full(SIDE, rng.uniform(0.8, 0.9), np.float32), (40, 38, 46), (24, 24, 30))
    picture = canvas.blurred(rng.uniform(0.02, 0.035))
    lamps: list[Colour] = [(255, 196, 112), (255, 226, 170), (255, 96, 72), (120, 190, 255), (130, 255, 170)]
    return lens_discs(rng, picture, int(rng.integers(12, 26)), lamps, (0.026, 0.06), (0.25, 0.95))


def bokeh(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Lights far out of focus before the colour's dark."""
    canvas = Canvas(colour * rng.uniform(0.25, 0.45) + 8, colour * rng.uniform(0.12, 0.3) + 5)
    for _ in range(5):
        canvas.glow(rng.random(), rng.random(), rng.uniform(0.1, 0.25), colour, rng.uniform(0.05, 0.25))
    tints: list[Colour] = [_WARM, 0.5 * colour + 0.5 * _WARM, np.minimum(colour * 1.4 + 40, 255)]
    return lens_discs(rng, canvas.picture, int(rng.integers(18, 40)), tints, (0.03, 0.08), (0.0, 1.0))
