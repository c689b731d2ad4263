"""Stage ``judge_attributes``: a classifier of what portraits show, for measuring only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.core.weights import save_module
from facesnap.faces.attributes import AttributeNet, shrunk
from facesnap.faces.augment import photograph
from facesnap.training.batches import Batch
from facesnap.training.config import AttributeConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.data import Split, draw_rows, to_tensor
from facesnap.training.mini.labels import codes_of, label_accuracy, label_losses, values_of
from facesnap.world.captions import named_by

__all__ = ["JUDGED", "AttributeStage", "named_by"]

#: Labels that prompts name and pictures show. The head's turn is measured in degrees, skin by the likeness.
JUDGED: Final = (
    *("style", "hair_style", "hair_colour", "beard", "glasses", "clothes", "clothes_colour"),
    *("background", "light", "expression", "occluder"),
)
#: Share of pictures that are augmented as photographs; generated ones are a little soft and off in colour.
PHOTOGRAPHS: Final = 0.3


class AttributeStage(Stage):
    """Cross-entropy of every attribute; colours count where the style shows them."""

    def __init__(self, config: AttributeConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.values = values_of(train, JUDGED)
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
        losses = label_losses(self.network(batch["pictures"]), batch)
        return {"loss": torch.stack(list(losses.values())).mean()}

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the network in half precision; its accuracy on people never trained on, per attribute."""
        save_module(self.out / "judge_attributes", self.network, self.network.config, about, dtype=torch.float16)
        size = self.network.config["size"]

        def read(rows: np.ndarray) -> dict[str, Tensor]:
            pictures = to_tensor([shrunk(self.check.world.images[row], size) for row in rows])
            logits: dict[str, Tensor] = self.network(pictures.to(self.device))
            return logits

        return label_accuracy(self.check, self.values, read)

    def _drawn(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A window of at least 85% of the side, sometimes as a photograph; never mirrored: light has a side."""
        side = image.shape[0]
        width = int(side * rng.uniform(0.85, 1.0))
        x, y = rng.integers(0, side - width + 1, 2)
        small = shrunk(image[y : y + width, x : x + width], self.network.config["size"])
        return photograph(small, rng) if rng.random() < PHOTOGRAPHS else small
