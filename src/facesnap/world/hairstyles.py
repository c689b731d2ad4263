"""The hair styles: growth rules that :mod:`facesnap.world.hair` follows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Growth rules of one hair style; lengths in cm."""

    length: float
    strands: int = 1700
    segments: int = 8
    width: float = 0.30
    lift: float = 0.3  #: how much strands leave along the normal
    flow: str = "back"  #: back, forward, part, out, tie
    part: float = 0.0  #: x of the parting, subject's left positive
    gravity: float = 0.3
    curl: float = 0.0  #: amplitude in cm
    turns: float = 2.0  #: curls per strand
    volume: float = 1.0  #: thickness of the shell the strands fill
    fringe: float = 0.5  #: how far (cm) strands may hang below the front hairline
    cover: float = 1.0  #: undercoat on the scalp


STYLES: dict[str, Style] = {
    "bald": Style(length=0.0, strands=0, cover=0.0),
    "buzz cut": Style(
        length=0.7, strands=1500, segments=2, width=0.16, lift=1.0, flow="out", gravity=0.0, volume=0.7, cover=0.9
    ),
    "short": Style(length=4.0, segments=5, lift=0.7, flow="forward", gravity=0.15, volume=1.6, fringe=1.0),
    "swept back": Style(length=8.0, segments=7, lift=0.45, flow="back", gravity=0.12, volume=1.7),
    "side-parted": Style(length=8.5, segments=7, lift=0.5, flow="part", part=3.2, gravity=0.35, volume=1.5, fringe=0.8),
    "curly": Style(
        length=9.0,
        strands=1500,
        segments=12,
        width=0.30,
        lift=1.1,
        flow="out",
        gravity=0.12,
        curl=0.75,
        turns=3.5,
        volume=3.2,
        fringe=1.0,
    ),
    "afro": Style(
        length=6.5,
        strands=2200,
        segments=8,
        width=0.30,
        lift=2.0,
        flow="out",
        gravity=0.0,
        curl=0.55,
        turns=4.0,
        volume=5.0,
        fringe=0.3,
    ),
    "bob": Style(length=19.0, strands=1700, segments=12, width=0.36, lift=0.3, flow="part", gravity=0.75, volume=1.5),
    "fringe bob": Style(
        length=17.0,
        strands=1900,
        segments=12,
        width=0.36,
        lift=0.3,
        flow="fringe",
        gravity=0.75,
        volume=1.5,
        fringe=3.1,
    ),
    "long straight": Style(
        length=34.0, strands=1700, segments=14, width=0.42, lift=0.25, flow="part", gravity=0.8, volume=1.4
    ),
    "long wavy": Style(
        length=33.0,
        strands=1600,
        segments=16,
        width=0.42,
        lift=0.4,
        flow="part",
        part=1.8,
        gravity=0.7,
        curl=0.8,
        turns=4.0,
        volume=2.2,
    ),
    "bun": Style(
        length=15.0, strands=1500, segments=9, width=0.32, lift=0.12, flow="tie", gravity=0.0, volume=0.8, fringe=0.0
    ),
}
