"""Stage ``looks``: what hair and beard a reference wears, from E_c's tokens, as words for a prompt that is silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesnap.core.weights import save_module
from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.looks import LooksNet
from facesnap.training.batches import Batch
from facesnap.training.config import LooksConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.attributes import IGNORED, codes_of
from facesnap.training.mini.data import Split, aligned_crop, draw_rows, to_tensor
from facesnap.world.captions import plain_phrases

READ: Final = ("hair_style", "hair_colour", "beard")


class LooksStage(Stage):
    """Cross-entropy of hair's style and colour and of the beard, where the picture shows them; E_c stays as it is."""

    def __init__(self, config: LooksConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.encoder = AppearanceEncoder.from_pretrained(out / "image_encoder", device=device)
        values = {name: sorted({str(a[name]) for a in train.world.attributes}) for name in READ}
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
        logits = self.network(tokens)
        losses = {name: F.cross_entropy(logits[name].float(), batch[name], ignore_index=IGNORED) for name in READ}
        return {"loss": torch.stack(list(losses.values())).mean(), **losses}

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the network in half precision; its accuracy on people never trained on."""
        settings: dict[str, Any] = self.network.config
        save_module(self.out / "looks", self.network, settings, about, dtype=torch.float16)
        targets = codes_of(self.check, settings["attributes"])
        right: dict[str, list[float]] = {name: [] for name in READ}
        for rows in np.array_split(np.arange(len(self.check)), max(1, len(self.check) // 64)):
            crops = [aligned_crop(self.check, int(row), None, zoom=ZOOM) for row in rows]
            for name, logits in self.network(self.encoder.tokens(to_tensor(crops).to(self.device))).items():
                target = targets[name][torch.from_numpy(rows)]
                known = target != IGNORED
                right[name] += (logits.argmax(1).cpu() == target)[known].float().tolist()
        return {f"val_{name}": round(float(np.mean(hits)), 3) for name, hits in right.items() if hits}
