"""IP-Adapter (arXiv 2308.06721): CLIP's image embedding as four tokens, read by decoupled cross-attention."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import ImageProjection
from torch import Tensor

from facesnap.evaluation.baselines.decoupled import DEVIATIONS, DecoupledRival
from facesnap.evaluation.baselines.rival import Parts, References, pooled


class IPAdapter(DecoupledRival):
    """``tokens = LayerNorm(Linear(CLIP(face)))``; nobody is an embedding of zeros."""

    name = "ip-adapter"
    paper = "IP-Adapter (arXiv 2308.06721)"
    deviations = (
        "the reference is the aligned face, as in the project's own face model, not the whole picture",
        *DEVIATIONS,
    )

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.appearance = parts.appearance
        size = int(parts.appearance.model.config.projection_dim)
        self.projection = ImageProjection(size, parts.width, self.count)

    def tokens(self, seen: References) -> Tensor:
        """See :class:`Rival`."""
        embedding = pooled(self.appearance, seen.f_clip)
        made: Tensor = self.projection(torch.where(seen.nobody[:, None], torch.zeros_like(embedding), embedding))
        return made
