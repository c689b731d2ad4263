"""Garments: layers of cloth over the torso's mesh, their cuts, patterns and sewn-on pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facesnap.world.clothes.folds import FOLD_VARIANTS
from facesnap.world.clothes.torso import SHADING_PIECES
from facesnap.world.palette import linear

#: Names of cloth.frag's patterns, in its numbering.
PATTERNS = (
    "plain", "stripes", "check", "dots", "floral", "rib knit", "denim", "pinstripe", "tweed", "cable knit", "argyle",
)  # fmt: skip
#: Names of cloth.frag's details of the trunk, in its numbering.
DETAILS = ("none", "buttons", "zip", "denim jacket", "blazer")


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
        """What cloth.frag is compiled with for this layer, between semicolons."""
        return f"PATTERN {PATTERNS.index(self.pattern)};DETAIL {DETAILS.index(self.detail)}"


_CREW = (-15.4, -11.3, -10.0)
_SHIRT, _GAP = (-14.9, -11.0, -9.4), (-16.6, 1.8)
_INNER_SHIRT = Layer(_SHIRT, ("tucked collar",), 0.35, cut=_GAP, detail="buttons", swap=True, folds=0.5, body="front")
_INNER_TEE = Layer(_CREW, ("crew",), 0.3, swap=True, folds=0.5, body="front")

#: Garment -> layers, the outermost first (so that what it hides is never shaded).
GARMENTS: dict[str, tuple[Layer, ...]] = {
    "t-shirt": (Layer(_CREW, ("crew",)),),
    "v-neck top": (Layer((-14.6, -11.6, -10.4), cut=(-19.6, 1.35), band=0.9, folds=1.1),),
    "shirt": (Layer(_SHIRT, ("collar",), cut=_GAP, detail="buttons", folds=0.85, sheen=0.12),),
    "checked shirt": (Layer(_SHIRT, ("collar",), cut=_GAP, detail="buttons", pattern="check", folds=0.75, sheen=0.12),),
    "striped shirt": (Layer(_SHIRT, ("collar",), cut=_GAP, detail="buttons", pattern="pinstripe", sheen=0.12),),
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
    "floral dress": (Layer((-17.6, -12.6, -12.4), pattern="floral", band=0.5, folds=1.1),),
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
        "u_neckline": layer.neckline, "u_cut": layer.cut or NO_CUT, "u_band": layer.band,
        "u_depth_of_folds": layer.folds,
        "u_sheen": layer.sheen, "u_shading_pieces": tuple(float(name in layer.pieces) for name in SHADING_PIECES),
        "u_fold_variant": float(variant % FOLD_VARIANTS),
    }  # fmt: skip
