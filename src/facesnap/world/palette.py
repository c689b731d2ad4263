"""Colours and named choices that people and their conditions are sampled from (sRGB, 0-255)."""

from __future__ import annotations

import numpy as np

#: Skin from very pale to very dark.
SKIN: dict[str, tuple[int, int, int]] = {
    "very pale": (237, 197, 177), "pale": (231, 185, 160), "fair": (222, 175, 146), "olive": (203, 155, 117),
    "tan": (186, 134, 95), "brown": (152, 101, 68), "dark": (117, 75, 51), "very dark": (84, 53, 38),
}  # fmt: skip
EYES: dict[str, tuple[int, int, int]] = {
    "dark brown": (70, 42, 24), "brown": (105, 64, 32), "amber": (134, 86, 38), "hazel": (124, 104, 56),
    "green": (92, 124, 76), "blue": (86, 128, 172), "grey": (128, 140, 148),
}  # fmt: skip
#: Eye colours usual with pale and with dark skin.
LIGHT_EYES = ("amber", "hazel", "green", "blue", "grey")
DARK_EYES = ("dark brown", "brown", "amber")
HAIR: dict[str, tuple[int, int, int]] = {
    "black": (26, 22, 21), "dark brown": (58, 38, 27), "brown": (98, 64, 40), "auburn": (128, 62, 34),
    "ginger": (186, 96, 42), "dark blond": (158, 118, 70), "blond": (214, 178, 112), "grey": (150, 149, 147),
    "white": (218, 216, 210), "pink": (224, 112, 156), "blue": (62, 100, 190), "green": (62, 148, 92),
    "purple": (128, 76, 168), "red": (186, 34, 40),
}  # fmt: skip
#: Natural colours, of which the dark ones go with dark skin and the grey ones with age; and dyes.
DARK_HAIR, GREY_HAIR = ("black", "dark brown"), ("grey", "white")
NATURAL_HAIR = (*DARK_HAIR, "brown", "auburn", "ginger", "dark blond", "blond", *GREY_HAIR)
DYED_HAIR = ("pink", "blue", "green", "purple", "red")
LIPSTICK: dict[str, tuple[int, int, int]] = {
    "red": (178, 26, 38), "pink": (216, 92, 124), "dark": (104, 26, 44), "plum": (124, 44, 86),
}  # fmt: skip
EYESHADOW: dict[str, tuple[int, int, int]] = {
    "brown": (120, 84, 66), "blue": (74, 104, 170), "green": (82, 128, 98), "purple": (128, 86, 150),
    "dark": (58, 48, 52),
}  # fmt: skip
#: Clothes, scarves and plain backgrounds, by everyday names.
COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (232, 232, 228), "light grey": (186, 188, 190), "grey": (128, 130, 134), "black": (30, 30, 33),
    "red": (178, 44, 46), "orange": (220, 122, 44), "yellow": (226, 190, 62), "green": (62, 130, 74),
    "dark green": (34, 72, 52), "teal": (38, 122, 126), "light blue": (142, 184, 218), "blue": (52, 92, 170),
    "navy": (32, 42, 82), "purple": (112, 70, 146), "pink": (226, 150, 170), "beige": (208, 188, 156),
    "brown": (112, 76, 50),
}  # fmt: skip
#: Medical masks.
MASK_COLOURS: dict[str, tuple[int, int, int]] = {
    "light blue": (150, 196, 214), "white": (228, 230, 230), "black": (34, 34, 37), "pink": (226, 170, 180),
}  # fmt: skip
GLASSES: dict[str, tuple[int, int, int]] = {
    "black": (24, 24, 26), "silver": (172, 174, 178), "gold": (186, 148, 78), "red": (150, 32, 36),
    "brown": (92, 58, 36),
}  # fmt: skip


def linear(colour: tuple[float, ...] | np.ndarray) -> np.ndarray:
    """SRGB 0-255 -> linear (3,) f32 in [0, 1] (power 2.2)."""
    return np.asarray((np.clip(np.asarray(colour, np.float64), 0, 255) / 255.0) ** 2.2, dtype=np.float32)


def jitter(rng: np.random.Generator, colour: tuple[int, int, int], amount: float) -> tuple[float, float, float]:
    """Vary a colour: brightness by ``amount``, each channel by a third of it."""
    factor = (1 + rng.normal(0, amount)) * (1 + rng.normal(0, amount / 3, 3))
    r, g, b = np.clip(np.array(colour) * factor, 4, 250)
    return float(r), float(g), float(b)
