"""Stage ``looks``: what hair and beard a reference wears, from E_c's tokens, as words for a prompt that is silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.core.weights import save_module
from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.looks import LooksNet
from facesnap.training.batches import Batch
from facesnap.training.config import LooksConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.data import Split, aligned_crop, draw_rows, to_tensor
from facesnap.training.mini.labels import codes_of, label_accuracy, label_losses, values_of
from facesnap.world.captions import plain_phrases

READ: Final = ("hair_style", "hair_colour", "beard")


class LooksStage(Stage):
    """Cross-entropy of hair's style and colour and of the beard, where the picture shows them; E_c stays as it is."""

    def __init__(self, config: LooksConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.encoder = AppearanceEncoder.from_pretrained(out / "image_encoder", device=device)
        values = values_of(train, READ)
        settings = {"appearance_dim": self.encoder.shape[1], "attributes": values, "phrases": plain_phrases()}
        self.network = LooksNet(settings)
        self.modules = nn.ModuleDict({"network": self.network})
        self.targets = codes_of(train, values)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Crops as E_c gets them of photographs, and what they show."""
        rows = draw_rows(len(self.train), self.config.batch_size, rng)
        crops = [aligned_crop(self.train, int(row), rng, zoom=ZOOM, textured=0.5) for row in rows]
        return {"crops": to_tensor(crops), **{name: codes[rows] for name, codes in self.targets.items()}}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean over the attributes."""
        with torch.no_grad():
            tokens = self.encoder.tokens(batch["crops"])
        losses = label_losses(self.network(tokens), batch)
        return {"loss": torch.stack(list(losses.values())).mean(), **losses}

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the network in half precision; its accuracy on people never trained on."""
        settings: dict[str, Any] = self.network.config
        save_module(self.out / "looks", self.network, settings, about, dtype=torch.float16)

        def read(rows: np.ndarray) -> dict[str, Tensor]:
            crops = to_tensor([aligned_crop(self.check, int(row), None, zoom=ZOOM) for row in rows])
            logits: dict[str, Tensor] = self.network(self.encoder.tokens(crops.to(self.device)))
            return logits

        return label_accuracy(self.check, settings["attributes"], read)
