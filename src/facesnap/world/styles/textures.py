"""Textures for the picture styles: grain, paper, clouds, hatching; made once for each side and kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

#: Directions, multiples of 180/8 degrees, for which hatching is kept.
DIRECTIONS = 8

Field = np.ndarray

#: Frequency responses; frequencies in cycles per unit (0.5 is the finest of a 256 px picture).
GAINS: dict[str, Callable[[Field], Field]] = {
    "grain": lambda f: np.asarray(np.exp(-((f / 0.36) ** 2))),
    "tooth": lambda f: np.asarray(np.exp(-(((f - 0.28) / 0.13) ** 2))),
    "paper": lambda f: np.asarray(np.exp(-(((f - 0.16) / 0.10) ** 2))),
    "blotch": lambda f: np.asarray(np.exp(-(((f - 0.030) / 0.022) ** 2))),
    "clouds": lambda f: np.asarray(1.0 / (0.006 + f) ** 1.7 * np.exp(-((f / 0.2) ** 2)) * (f > 0)),
    "swell": lambda f: np.asarray(np.exp(-(((f - 0.011) / 0.006) ** 2))),
}


@lru_cache(maxsize=32)
def texture(kind: str, side: int) -> Field:
    """A texture, mean 0, deviation 1, half as wide again as the picture; "hatch0" to "hatch7" run in 8 directions.

    Filtered noise; the filter depends on the frequency in cycles per unit, so that every size looks alike.
    """
    y, x = np.fft.fftfreq(side)[:, None] * side / 256, np.fft.rfftfreq(side)[None] * side / 256
    if kind.startswith("hatch"):
        angle = np.pi * int(kind[5:]) / DIRECTIONS
        gain = _hatching(x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))
    else:
        gain = GAINS[kind](np.hypot(x, y))
    noise = np.random.default_rng([*kind.encode(), side]).standard_normal((side, side))
    made = np.fft.irfft2(np.fft.rfft2(noise) * gain, s=(side, side))
    made = ((made - made.mean()) / made.std()).astype(np.float32)
    made = np.pad(made, ((0, side // 2), (0, side // 2)), mode="wrap")  # it tiles
    made.setflags(write=False)
    return made


def _hatching(along: Field, across: Field) -> Field:
    """Frequency response of lines about 3 units apart that run straight for some 30."""
    return np.asarray(np.exp(-((along * 34) ** 2)) * np.exp(-(((np.abs(across) - 0.29) / 0.10) ** 2)))


@lru_cache(maxsize=8)
def grid(side: int) -> tuple[Field, Field]:
    """Pixel coordinates x, y, each (S, S)."""
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    return x, y
