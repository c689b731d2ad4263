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
from torch.nn import functional as F


class Attention(nn.MultiheadAttention):
    """Torch's multi-head attention, weights and results alike, which calls its output layer as a module.

    Torch's own reads that layer's weights past its ``forward``, where offloading hooks never bring them.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, batch_first=True)

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: object
    ) -> tuple[Tensor, None]:
        """(B, n, W) attends to (B, m, W); ``attn_mask`` (n, m) is added to the logits."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, w, b).view(len(x), -1, self.num_heads, self.head_dim).transpose(1, 2)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


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
        self.cross_attention = Attention(width, heads)
        self.memory_norm = nn.LayerNorm(width)
        self.f_l = nn.Parameter(torch.randn(tokens, width))
        layer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, decoder_layers, norm=nn.LayerNorm(width))
        for each in self.decoder.layers:
            each.self_attn, each.multihead_attn = Attention(width, heads), Attention(width, heads)
        self.null = nn.Parameter(0.02 * torch.randn(tokens, width))
        # f_id has entries of about 1/sqrt(D), as small as Linear's usual bias: without one, direction alone counts.
        nn.init.zeros_(self.id_proj.bias)

    def forward(
        self,
        f_id: Tensor,
        f_clip: Tensor,
        drop: Tensor | None = None,
        scale: float = 1.0,
        streams: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor:
        """Mix identity and appearance into ``f_mix``.

        Args:
            f_id: (B, D) unit vectors of E_f.
            f_clip: (B, T, C) hidden states of E_c.
            drop: (B,) bool; rows that are True become the learned "nobody" (training for classifier-free guidance).
            scale: strength, on the line ``nobody + scale * (f_mix - nobody)``: 0 is nobody, 1 the person.
            streams: weights of ``f_id`` and ``f_clip`` in the cross-attention: each token's share there is
                proportional to ``weight * exp(q k)``. Only their ratio counts, and one of them may be 0 (``f_id``
                remains the query even then).

        Returns:
            (B, N, W); layer-normalised at ``scale`` 1.
        """
        id_tokens = self.id_proj(f_id).unflatten(-1, (self.config.id_tokens, self.config.width))
        clip_tokens = self.clip_proj(self.clip_norm(f_clip))
        both = self.attention_norm(torch.cat([id_tokens, clip_tokens], dim=1))
        query, bias = both[:, : self.config.id_tokens], None
        if streams[0] != streams[1]:
            counts = both.new_tensor([id_tokens.shape[1], clip_tokens.shape[1]], dtype=torch.long)
            bias = both.new_tensor(streams).log().repeat_interleave(counts).expand(query.shape[1], -1)
        memory, _ = self.cross_attention(query, both, both, attn_mask=bias)
        f_mix = self.decoder(self.f_l.expand(len(f_id), -1, -1), self.memory_norm(memory))
        nobody = self.null_tokens(len(f_id))
        if drop is not None:
            f_mix = torch.where(drop[:, None, None], nobody, f_mix)
        return cast(Tensor, f_mix if scale == 1.0 else nobody + scale * (f_mix - nobody))

    def null_tokens(self, batch: int) -> Tensor:
        """The learned "nobody" (batch, N, W): what the unguided half attends to."""
        return self.null.expand(batch, -1, -1)
