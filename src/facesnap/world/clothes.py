"""Garments: layers of cloth over the torso's mesh, their cuts, patterns and sewn-on pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facesnap.world.palette import linear
from facesnap.world.torso import SHADING_PIECES, Torso

__all__ = ["GARMENTS", "PATTERNS", "COLOURS_OF", "Layer", "Torso", "layer_uniforms"]

#: Names of cloth.frag's patterns, in its numbering.
PATTERNS = (
    "plain", "stripes", "check", "dots", "floral", "rib knit", "denim", "pinstripe", "tweed", "cable knit", "argyle",
)  # fmt: skip
#: Names of cloth.frag's details of the trunk, in its numbering.
DETAILS = ("none", "buttons", "zip", "denim jacket", "blazer", "bound edge")


@dataclass(frozen=True)
class Layer:
    """One layer of a garment; lengths in cm of the rest head's model space.

    ``neckline``: height of the cut at front, sides, back. ``cut``: a V in the neckline as (height of its tip,
    rise per cm sideways), or none. ``swap``: the layer's main colour is the garment's second colour.
    ``folds``: depth of the folds, 1 is a soft jersey. ``sheen``: light that fibres catch at grazing angles.
    ``body``: the piece of the torso below the sewn-on ones, "trunk" or "front".
    """

    neckline: tuple[float, float, float]
    pieces: tuple[str, ...] = ()
    offset: float = 0.4
    cut: tuple[float, float] | None = None
    band: float = 0.0
    pattern: str = "plain"
    detail: str = "none"
    swap: bool = False
    folds: float = 1.0
    sheen: float = 0.25
    body: str = "trunk"

    @property
    def defines(self) -> str:
        """What cloth.frag is compiled with for this layer."""
        return f"#define PATTERN {PATTERNS.index(self.pattern)}\n#define DETAIL {DETAILS.index(self.detail)}\n"


_CREW = (-15.4, -11.3, -10.0)
_SHIRT, _GAP = (-14.9, -11.0, -9.4), (-16.6, 1.8)
_INNER_SHIRT = Layer(_SHIRT, ("tucked collar",), 0.35, cut=_GAP, detail="buttons", swap=True, folds=0.5, body="front")
_INNER_TEE = Layer(_CREW, ("crew",), 0.3, swap=True, folds=0.5, body="front")

#: Garment -> layers, the outermost first (so that what it hides is never shaded).
GARMENTS: dict[str, tuple[Layer, ...]] = {
    "t-shirt": (Layer(_CREW, ("crew",)),),
    "v-neck top": (Layer((-14.6, -11.6, -10.4), cut=(-19.6, 1.35), band=0.9, detail="bound edge", folds=1.1),),
    "shirt": (Layer(_SHIRT, ("collar",), cut=_GAP, detail="buttons", folds=0.85, sheen=0.12),),
    "checked shirt": (Layer(_SHIRT, ("collar",), cut=_GAP, detail="buttons", pattern="check", folds=0.75, sheen=0.12),),
    "striped shirt": (Layer(_SHIRT, ("collar",), cut=_GAP, detail="buttons", pattern="pinstripe", folds=0.8, sheen=0.12),),
    "striped jumper": (Layer(_CREW, ("crew",), 0.5, pattern="stripes", sheen=0.5),),
    "knitted jumper": (Layer(_CREW, ("crew",), 0.6, pattern="cable knit", folds=0.6, sheen=0.6),),
    "argyle jumper": (
        Layer((-14.2, -11.5, -10.2), (), 0.7, cut=(-21.5, 1.5), band=1.1, pattern="argyle", folds=0.6, sheen=0.5),
        _INNER_SHIRT,
    ),
    "turtleneck": (Layer((-14.6, -11.2, -10.0), ("turtleneck",), 0.45, pattern="rib knit", folds=0.8, sheen=0.45),),
    "hoodie": (Layer((-17.4, -11.9, -10.4), ("hood", "cords"), 0.75, detail="zip", folds=1.3, sheen=0.4), _INNER_TEE),
    "blazer": (
        Layer((-12.6, -10.8, -9.8), ("lapels",), 0.9, cut=(-31.0, 2.6), detail="blazer", pattern="tweed", folds=0.45),
        _INNER_SHIRT,
    ),
    "denim jacket": (
        Layer((-17.0, -11.6, -10.2), ("open collar",), 0.75, cut=(-40.0, 8.5), detail="denim jacket", pattern="denim",
              folds=0.7),
        _INNER_TEE,
    ),
    "floral dress": (Layer((-17.6, -12.6, -12.4), pattern="floral", band=0.5, detail="bound edge", folds=1.1),),
    "dotted blouse": (Layer(_SHIRT, ("open collar",), cut=(-21.0, 1.5), pattern="dots", folds=1.1),),
}  # fmt: skip
#: Garments that do not come in every colour.
COLOURS_OF: dict[str, tuple[str, ...]] = {
    "denim jacket": ("blue", "light blue", "navy", "black", "grey", "white"),
    "blazer": ("black", "grey", "navy", "blue", "brown", "beige", "dark green", "red", "white", "purple"),
}
NO_CUT = (100.0, 0.0)


def layer_uniforms(layer: Layer, cloth: tuple[float, ...], second: tuple[float, ...], variant: int) -> dict[str, Any]:
    """Uniforms of a layer for cloth.vert and cloth.frag; colours sRGB 0-255, ``variant`` picks the folds."""
    main, other = (second, cloth) if layer.swap else (cloth, second)
    return {
        "u_offset": layer.offset, "u_cloth": linear(main), "u_cloth_second": linear(other),
        "u_neckline": layer.neckline, "u_cut": layer.cut or NO_CUT, "u_band": layer.band, "u_depth_of_folds": layer.folds,
        "u_sheen": layer.sheen, "u_shading_pieces": tuple(float(name in layer.pieces) for name in SHADING_PIECES),
        "u_fold_variant": float(variant % FOLD_VARIANTS),
    }  # fmt: skip


FOLD_VARIANTS = 4
FOLD_WIDTH, FOLD_HEIGHT = 256, 192
#: Cloth coordinates that the map of folds covers: u from, to; v from, to (cm).
FOLD_WINDOW = (-32.0, 32.0, -34.0, -6.0)


def fold_map() -> np.ndarray:
    """Folds of the trunk's cloth (FOLD_VARIANTS * FOLD_HEIGHT, FOLD_WIDTH, 4) uint8.

    Channels: slope along u and v (0.5 is flat, a unit of 1 is a slope of 2), openness to the sky, fibre noise.
    """
    return np.concatenate([_folds(np.random.default_rng([5, k])) for k in range(FOLD_VARIANTS)])


def _folds(rng: np.random.Generator) -> np.ndarray:
    import cv2

    u0, u1, v0, v1 = FOLD_WINDOW
    v, u = np.meshgrid(np.linspace(v0, v1, FOLD_HEIGHT), np.linspace(u0, u1, FOLD_WIDTH), indexing="ij")

    def cloudy(sigma: float, amount: float) -> np.ndarray:
        field = cv2.GaussianBlur(rng.normal(size=u.shape).astype(np.float32), (0, 0), sigma)
        return np.asarray(amount * field / field.std())

    u, v = u + cloudy(14, 0.7), v + cloudy(14, 0.7)
    height = cloudy(10, 0.06)
    for side in (-1.0, 1.0):
        armpit, shoulder = np.array([side * 16.0, -27.0]), np.array([side * 16.5, -16.5])
        for _ in range(6):  # pulled from the armpit towards neck and chest
            to = np.array([side * rng.uniform(3, 12), rng.uniform(-27, -14)])
            height += _ridge(u, v, armpit + rng.normal(0, 1.0, 2), to, rng.uniform(0.5, 1.0), rng.uniform(0.12, 0.3))
        for _ in range(4):  # from the shoulder's point down the sleeve
            to = shoulder + [side * rng.uniform(2, 8), -rng.uniform(6, 16)]
            height += _ridge(u, v, shoulder + rng.normal(0, 1.2, 2), to, rng.uniform(0.5, 1.1), rng.uniform(0.1, 0.25))
    for _ in range(5):  # swags between the shoulders
        y, tilt = rng.uniform(-32, -19), rng.normal(0, 2.0)
        a, b = np.array([-rng.uniform(3, 12), y + tilt]), np.array([rng.uniform(3, 12), y - tilt])
        height += _ridge(u, v, a, b, rng.uniform(0.7, 1.5), rng.uniform(0.05, 0.14), sag=rng.uniform(0.5, 2.0))
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 1.2)
    slope_v, slope_u = np.gradient(height, (v1 - v0) / FOLD_HEIGHT, (u1 - u0) / FOLD_WIDTH)
    open_sky = 0.5 + 1.6 * (height - cv2.GaussianBlur(height, (0, 0), 9))
    fibre = 0.5 + 0.25 * rng.normal(size=u.shape)
    channels = np.stack([0.5 + slope_u / 2, 0.5 + slope_v / 2, open_sky, fibre], axis=-1)
    return np.asarray(np.clip(channels * 255, 0, 255).astype(np.uint8))


def _ridge(
    u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray, width: float, amount: float, sag: float = 0.6
) -> np.ndarray:
    """A fold from ``a`` to ``b``: a soft crest with a valley beside it, fading at both ends."""
    along = b - a
    length = float(np.hypot(*along))
    along = along / length
    s = ((u - a[0]) * along[0] + (v - a[1]) * along[1]) / length
    d = (v - a[1]) * along[0] - (u - a[0]) * along[1] + sag * 4 * s * (1 - s)
    fade = np.clip(1 - np.abs(2 * s - 1) ** 3, 0, 1)
    d = d / (width * (0.6 + 0.8 * np.clip(s, 0, 1)))
    return np.asarray(amount * fade * (np.exp(-d * d) - 0.7 * np.exp(-((d - 1.7) ** 2))))
