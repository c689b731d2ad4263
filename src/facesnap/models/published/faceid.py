"""IP-Adapter-FaceID (github.com/tencent-ailab/IP-Adapter): four tokens of a face, decoupled attention, and a LoRA.

::

    x = LayerNorm(MLP(f_id))                            FaceID
    P(x, f_clip), P a perceiver with x as queries       FaceID-Plus
    x + structure_scale * P(x, f_clip)                  FaceID-PlusV2
"""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from facesnap.core.errors import UsageError
from facesnap.models.published.adapter import PublishedAdapter
from facesnap.models.published.layout import FACEID_PLUSV2


class FaceID(PublishedAdapter):
    """IP-Adapter-FaceID, -Plus or -PlusV2."""

    defaults = MappingProxyType({"num_inference_steps": 30, "guidance_scale": 7.5})
    attention_scale = 1.0

    @torch.no_grad()
    def tokens(
        self,
        f_id: Tensor,
        f_clip: Tensor | None = None,
        null_clip: Tensor | None = None,
        *,
        lengths: Tensor | float | None = None,
        structure_scale: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`PublishedAdapter.tokens`. FaceID was trained on unit vectors, so ``lengths`` has no effect.

        ``f_clip`` is CLIP's last but one hidden state, of the face aligned as for E_f at CLIP's size; ``null_clip`` the
        same of a picture whose pixels are all 0 *after* CLIP's normalisation. So the project's own code has it.

        Args:
            f_id: (B, 512).
            f_clip: (B, T, C).
            null_clip: (1 or B, T, C).
            lengths: not read.
            structure_scale: PlusV2's weight of what CLIP sees (``s_scale`` there).
        """
        vectors = self._vectors(f_id)
        nobody = torch.zeros_like(vectors)
        if self.layout.appearance_dim is None:
            tokens, null_tokens = self.projection(torch.cat([vectors, nobody])).chunk(2)
            return tokens, null_tokens
        seen = [self._seen(clip, len(vectors)) for clip in (f_clip, null_clip)]
        # Diffusers' network keeps f_clip as an attribute: that of a shallow copy, so that threads don't share it.
        network: Any = copy.copy(self.projection)
        network.shortcut, network.shortcut_scale = self.kind == FACEID_PLUSV2, structure_scale
        network.clip_embeds = torch.cat(seen)[:, None].to(vectors)
        tokens, null_tokens = network(torch.cat([vectors, nobody])).chunk(2)
        return tokens, null_tokens

    def _seen(self, clip: Tensor | None, batch: int) -> Tensor:
        wanted = self.layout.appearance_dim
        if clip is None:
            raise UsageError(
                f"{self.kind} needs f_clip and null_clip: CLIP's tokens of the face and of an empty picture"
            )
        if clip.ndim != 3 or clip.shape[-1] != wanted or len(clip) not in (1, batch):
            raise UsageError(f"{self.kind} reads CLIP tokens ({batch}, T, {wanted}), not {tuple(clip.shape)}")
        return clip.expand(batch, -1, -1)
