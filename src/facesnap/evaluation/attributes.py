"""Does a portrait show what its prompt says? Asked of the judge of attributes, one attribute at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from facesnap.evaluation.metrics import Interval, wilson
from facesnap.training.mini.attributes import JUDGED, named_by

#: A prompt that says nothing of these asks for none of them.
ADDED: Final = ("beard", "glasses", "occluder")


def asked_of(caption: str, attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a caption of a picture with these attributes asks for: attribute -> value."""
    named = named_by(caption, dict(attributes))
    silent = {name for name in ADDED if attributes[name] == "none"}
    return {name: coarse(name, str(attributes[name])) for name in JUDGED if name in named | silent}


def coarse(name: str, value: str) -> str:
    """A value as prompts tell them apart: "glasses" names no frame, though most captions do."""
    if name == "glasses" and value != "none":
        return "sunglasses" if value.endswith("sunglasses") else "glasses"
    return value


def agreement(asked: Mapping[str, str], read: Mapping[str, str]) -> dict[str, float]:
    """Attribute -> 1.0 where what the judge read is what was asked for, else 0.0."""
    return {name: float(coarse(name, read[name]) == value) for name, value in asked.items()}


def accuracies(rows: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    """Share of agreement per attribute over portraits, and over all that was asked for (``all``)."""
    found = {name: [row[name] for row in rows if name in row] for name in JUDGED}
    shares = {name: wilson(np.array(hits)) for name, hits in found.items() if hits}
    return {"all": wilson(np.array([hit for hits in found.values() for hit in hits])), **shares}
