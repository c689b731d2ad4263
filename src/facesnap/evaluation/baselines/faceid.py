"""IP-Adapter-FaceID and -Plus (github.com/tencent-ailab/IP-Adapter): four tokens of f_id, decoupled attention."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection, IPAdapterFaceIDPlusImageProjection
from torch import Tensor, nn

from facesnap.evaluation.baselines.decoupled import DEVIATIONS, DecoupledRival
from facesnap.evaluation.baselines.rival import Parts, References

_SHARED: tuple[str, ...] = (
    "no LoRA in the base: the decoupled attention alone tells of the face",
    "the first layer that reads f_id starts without a bias, as FAM's does: its entries are small",
    *DEVIATIONS,
)


class FaceID(DecoupledRival):
    """``tokens = LayerNorm(MLP(f_id))``; nobody is a vector of zeros."""

    name = "faceid"
    paper = "IP-Adapter-FaceID (github.com/tencent-ailab/IP-Adapter)"
    deviations = _SHARED

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.projection = self._projection(parts)
        first = next(layer for layer in self.projection.modules() if isinstance(layer, nn.Linear))
        nn.init.zeros_(first.bias)

    def _projection(self, parts: Parts) -> Any:
        return IPAdapterFaceIDImageProjection(parts.face_dim, parts.width, mult=2, num_tokens=self.count)

    def tokens(self, seen: References) -> Tensor:
        """See :class:`Rival`."""
        made: Tensor = self.projection(seen.vectors())
        return made


class FaceIDPlus(FaceID):
    """``x = LayerNorm(MLP(f_id))``, ``tokens = x + P(x, f_clip)``, P a perceiver whose queries are x (PlusV2)."""

    name = "faceid-plus"
    paper = "IP-Adapter-FaceID-PlusV2 (github.com/tencent-ailab/IP-Adapter)"
    deviations = (*_SHARED, "E_c's last hidden states, not the last but one; two perceiver blocks, not four")
    #: Whether x itself is a part of the tokens.
    shortcut: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.nothing: Tensor
        self.register_buffer("nothing", torch.from_numpy(parts.appearance.empty()), persistent=False)

    def _projection(self, parts: Parts) -> Any:
        network = IPAdapterFaceIDPlusImageProjection(
            embed_dims=parts.width,
            output_dims=parts.width,
            hidden_dims=parts.appearance_dim,
            id_embeddings_dim=parts.face_dim,
            depth=2,
            dim_head=parts.width // 4,
            heads=4,
            num_tokens=self.count,
        )
        network.shortcut = self.shortcut
        return network

    def tokens(self, seen: References) -> Tensor:
        """See :class:`Rival`; nobody is a vector of zeros and E_c's view of nothing."""
        self.projection.clip_embeds = torch.where(seen.nobody[:, None, None], self.nothing, seen.f_clip)[:, None]
        return super().tokens(seen)
