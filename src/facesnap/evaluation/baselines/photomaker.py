"""PhotoMaker (arXiv 2312.04461): the face is put into the prompt, in the place of the class word.

::

    e' = e + MLP(cat(e, P CLIP(face))),  e'' = LayerNorm(e' + MLP'(e'))

``e`` is the text encoder's state of the class word; ``e''`` takes its place, and the base's attention layers, with
LoRAs, learn to read it (section 3.3; one reference here, so a stack of one).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from facesnap.evaluation.baselines.rival import Parts, References, Rival, Texts, pooled

#: Attention's own layers, by diffusers' names.
TRAINED: Final = ("to_q", "to_k", "to_v", "to_out.0")


class PhotoMaker(Rival):
    """Trains the projection of CLIP's embedding, the two MLPs, and LoRAs in the base's attention."""

    name = "photomaker"
    paper = "PhotoMaker (arXiv 2312.04461)"
    deviations = (
        "CLIP stays as it is; the paper trains its last layers, too",
        "LoRAs of rank 16, not 64, as the base's layers are a tenth as wide",
        "one reference, so the stack holds one embedding; the paper takes up to four",
        "no masked loss: the world's faces fill the picture",
        "the face is there from the first step on; the project's pipeline waits a fifth of the steps by default",
    )
    guidances = (1.0,)  # nobody is the prompt's own word, with nothing between
    rank = 16

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.appearance = parts.appearance
        width, size = parts.width, int(parts.appearance.model.config.projection_dim)
        self.projection = nn.Linear(size, width)
        self.fuse = _mlp(2 * width, width)
        self.refine = _mlp(width, width)
        self.norm = nn.LayerNorm(width)
        parts.unet.add_adapter(LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=list(TRAINED)))
        self._layers: list[Any] = [layer for layer in parts.unet.modules() if isinstance(layer, BaseTunerLayer)]
        self.lora = nn.ModuleList(part["default"] for layer in self._layers for part in (layer.lora_A, layer.lora_B))
        self.lora.requires_grad_(True)

    def tokens(self, seen: References) -> Tensor:
        """CLIP's embedding as one token (B, 1, W); NaN for nobody, whose prompt keeps its word."""
        made: Tensor = self.projection(pooled(self.appearance, seen.f_clip))
        return torch.where(seen.nobody[:, None], torch.full_like(made, torch.nan), made)[:, None]

    def fused(self, texts: Texts, tokens: Tensor) -> Tensor:
        """States (B, L, W) with the class word's replaced, where there is one and somebody to put there."""
        rows = torch.arange(len(texts.words), device=texts.words.device)
        word, face = texts.states[rows, texts.words], tokens[:, 0]
        known = ~face.isnan().any(dim=1) & (texts.words >= 0)
        face = torch.where(known[:, None], face, torch.zeros_like(face))
        fused = word + self.fuse(torch.cat([word, face], dim=1))
        fused = self.norm(fused + self.refine(fused))
        fused = torch.lerp(word, fused.to(word), self.strength)
        states = texts.states.clone()
        states[rows, texts.words] = torch.where(known[:, None], fused, word)
        return states

    def predict(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, texts: Texts, tokens: Tensor, maps: Tensor
    ) -> Tensor:
        """See :class:`Rival`."""
        for layer in self._layers:
            layer.scaling["default"] = self.strength  # rank and lora_alpha are equal
        predicted: Tensor = unet(noisy, timesteps, self.fused(texts, tokens)).sample
        return predicted


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
