"""Stage ``judge_attributes``: a classifier of what portraits show, for measuring only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesnap.core.weights import save_module
from facesnap.faces.attributes import AttributeNet, shrunk
from facesnap.training.augment import photograph
from facesnap.training.batches import Batch
from facesnap.training.config import AttributeConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.data import Split, draw_rows, to_tensor
from facesnap.world.captions import COLOURLESS, named_by

__all__ = ["JUDGED", "AttributeStage", "named_by"]

#: Labels that prompts name and pictures show. The head's turn is measured in degrees, skin by the likeness.
JUDGED: Final = (
    *("style", "hair_style", "hair_colour", "beard", "glasses", "clothes", "clothes_colour"),
    *("background", "light", "expression", "occluder"),
)
#: Share of pictures that are augmented as photographs; generated ones are a little soft and off in colour.
PHOTOGRAPHS: Final = 0.3
#: Nobody could tell these in a style without colours.
COLOURS: Final = ("hair_colour", "clothes_colour")
IGNORED: Final = -100


class AttributeStage(Stage):
    """Cross-entropy of every attribute; colours count where the style shows them."""

    def __init__(self, config: AttributeConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        labels = train.world.attributes
        self.values = {name: sorted({str(a[name]) for a in labels}) for name in JUDGED}
        self.network = AttributeNet({"attributes": self.values, "size": config.image_size})
        self.modules = nn.ModuleDict({"network": self.network})
        self.targets = codes_of(train, self.values)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Whole pictures, a little moved and scaled, and what they show."""
        rows = draw_rows(len(self.train), self.config.batch_size, rng)
        pictures = [self._drawn(self.train.world.images[row], rng) for row in rows]
        return {"pictures": to_tensor(pictures), **{name: codes[rows] for name, codes in self.targets.items()}}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean over the attributes."""
        logits = self.network(batch["pictures"])
        losses = [F.cross_entropy(logits[name].float(), batch[name], ignore_index=IGNORED) for name in self.values]
        return {"loss": torch.stack(losses).mean()}

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the network in half precision; its accuracy on people never trained on, per attribute."""
        save_module(self.out / "judge_attributes", self.network, self.network.config, about, dtype=torch.float16)
        size, targets = self.network.config["size"], codes_of(self.check, self.values)
        right: dict[str, list[float]] = {name: [] for name in self.values}
        for rows in np.array_split(np.arange(len(self.check)), max(1, len(self.check) // 64)):
            pictures = to_tensor([shrunk(self.check.world.images[row], size) for row in rows])
            for name, logits in self.network(pictures.to(self.device)).items():
                target = targets[name][torch.from_numpy(rows)]
                known = target != IGNORED
                right[name] += (logits.argmax(1).cpu() == target)[known].float().tolist()
        return {f"val_{name}": round(float(np.mean(hits)), 3) for name, hits in right.items() if hits}

    def _drawn(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A window of at least 85% of the side, sometimes as a photograph; never mirrored: light has a side."""
        side = image.shape[0]
        width = int(side * rng.uniform(0.85, 1.0))
        x, y = rng.integers(0, side - width + 1, 2)
        small = shrunk(image[y : y + width, x : x + width], self.network.config["size"])
        return photograph(small, rng) if rng.random() < PHOTOGRAPHS else small


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
