"""Attributes of renders as classes to learn: their values, each picture's place in them, losses and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesnap.training.mini.data import Split
from facesnap.world.captions import COLOURLESS

#: Nobody could tell these in a style without colours.
COLOURS: Final = ("hair_colour", "clothes_colour")
IGNORED: Final = -100


def values_of(split: Split, names: Sequence[str]) -> dict[str, list[str]]:
    """Attribute -> all values that a split's pictures have, in order."""
    return {name: sorted({str(a[name]) for a in split.world.attributes}) for name in names}


def codes_of(split: Split, values: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """Attribute -> (N,) places in its values; :data:`IGNORED` where the picture can't show it."""
    found = {}
    for name, known in values.items():
        place = {value: i for i, value in enumerate(known)}
        codes = [IGNORED if _hidden(name, a) else place.get(str(a[name]), IGNORED) for a in split.world.attributes]
        found[name] = torch.tensor(codes)
    return found


def _hidden(name: str, attributes: Mapping[str, Any]) -> bool:
    if name == "beard" and attributes["occluder"] != "none":
        return "mouth" in str(attributes["occluder_hides"])
    return name in COLOURS and attributes["style"] in COLOURLESS


def label_losses(logits: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Attribute -> cross-entropy of its logits (B, values) over the pictures that can show it."""
    return {n: F.cross_entropy(of.float(), batch[n], ignore_index=IGNORED) for n, of in logits.items()}


def label_accuracy(
    split: Split, values: Mapping[str, Sequence[str]], read: Callable[[np.ndarray], Mapping[str, Tensor]]
) -> dict[str, float]:
    """Share of a split's pictures read rightly, per attribute; ``read``: rows -> attribute -> logits (rows, values)."""
    targets = codes_of(split, values)
    right: dict[str, list[float]] = {name: [] for name in values}
    for rows in np.array_split(np.arange(len(split)), max(1, len(split) // 64)):
        for name, logits in read(rows).items():
            target = targets[name][torch.from_numpy(rows)]
            known = target != IGNORED
            right[name] += (logits.argmax(1).cpu() == target)[known].float().tolist()
    return {f"val_{name}": round(float(np.mean(hits)), 3) for name, hits in right.items() if hits}
