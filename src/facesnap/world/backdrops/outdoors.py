"""Places outdoors behind a portrait, painted coarsely and put out of focus."""

from __future__ import annotations

import numpy as np

from facesnap.world.backdrops.canvas import LEAF, SIDE, WARM, Canvas, Colour, X, Y, lens_discs, mixed, skyline, thing


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
    green = LEAF * rng.uniform(0.75, 1.2) * [rng.uniform(0.8, 1.5), 1.0, 0.9]
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
    green = LEAF * rng.uniform(0.6, 1.0)
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
        paint = thing(rng)
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
        canvas.shape([(x, shore[0] - 0.06), (x + 0.2, shore[0] - 0.06), (x + 0.1, shore[0] - 0.16)], thing(rng))
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
                    canvas.box(a, y, a + 0.024, y + 0.038, WARM * rng.uniform(0.3, 1.0))
    canvas.below(np.full(SIDE, rng.uniform(0.8, 0.9), np.float32), (40, 38, 46), (24, 24, 30))
    picture = canvas.blurred(rng.uniform(0.02, 0.035))
    lamps: list[Colour] = [(255, 196, 112), (255, 226, 170), (255, 96, 72), (120, 190, 255), (130, 255, 170)]
    return lens_discs(rng, picture, int(rng.integers(12, 26)), lamps, (0.026, 0.06), (0.25, 0.95))


def bokeh(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Lights far out of focus before the colour's dark."""
    canvas = Canvas(colour * rng.uniform(0.25, 0.45) + 8, colour * rng.uniform(0.12, 0.3) + 5)
    for _ in range(5):
        canvas.glow(rng.random(), rng.random(), rng.uniform(0.1, 0.25), colour, rng.uniform(0.05, 0.25))
    tints: list[Colour] = [WARM, 0.5 * colour + 0.5 * WARM, np.minimum(colour * 1.4 + 40, 255)]
    return lens_discs(rng, canvas.picture, int(rng.integers(18, 40)), tints, (0.03, 0.08), (0.0, 1.0))
