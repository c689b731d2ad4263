"""Stages ``face`` (E_f) and ``judge_face``: recognisers trained with an angular margin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.core.weights import save_module
from facesnap.faces.networks import build_network
from facesnap.training.batches import Batch
from facesnap.training.config import FaceConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import AngularMargin, supervised_contrastive_loss
from facesnap.training.mini.data import Split, aligned_crop, draw_several, to_tensor


class FaceStage(Stage):
    """One network and its margin head; the head is thrown away afterwards."""

    def __init__(self, config: FaceConfig, train: Split, check: Split, out: Path, device: torch.device, name: str):
        self.config, self.train, self.check, self.out, self.device, self.name = config, train, check, out, device, name
        self.network = build_network({"architecture": config.architecture, "name": f"mini-{name}"})
        settings: Any = self.network.config
        self.head = AngularMargin(train.people, settings["dim"], config.scale, config.margin, config.ramp)
        self.modules = nn.ModuleDict({"network": self.network, "head": self.head})
        self.person = torch.from_numpy(train.person_index)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Aligned crops as photographs, several of each person, and whose they are."""
        each = self.config.pictures_per_person
        rows = draw_several(self.train, max(1, self.config.batch_size // each), each, rng)
        share = self.config.photographs
        crops = [mirrored(aligned_crop(self.train, int(row), rng, photographs=share), rng) for row in rows]
        return {"crops": to_tensor(crops), "person": self.person[rows]}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The angular margin's among all people, and the contrastive one's among those of the batch.

        Classes alone hardly get a small network off the ground: two pictures of one person rarely meet (docs/LOG.md).
        """
        embedding, person = self.network(batch["crops"]), batch["person"]
        losses = {
            "margin": self.head(embedding, person),
            "contrastive": supervised_contrastive_loss(embedding, person, self.config.temperature),
        }
        return {"loss": losses["margin"] + losses["contrastive"], **losses}

    def start_from(self, network: nn.Module) -> None:
        """Begin with a trained network of the same architecture, and each class where its person lies.

        A class begins as the person's mean embedding less that of all pictures, which tells nobody apart. From random
        classes, the first hundreds of steps would undo what the network knows.
        """
        self.network.load_state_dict(network.state_dict())
        self.modules.to(self.device)
        vectors, classes = torch.from_numpy(self.embed(self.train)), self.head.weight.data
        means = torch.zeros(classes.shape).index_add_(0, self.person, vectors - vectors.mean(dim=0))
        classes.copy_(nn.functional.normalize(means) * classes.norm(dim=1).mean().cpu())

    @torch.no_grad()
    def embed(self, split: Split) -> np.ndarray:
        """Unit vectors (N, D) f32 of all pictures' exact crops."""
        self.network.eval()
        vectors = []
        for rows in np.array_split(np.arange(len(split)), max(1, len(split) // 128)):
            crops = to_tensor([aligned_crop(split, int(row), None) for row in rows])
            vectors.append(self.network(crops.to(self.device)).float().cpu().numpy())
        return np.concatenate(vectors)

    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the network in half precision; verification on people never trained on."""
        figures = self._verification()
        settings: Any = self.network.config
        save_module(self.out / self.name, self.network, settings, about, dtype=torch.float16)
        return figures

    def _verification(self) -> dict[str, float]:
        """True accepts at 1 false accept in 1,000 pairs, and rank-1 from one picture per person."""
        vectors = torch.from_numpy(self.embed(self.check))
        person = torch.from_numpy(self.check.person_index)
        similar = vectors @ vectors.T
        same = person[:, None] == person[None, :]
        off = ~torch.eye(len(vectors), dtype=torch.bool)
        threshold = similar[~same].quantile(0.999) if (~same).sum() < 1e7 else similar[~same][::10].quantile(0.999)
        gallery = torch.tensor([several[0] for several in self.check.rows_of])
        probes = torch.tensor([row for several in self.check.rows_of for row in several[1:]])
        rank1 = (similar[probes][:, gallery].argmax(1) == person[probes]).float().mean()
        return {
            "val_tar_at_far_1e-3": round(float((similar[same & off] > threshold).float().mean()), 4),
            "val_rank1": round(float(rank1), 4),
            "val_people": float(len(gallery)),
        }


def mirrored(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left to right, half of the time."""
    return image[:, ::-1] if rng.random() < 0.5 else image
