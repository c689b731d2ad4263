from __future__ import annotations

import colorsys

import numpy as np
import pytest

from facesnap.world.backdrops.background import COLOURED, PAINTERS, SIZE, paint
from facesnap.world.palette import COLOURS

_CHROMATIC = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")


@pytest.mark.parametrize("kind", list(PAINTERS))
def test_pictures_are_whole_seeded_and_varied(kind):
    first = paint(kind, "teal", 3)
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, paint(kind, "teal", 3))
    assert not np.array_equal(first, paint(kind, "teal", 4))


@pytest.mark.parametrize("kind", COLOURED)
@pytest.mark.parametrize("colour", _CHROMATIC)
def test_backdrops_have_the_colour_that_is_named(kind, colour):
    named = colorsys.rgb_to_hsv(*(np.array(COLOURS[colour]) / 255))
    for seed in range(4):
        mean = paint(kind, colour, seed).reshape(-1, 3).mean(axis=0) / 255
        seen = colorsys.rgb_to_hsv(*mean)
        assert abs((seen[0] - named[0] + 0.5) % 1 - 0.5) < 0.035


@pytest.mark.parametrize("kind", COLOURED)
def test_backdrops_keep_black_dark_and_white_light(kind):
    for seed in range(4):
        assert paint(kind, "black", seed).mean() < 60
        assert paint(kind, "white", seed).mean() > 125


@pytest.mark.parametrize("kind", [kind for kind in PAINTERS if kind not in COLOURED])
def test_places_are_smooth_pictures_of_something(kind):
    """Out of focus: neighbours differ little, distant parts much; no flat picture."""
    for seed in range(3):
        grey = paint(kind, "blue", seed).astype(float).mean(axis=2)
        assert np.abs(np.diff(grey, axis=1)).mean() < 6.0
        assert grey.std() > 8.0


def test_night_is_darker_than_day():
    def light(kind: str) -> float:
        return float(np.mean([paint(kind, "grey", seed).mean() for seed in range(6)]))

    assert light("city night") < 0.5 * light("beach")
    assert light("cafe") < light("office")
