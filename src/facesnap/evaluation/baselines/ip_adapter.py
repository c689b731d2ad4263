"""IP-Adapter (arXiv 2308.06721): CLIP's image embedding as four tokens, read by decoupled cross-attention."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.embeddings import ImageProjection
from torch import Tensor

from facesnap.evaluation.baselines.decoupled import DecoupledAttention
from facesnap.evaluation.baselines.rival import Parts, References, Rival, Texts, pooled


class IPAdapter(Rival):
    """``tokens = LayerNorm(Linear(CLIP(face)))``; nobody is an embedding of zeros."""

    name = "ip-adapter"
    paper = "IP-Adapter (arXiv 2308.06721)"
    deviations = (
        "the reference is the aligned face, as in the project's own face model, not the whole picture",
        "trained on pairs of pictures, as all methods here; the paper's target is its own reference",
        "decoupled attention at the base's finest level, too, where the base itself has none",
    )
    count = 4

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.__dict__["appearance"] = parts.appearance  # frozen: no parameters of ours
        size = int(parts.appearance.model.config.projection_dim)
        self.projection = ImageProjection(size, parts.width, self.count)
        self.attention = DecoupledAttention(parts.unet, self.count)

    def tokens(self, seen: References) -> Tensor:
        """See :class:`Rival`."""
        embedding = pooled(self.__dict__["appearance"], seen.f_clip)
        made: Tensor = self.projection(torch.where(seen.nobody[:, None], torch.zeros_like(embedding), embedding))
        return made

    def predict(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, texts: Texts, tokens: Tensor, maps: Tensor
    ) -> Tensor:
        """See :class:`Rival`."""
        predicted: Tensor = self.attention(unet, noisy, timesteps, texts, tokens, self.strength)
        return predicted
