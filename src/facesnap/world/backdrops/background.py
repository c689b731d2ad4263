"""Backgrounds as small pictures: studio backdrops, rooms and places outdoors, out of focus as behind a portrait."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from facesnap.world.backdrops import outdoors, rooms
from facesnap.world.backdrops.canvas import SIDE, SIZE, X, Y, mixed
from facesnap.world.geometry import smoothstep
from facesnap.world.palette import COLOURS

__all__ = ["COLOURED", "PAINTERS", "SIZE", "paint"]


def _plain(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """An evenly lit wall: light falls off by a tenth towards one side."""
    fall = 1.0 + rng.uniform(-0.05, 0.05) * (X - 0.5) * 2 + rng.uniform(-0.05, 0.02) * (Y - 0.5) * 2
    return np.asarray(fall[..., None] * colour)


def _gradient(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """From a lighter to a darker tone of the colour."""
    angle = rng.uniform(-0.5, 0.5) + (np.pi if rng.random() < 0.2 else 0.0)
    t = 0.5 + (Y - 0.5) * np.cos(angle) + (X - 0.5) * np.sin(angle)
    return mixed(_tint(colour, 1.2), colour * rng.uniform(0.42, 0.62), smoothstep(0.0, 1.0, t))


def _studio(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A paper backdrop with a pool of light behind the person and a dark fringe."""
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.3, 0.6)
    distance = np.hypot((X - x) * rng.uniform(0.8, 1.1), Y - y) / rng.uniform(0.5, 0.8)
    pool = np.exp(-(distance**2))
    return mixed(colour * rng.uniform(0.3, 0.5), _tint(colour, rng.uniform(1.15, 1.35)), pool)


def _mottled(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A hand-painted canvas backdrop: soft clouds of the colour, darker at the corners."""
    cloud = np.zeros((SIDE, SIDE), np.float32)
    for cells, amount in ((4, 1.0), (8, 0.5), (16, 0.2)):
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        cloud += amount * cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    fringe = 1.0 - 0.45 * np.clip(np.hypot(X - 0.5, Y - 0.45) / 0.75, 0, 1) ** 2
    return np.asarray((fringe * (0.98 + 0.075 * cloud))[..., None] * colour)


def _tint(colour: np.ndarray, factor: float) -> np.ndarray:
    """The colour in more light: brighter, and a little paler where it clips."""
    return np.asarray(np.minimum(colour * factor + 10.0 * (factor - 1.0), 250.0))


#: Kind -> its painter: takes a generator and a colour (3,) f32 sRGB 0-255, returns a picture (H, H, 3) f32, row 0 at
#: the top, about 0-255 (lamps may go beyond, which :func:`paint` clips), H being SIDE or SIZE.
PAINTERS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "plain": _plain, "gradient": _gradient, "studio": _studio, "mottled": _mottled,
    "living room": rooms.living_room, "office": rooms.office, "library": rooms.library, "cafe": rooms.cafe,
    "kitchen": rooms.kitchen, "window": rooms.window, "park": outdoors.park, "forest": outdoors.forest,
    "street": outdoors.street, "beach": outdoors.beach, "mountains": outdoors.mountains, "sunset": outdoors.sunset,
    "city night": outdoors.city_night, "bokeh": outdoors.bokeh,
}  # fmt: skip
#: Those whose colour is named by ``background_colour``.
COLOURED = ("plain", "gradient", "studio", "mottled")


def paint(kind: str, colour: str, seed: int) -> np.ndarray:
    """A background (SIZE, SIZE, 3) uint8 sRGB, row 0 at the top.

    Args:
        kind: one of :data:`PAINTERS`.
        colour: one of :data:`facesnap.world.palette.COLOURS`. The kinds of :data:`COLOURED` have it, light and shade
            apart; rooms lean towards it with walls, curtains and cupboards, "bokeh" with its dark and its lamps; the
            other places don't use it.
        seed: everything else follows from it.
    """
    picture = PAINTERS[kind](np.random.default_rng(seed), np.array(COLOURS[colour], np.float32))
    picture = np.clip(picture, 0, 255).astype(np.float32)
    if len(picture) != SIZE:
        picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(picture), dtype=np.uint8)
