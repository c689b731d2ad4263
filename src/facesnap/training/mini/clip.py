"""Stages ``clip`` and ``judge_clip``: a text and an image encoder that agree (contrastive).

E_c has to keep, besides, what no caption says: the look of a face. So its last hidden states also learn to say each
patch's pixels, of pictures and of aligned faces, as they were before they became photographs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from facesnap.core.images import similarity_crop
from facesnap.core.weights import save_whole
from facesnap.faces.appearance import CLIP_MEAN, CLIP_STD, ZOOM, save_preprocessor
from facesnap.faces.augment import photograph
from facesnap.training.batches import Batch
from facesnap.training.config import ClipConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import contrastive_loss
from facesnap.training.mini.data import Split, aligned_crop, draw_rows, to_tensor
from facesnap.training.mini.export import save_half
from facesnap.training.mini.tokens import tokenize, train_tokenizer

#: Attention by matrix products: for a few dozen tokens the fused kernel's backward in bf16 is many times slower on
#: CPUs (measured: 61% of a UNet's training time went there).
EAGER = "eager"


class ClipStage(Stage):
    """Trains a whole CLIPModel; ``judge`` decides what of it is exported, and where."""

    def __init__(self, config: ClipConfig, train: Split, check: Split, out: Path, device: torch.device, judge: bool):
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.judge = judge
        captions = [caption for several in train.world.captions for caption in several]
        self.tokenizer = train_tokenizer(captions, config.vocab_size, config.max_tokens)
        self.model: Any = CLIPModel(_clip_config(config, self.tokenizer))
        self.model.set_attn_implementation(EAGER)
        self.modules = nn.ModuleDict({"clip": self.model})
        if config.pixel_weight > 0:
            self.modules["pixels"] = nn.Linear(config.image_width, 3 * config.patch_size**2)
        self.ids = [tokenize(self.tokenizer, several) for several in train.world.captions]
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))

    def draw(self, rng: np.random.Generator) -> Batch:
        """Random views (the whole picture to the face alone), each with one of the picture's captions."""
        rows = draw_rows(len(self.train), self.config.batch_size, rng)
        views = [_view(self.train.world.images[row], self.config.image_size, rng) for row in rows]
        faces = draw_rows(len(self.train), self.config.faces, rng)
        views += [
            aligned_crop(self.train, int(r), rng, size=self.config.image_size, zoom=ZOOM, photographs=0.0)
            for r in faces
        ]
        seen = [photograph(view, rng) if rng.random() < 0.5 else view for view in views]
        ids = torch.stack([self.ids[row][rng.integers(len(self.ids[row]))] for row in rows])
        return {"views": to_tensor(seen), "clean": to_tensor(views), "ids": ids}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """CLIP's, that of the pixels, and how many views of a batch find their own caption first."""
        vision = self.model.get_image_features(pixel_values=self._normal(batch["views"]))
        texts = self._texts(batch["ids"])
        images = F.normalize(vision.pooler_output.float()[: len(texts)], dim=-1)
        logits = images @ texts.T
        accuracy = (logits.argmax(1) == torch.arange(len(logits), device=self.device)).float().mean()
        losses = {"contrastive": contrastive_loss(images, texts, self.model.logit_scale)}
        total = losses["contrastive"]
        if "pixels" in self.modules:
            said = self.modules["pixels"](vision.last_hidden_state[:, 1:])
            losses["pixels"] = F.mse_loss(said.float(), patches(batch["clean"] * 2 - 1, self.config.patch_size))
            total = total + self.config.pixel_weight * losses["pixels"]
        return {"loss": total, **losses, "batch_recall": accuracy}

    def _normal(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def _texts(self, ids: Tensor) -> Tensor:
        return F.normalize(self.model.get_text_features(input_ids=ids).pooler_output.float(), dim=-1)

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """The judge as a stock CLIPModel; otherwise text encoder and tokenizer to the base, image encoder beside it."""
        figures = self._retrieval()
        if self.judge:
            folder = self.out / "judge_clip"
            save_half(self.model, folder)
            save_whole(folder, self.tokenizer.save_pretrained)
            save_preprocessor(folder, self.config.image_size)
        else:
            text = CLIPTextModel(self.model.config.text_config)
            text.load_state_dict(self.model.text_model.state_dict())
            save_half(text, self.out / "base" / "text_encoder")
            save_whole(self.out / "base" / "tokenizer", self.tokenizer.save_pretrained)
            vision = CLIPVisionModelWithProjection(self.model.config.vision_config)
            state = {f"vision_model.{k}": v for k, v in self.model.vision_model.state_dict().items()}
            vision.load_state_dict({**state, "visual_projection.weight": self.model.visual_projection.weight})
            save_half(vision, self.out / "image_encoder")
            save_preprocessor(self.out / "image_encoder", self.config.image_size)
        return figures

    def _retrieval(self) -> dict[str, float]:
        """Text-to-image recall at 1 among 100 pictures of people not trained on (first captions)."""
        rng = np.random.default_rng(0)
        rows = draw_rows(len(self.check), min(100, len(self.check)), rng)
        views = [_resize(self.check.world.images[row], self.config.image_size) for row in rows]
        ids = torch.stack([tokenize(self.tokenizer, self.check.world.captions[row])[0] for row in rows])
        pixels, texts = self._normal(to_tensor(views).to(self.device)), self._texts(ids.to(self.device))
        images = F.normalize(self.model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)
        hits = (texts @ images.T).argmax(1).cpu() == torch.arange(len(rows))
        return {"val_recall_at_1_of_100": round(float(hits.float().mean()), 3)}


def _view(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square window of 60 to 100% of the side, lightly turned."""
    side = image.shape[0]
    share = rng.uniform(0.6, 1.0)
    angle = np.radians(rng.normal(0, 4))
    c, s = np.cos(angle) * size / (side * share), np.sin(angle) * size / (side * share)
    centre = side / 2 + rng.uniform(-0.5, 0.5, 2) * side * (1 - share)
    linear = np.array([[c, -s], [s, c]])
    return similarity_crop(image, np.column_stack([linear, size / 2 - linear @ centre]), size)


def patches(images: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, T, 3 size size): what each of a vision transformer's tokens begins from, row by row."""
    return F.pixel_unshuffle(images, size).flatten(2).transpose(1, 2)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    zoom = size / image.shape[0]
    return similarity_crop(image, np.array([[zoom, 0.0, 0.0], [0.0, zoom, 0.0]]), size)


def _clip_config(config: ClipConfig, tokenizer: CLIPTokenizer) -> Any:
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.text_width,
        intermediate_size=4 * config.text_width,
        num_hidden_layers=config.text_layers,
        num_attention_heads=4,
        max_position_embeddings=config.max_tokens,
        projection_dim=config.projection,
        pad_token_id=tokenizer.eos_token_id,
        **special,
    )
    vision = CLIPVisionConfig(
        hidden_size=config.image_width,
        intermediate_size=4 * config.image_width,
        num_hidden_layers=config.image_layers,
        num_attention_heads=4,
        image_size=config.image_size,
        patch_size=config.patch_size,
        projection_dim=config.projection,
    )
    scale = math.log(1 / 0.07)
    return CLIPConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        projection_dim=config.projection,
        logit_scale_init_value=scale,
    )
