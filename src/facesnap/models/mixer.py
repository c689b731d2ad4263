"""Facial Attribute Mixer (FAM): what the recogniser and the image encoder saw, mixed into a few tokens.

::

    f_id (B, D) ──Linear──► id tokens (B, n, W) ──┬────── query ──────┐
                                                  │                   ▼
    f_clip (B, T, C) ─Linear─► (B, T, W) ──────► cat ─ key, value ─► cross-attention
                                              (B, n+T, W)             │ (B, n, W)
                                                                      ▼ key, value
    learnable tokens f_l (N, W) ──────────── query ───────► transformer decoder ─► f_mix (B, N, W)

``f_id = E_f(face)``: identity, high-level and abstract. ``f_clip = E_c(face)``: appearance, low-level and specific.
D: size of E_f's vectors; T, C: count and size of E_c's tokens; n: ``id_tokens``; N: ``tokens``; W: ``width``.
"""

from __future__ import annotations

from typing import cast

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn


class FacialAttributeMixer(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """FAM of the paper's framework figure; see this module's drawing.

    A diffusers model (``config``, ``save_pretrained``, ``from_pretrained``), so that pipelines can register, move and
    offload it. ``heads`` must divide ``width``.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        face_dim: int,
        appearance_dim: int,
        width: int,
        id_tokens: int = 4,
        tokens: int = 16,
        heads: int = 8,
        decoder_layers: int = 2,
    ) -> None:
        super().__init__()
        self.id_proj = nn.Linear(face_dim, id_tokens * width)
        self.clip_proj = nn.Linear(appearance_dim, width)
        # Pre-norms. E_c's last hidden states have a few huge channels that would drown the others in clip_proj.
        self.clip_norm = nn.LayerNorm(appearance_dim)
        self.attention_norm = nn.LayerNorm(width)
        self.cross_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.memory_norm = nn.LayerNorm(width)
        self.f_l = nn.Parameter(torch.randn(tokens, width))
        layer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, decoder_layers, norm=nn.LayerNorm(width))
        self.null = nn.Parameter(0.02 * torch.randn(tokens, width))
        # f_id has entries of about 1/sqrt(D), as small as Linear's usual bias: without one, direction alone counts.
        nn.init.zeros_(self.id_proj.bias)

    def forward(self, f_id: Tensor, f_clip: Tensor, drop: Tensor | None = None) -> Tensor:
        """Mix identity and appearance into ``f_mix``.

        Args:
            f_id: (B, D) unit vectors of E_f.
            f_clip: (B, T, C) hidden states of E_c.
            drop: (B,) bool; rows that are True become :meth:`null_tokens` (training for classifier-free guidance).

        Returns:
            (B, N, W), layer-normalised.
        """
        id_tokens = self.id_proj(f_id).unflatten(-1, (self.config.id_tokens, self.config.width))
        clip_tokens = self.clip_proj(self.clip_norm(f_clip))
        both = self.attention_norm(torch.cat([id_tokens, clip_tokens], dim=1))
        query = both[:, : self.config.id_tokens]
        memory, _ = self.cross_attention(query, both, both, need_weights=False)
        f_mix = self.decoder(self.f_l.expand(len(f_id), -1, -1), self.memory_norm(memory))
        if drop is not None:
            f_mix = torch.where(drop[:, None, None], self.null_tokens(len(f_id)), f_mix)
        return cast(Tensor, f_mix)

    def null_tokens(self, batch: int) -> Tensor:
        """The learned "nobody" (batch, N, W): what the unguided half attends to."""
        return self.null.expand(batch, -1, -1)

    def mix(self, f_id: Tensor, f_clip: Tensor, scale: float = 1.0) -> Tensor:
        """``f_mix`` at another strength: ``null + scale * (f_mix - null)``; 0 is nobody, 1 the person."""
        null = self.null_tokens(len(f_id))
        return null + scale * (self.forward(f_id, f_clip) - null)
