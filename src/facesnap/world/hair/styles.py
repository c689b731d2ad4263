"""The hair styles: the rules that :mod:`facesnap.world.hair.growth` follows, and how each style's variants differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

#: Variants that look different: odd ones are mirrored, the upper half takes the style's ``other`` rules.
VARIANTS = 4


@dataclass(frozen=True)
class Style:
    """Growth rules of one hair style; lengths in cm, heights in the model's coordinates."""

    length: float  #: on top
    sides: float | None = None  #: at sides and back, faded from the top; None = as on top
    nape: float | None = None  #: just above the neck; None = as at the sides
    strands: int = 2600
    segments: int = 8  #: steps in which it grows
    drawn: int = 0  #: segments that are drawn; 0 = all
    width: float = 0.075  #: half width of a strand
    lift: float = 0.3  #: how much strands leave along the normal
    flow: str = "crop"  #: crop, forward, back, part, fall, out, tie, rows
    part: float | None = None  #: x of the parting, subject's left positive; None = no parting
    pull: float = 0.35  #: how strongly a strand follows the flow
    gravity: float = 0.2
    volume: float = 1.0  #: how far from the head strands lie, cm
    ends: float = 0.0  #: how much tips turn inwards (positive) or outwards
    drape: float = 0.0  #: below the ears: forward over the shoulders (positive) or behind them
    clumps: int = 260  #: locks that strands gather to
    clump: float = 0.5  #: how far, 0..1
    mess: float = 0.12  #: random directions
    curl: float = 0.0  #: radius in cm
    turns: float = 2.0  #: curls or waves per strand
    wave: bool = False  #: swing to and fro instead of coiling
    start: float = 0.0  #: share of a strand, from its root, that lies hidden and isn't drawn
    twist: int = 0  #: ribbons twisted into one rope (2) or plaited (3); 0 = loose hair
    fringe: float = 0.4  #: how far hair may hang below the front hairline
    bangs: float = 0.0  #: length of hair that is combed over the forehead; 0 = none
    hem: float = 0.3  #: how far cropped hair may hang below the hairline at sides and back
    cut: float | None = None  #: height at which flowing hair ends
    ears: bool = False  #: may cover the ears
    tie: tuple[float, float] = (10.0, -9.4)  #: y and z of where tied hair is gathered
    tail: float = 0.0  #: length of a tied tail
    bun: float = 0.0  #: radius of a bun
    cover: float = 1.0  #: painted undercoat on the scalp
    fade: float = 0.0  #: how much the undercoat thins towards sides and nape
    recede: float = 0.0  #: cm that the hairline has moved up at the temples
    other: dict[str, Any] = field(default_factory=dict)  #: rules of variants 2 and 3


def variant_of(name: str, variant: int) -> tuple[Style, bool]:
    """Rules of a style's variant, and whether it is mirrored."""
    style = STYLES[name]
    return replace(style, **style.other) if variant % VARIANTS >= VARIANTS // 2 else style, variant % 2 == 1


STYLES: dict[str, Style] = {
    "bald": Style(length=0.0, strands=0, cover=0.0),
    "buzz cut": Style(
        length=0.5, sides=0.3, nape=0.2, strands=4200, segments=1, width=0.04, lift=0.7, gravity=0.0, volume=0.4,
        clump=0.0, mess=0.3, hem=0.0, cover=0.86, fade=0.35, other={"length": 0.8, "fade": 0.75, "cover": 0.9},
    ),
    "short": Style(
        length=4.2, sides=1.6, nape=0.7, strands=3000, segments=5, lift=0.9, volume=1.9, clumps=420, clump=0.55,
        mess=0.2, fringe=0.9, hem=0.1, fade=0.25, other={"length": 3.2, "flow": "forward", "fringe": 1.7, "fade": 0.6},
    ),
    "receding": Style(
        length=2.6, sides=1.5, nape=0.7, strands=2200, segments=5, lift=0.7, volume=0.9, clumps=420, clump=0.4,
        mess=0.2, hem=0.1, cover=0.8, recede=2.6, fringe=0.2, flow="back", other={"recede": 3.6, "length": 1.4},
    ),
    "swept back": Style(
        length=10.0, sides=5.0, nape=1.2, strands=2800, segments=9, lift=0.75, flow="back", pull=0.5, gravity=0.05,
        volume=2.0, clumps=200, clump=0.6, mess=0.07, fringe=0.0, hem=0.2,
        other={"volume": 1.0, "lift": 0.3, "sides": 2.0, "fade": 0.5},
    ),
    "side-parted": Style(
        length=9.5, sides=2.4, nape=0.9, strands=2800, segments=8, lift=0.75, flow="part", part=3.4, pull=0.5,
        gravity=0.1, volume=1.9, clumps=220, clump=0.6, mess=0.07, fringe=0.6, hem=0.15, fade=0.2,
        other={"volume": 1.2, "length": 7.5, "fringe": 1.6, "part": 4.2},
    ),
    "pixie": Style(
        length=7.0, sides=3.6, nape=1.6, strands=2800, segments=7, lift=0.45, flow="forward", part=3.0, pull=0.4,
        gravity=0.25, volume=1.3, clumps=260, clump=0.7, mess=0.14, fringe=2.4, bangs=6.0, hem=0.6, ears=False,
        other={"fringe": 1.0, "bangs": 4.0, "volume": 2.0, "lift": 0.9, "mess": 0.25},
    ),
    "curly": Style(
        length=6.5, sides=4.0, nape=2.0, strands=1500, segments=16, width=0.085, lift=1.1, flow="out", gravity=0.16,
        volume=3.4, clumps=330, clump=0.85, mess=0.35, curl=0.48, turns=2.6, fringe=1.3, hem=0.5, start=0.25,
        other={"length": 5.0, "sides": 1.6, "nape": 0.7, "volume": 2.8, "fringe": 1.9, "fade": 0.4},
    ),
    "afro": Style(
        length=7.5, nape=3.0, strands=2800, segments=12, width=0.07, lift=2.0, flow="out", gravity=0.0, volume=5.0,
        clumps=900,
        clump=0.45, mess=0.45, curl=0.36, turns=2.8, fringe=0.5, hem=0.1, start=0.5, ears=True,
        other={"volume": 2.6, "length": 3.2, "fade": 0.3},
    ),
    "bob": Style(
        length=21.0, strands=2700, segments=13, drawn=9, lift=0.35, flow="part", part=0.6, gravity=0.75, volume=1.7,
        clumps=170,
        clump=0.5, mess=0.06, ends=0.35, cut=-6.5, ears=True, other={"part": 3.2, "cut": -4.6, "volume": 2.3},
    ),
    "fringe bob": Style(
        length=20.0, strands=2800, segments=13, drawn=9, lift=0.35, flow="part", part=0.0, gravity=0.75, volume=1.6,
        clumps=190,
        clump=0.45, mess=0.06, ends=0.3, cut=-6.0, bangs=8.0, fringe=3.6, ears=True,
        other={"cut": -8.0, "fringe": 3.0, "curl": 0.35, "turns": 2.5, "wave": True, "volume": 2.0},
    ),
    "long straight": Style(
        length=40.0, strands=2500, segments=16, drawn=10, lift=0.25, flow="part", part=0.0, gravity=0.8, volume=1.4,
        clumps=150,
        clump=0.6, mess=0.05, cut=-21.0, ears=True, drape=0.12,
        other={"part": 2.8, "drape": -0.45, "cut": -17.0},
    ),
    "long wavy": Style(
        length=38.0, strands=2000, segments=18, width=0.09, lift=0.4, flow="part", part=1.8, gravity=0.7, volume=2.3,
        clumps=130,
        clump=0.8, mess=0.08, curl=0.8, turns=5.5, wave=True, cut=-18.0, ears=True,
        other={"part": -0.2, "cut": -13.0, "curl": 0.65, "turns": 7.0, "drape": -0.3},
    ),
    "long curly": Style(
        length=32.0, strands=1500, segments=26, width=0.085, lift=0.6, flow="part", part=1.2, gravity=0.55, volume=2.8,
        clumps=230, clump=0.88, mess=0.16, curl=0.6, turns=4.4, cut=-14.0, ears=True,
        other={"cut": -8.0, "volume": 3.4, "part": -1.5, "curl": 0.5},
    ),
    "bun": Style(
        length=1.0, strands=2600, segments=9, lift=0.1, flow="tie", gravity=0.0, volume=0.35, clumps=150, clump=0.35,
        mess=0.03, fringe=0.0, bun=2.9, tie=(10.6, -8.6), ears=False, other={"tie": (13.9, -3.0), "bun": 2.6},
    ),
    "ponytail": Style(
        length=1.0, strands=2300, segments=9, lift=0.1, flow="tie", gravity=0.0, volume=0.4, clumps=150, clump=0.35,
        mess=0.03, fringe=0.0, tail=22.0, tie=(10.2, -9.0), other={"tie": (4.0, -9.6), "tail": 19.0},
    ),
    "locs": Style(
        length=26.0, strands=230, segments=20, width=0.23, lift=0.7, flow="part", part=0.4, gravity=0.6, volume=2.0,
        clump=0.0, mess=0.12, twist=2, curl=0.17, turns=11.0, cut=-10.0, ears=True,
        other={"cut": -16.0, "part": 2.6, "drape": -0.3},
    ),
    "braids": Style(
        length=34.0, strands=250, segments=34, width=0.15, lift=0.4, flow="part", part=0.0, gravity=0.8, volume=1.5,
        clump=0.0, mess=0.05, twist=3, curl=0.17, turns=16.0, cut=-19.0, ears=True, cover=0.85,
        other={"part": 2.4, "drape": -0.4, "cut": -14.0},
    ),
    "cornrows": Style(
        length=1.0, strands=13, segments=44, width=0.21, flow="rows", volume=0.25, clump=0.0, mess=0.0, twist=3,
        curl=0.2, turns=15.0, cover=0.35, hem=0.2, tail=5.0, other={"strands": 10, "width": 0.26, "curl": 0.26,
        "tail": 0.0},
    ),
}  # fmt: skip
