"""Who measures likeness and prompts while training goes on: networks that neither condition nor train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesnap.core.errors import UsageError
from facesnap.core.weights import load_whole, mini_folder, read_json, sha256_12
from facesnap.data.layout import DatasetInfo
from facesnap.faces.align import CROP_SIZE
from facesnap.faces.encode import FaceEncoder
from facesnap.training.losses import crop_by


class FaceJudge:
    """A recogniser of its own weights."""

    def __init__(self, folder: Path | None, info: DatasetInfo, device: torch.device) -> None:
        """UsageError if it is the encoder that conditions: it would flatter what it made."""
        self.encoder = FaceEncoder.from_pretrained(folder or mini_folder() / "judge_face", device=device)
        self.name = self.encoder.identifier
        if self.name.rpartition("@")[2] == info.encoders.get("face", "").rpartition("@")[2]:
            raise UsageError(
                f"{self.name} can't judge likeness: the adapter is conditioned on it; set watch.judge_face"
            )

    @torch.no_grad()
    def vectors(self, images: Tensor, matrices: Tensor) -> Tensor:
        """Unit vectors (B, D) of pictures (B, 3, H, W) in [0, 1], cut out by picture-to-crop matrices (B, 2, 3)."""
        crops = crop_by(images.to(self.encoder.device), matrices.to(self.encoder.device), CROP_SIZE)
        return F.normalize(self.encoder.embed(crops).float(), dim=-1).cpu()


class ClipJudge:
    """A stock CLIP: pictures and prompts to unit vectors."""

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        from transformers import AutoTokenizer, CLIPModel

        folder = folder or mini_folder() / "judge_clip"
        self.name = f"{folder.name}@{sha256_12(folder)}"
        constants = read_json(folder / "preprocessor_config.json")
        self.device = device
        self.mean = torch.tensor(constants["image_mean"], dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.deviation = torch.tensor(constants["image_std"], dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model: Any = load_whole(CLIPModel, folder, f"the judge {folder}", dtype=torch.float32)
        self.model = model.to(device)
        self.size = int(model.config.vision_config.image_size)
        self.tokens = int(model.config.text_config.max_position_embeddings)

    @torch.no_grad()
    def agreement(self, images: Tensor, prompts: list[str]) -> float:
        """CLIP-T: mean cosine of square pictures (B, 3, S, S) in [0, 1] and their prompts (cut where too long)."""
        small = F.interpolate(
            images.to(self.device).float(), (self.size, self.size), mode="bicubic", antialias=True, align_corners=False
        )
        seen = self.model.get_image_features(pixel_values=(small.clamp(0, 1) - self.mean) / self.deviation)
        ids = self.tokenizer(prompts, padding=True, truncation=True, max_length=self.tokens, return_tensors="pt")
        read = self.model.get_text_features(**ids.to(self.device))
        return float(F.cosine_similarity(seen.pooler_output.float(), read.pooler_output.float(), dim=-1).mean())


def as_tensor(pictures: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255.0
