"""Decoupled cross-attention (IP-Adapter, arXiv 2308.06721, eq. 5): a second attention beside the text's reads the face.

::

    softmax(Q K^T / sqrt(d)) V + scale * softmax(Q K'^T / sqrt(d)) V',   K' = c W'_k,  V' = c W'_v

Where the base has cross-attention, that is diffusers' own processor. mini's base has none at its finest level, but a
face's detail is there, and FFRNet was given it: so there every residual block is followed by the second attention
alone, whose output starts at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from diffusers.models.attention_processor import Attention, AttnProcessor, IPAdapterAttnProcessor
from torch import Tensor, nn

from facesnap.evaluation.baselines.rival import Parts, Rival, Texts
from facesnap.training.adapter.objective import Residuals

#: What all that use it have in common.
DEVIATIONS: Final = (
    "trained on pairs of pictures, as all methods here; the paper's target is its own reference",
    "decoupled attention at the base's finest level, too, where the base itself has none",
)


class DecoupledRival(Rival):
    """A method whose tokens are read by decoupled attention alone; ``count`` of them per face."""

    count: ClassVar[int] = 4

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.attention = DecoupledAttention(parts.unet, self.count)

    def predict(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, texts: Texts, tokens: Tensor, maps: Tensor
    ) -> Tensor:
        """See :class:`Rival`."""
        predicted: Tensor = self.attention(unet, noisy, timesteps, texts, tokens, self.strength)
        return predicted


class DecoupledAttention(nn.Module):
    """The trainable half of it, put into a UNet.

    Args:
        unet: whose processors are replaced.
        tokens: how many there are per face.
        fine: also at the finest level, where the base itself doesn't attend.
        heads: of the attention there.
    """

    def __init__(self, unet: Any, tokens: int, *, fine: bool = True, heads: int = 4) -> None:
        super().__init__()
        width = int(unet.config["cross_attention_dim"])
        self.crossings = nn.ModuleList()
        for layer in crossing_layers(unet):
            processor = IPAdapterAttnProcessor(layer.inner_dim, width, (tokens,))
            processor.to_k_ip[0].weight.data.copy_(layer.to_k.weight)  # begin as the text's, as the paper does
            processor.to_v_ip[0].weight.data.copy_(layer.to_v.weight)
            layer.set_processor(processor)
            self.crossings.append(processor)
        self.fine = nn.ModuleList(FineAttention(block, width, heads) for block in fine_blocks(unet) if fine)
        self._crossings, self._fine = _list(self.crossings), _list(self.fine)

    def forward(
        self,
        unet: Any,
        noisy: Tensor,
        timesteps: Tensor,
        texts: Texts,
        tokens: Tensor,
        strength: float = 1.0,
        given: Residuals | None = None,
    ) -> Tensor:
        """What the UNet predicts (B, C, h, w), given text states, tokens (B, N, W), and a ControlNet's residuals."""
        down, mid = given or (None, None)
        for crossing in self._crossings:
            crossing.scale = [strength]
        for fine in self._fine:
            fine.tokens, fine.strength = tokens, strength
        try:
            predicted: Tensor = unet(
                *(noisy, timesteps, (texts.states, [tokens])),
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
            ).sample
        finally:
            for fine in self._fine:
                fine.tokens = None
        return predicted


def _list(modules: nn.ModuleList) -> list[Any]:
    return list(modules)


class FineAttention(nn.Module):
    """``h + strength * W_o attention(norm(h), tokens)`` behind a residual block; ``W_o`` starts at zero."""

    tokens: Tensor | None = None
    strength = 1.0

    def __init__(self, block: Any, width: int, heads: int) -> None:
        super().__init__()
        channels = block.out_channels
        self.norm = nn.GroupNorm(block.norm1.num_groups, channels)
        self.attention = Attention(channels, width, heads=heads, dim_head=channels // heads, processor=AttnProcessor())
        nn.init.zeros_(self.attention.to_out[0].weight)
        nn.init.zeros_(self.attention.to_out[0].bias)
        block.register_forward_hook(self._behind)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """(B, C, h, w) and (B, N, W) -> (B, C, h, w)."""
        rows = self.norm(features).flatten(2).transpose(1, 2)
        seen: Tensor = self.attention(rows, tokens).transpose(1, 2).unflatten(2, features.shape[-2:])
        return features + self.strength * seen

    def _behind(self, _block: nn.Module, _given: Any, features: Tensor) -> Tensor:
        return features if self.tokens is None else self(features, self.tokens)


def fine_blocks(unet: Any) -> list[Any]:
    """The residual blocks of the finest level, if the base doesn't attend there; else none."""
    down, up = unet.down_blocks[0], unet.up_blocks[-1]
    return [block for level in (down, up) if not hasattr(level, "attentions") for block in level.resnets]


def queries_of(layers: Sequence[Any], call: Callable[[], Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Run ``call()`` and keep each layer's queries (B, rows, channels), in the order of ``layers``."""
    kept: dict[int, Tensor] = {}

    def keeping(place: int) -> Callable[..., None]:
        return lambda _module, _given, made: kept.update({place: made})

    hooks = [layer.to_q.register_forward_hook(keeping(place)) for place, layer in enumerate(layers)]
    try:
        made = call()
    finally:
        for hook in hooks:
            hook.remove()
    return made, [kept[place] for place in range(len(layers))]


def crossing_layers(unet: Any) -> list[Any]:
    """Its cross-attentions, in the order in which it holds them (not that in which it runs them)."""
    return [module for module in unet.modules() if isinstance(module, Attention) and module.is_cross_attention]
