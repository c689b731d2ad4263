"""InstantID (arXiv 2401.07519): a resampler's tokens of f_id, read by decoupled attention and by IdentityNet.

IdentityNet is a ControlNet on five keypoints of the driver, whose cross-attention reads the face instead of the text:
the same network as FFRNet, so both have the same size, start and levels here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor

from facesnap.evaluation.baselines.decoupled import DEVIATIONS, DecoupledRival
from facesnap.evaluation.baselines.rival import Parts, References, Texts, five_point_map, weighed_residuals
from facesnap.training.mini.adapter import new_ffrnet


class InstantID(DecoupledRival):
    """``tokens = Resampler(f_id)``; nobody is a vector of zeros."""

    name = "instantid"
    paper = "InstantID (arXiv 2401.07519)"
    deviations = (
        "two resampler blocks as wide as the text states, not four of 1280",
        "IdentityNet attends and starts as FFRNet does, not from zero convolutions",
        *DEVIATIONS,
    )
    settings: ClassVar[Mapping[str, Any]] = {"lambda_id": 0.0, "read_shapes": 0.0}
    wants_map = True
    draw_map = staticmethod(five_point_map)
    count = 16

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        size = {"embed_dims": parts.face_dim, "output_dims": parts.width, "hidden_dims": parts.width}
        heads = {"depth": 2, "dim_head": parts.width // 4, "heads": 4}
        # E_f's vectors have length 1; the project's recogniser gives lengths near the root of its size.
        self.length = parts.face_dim**0.5
        self.resampler = IPAdapterPlusImageProjection(**size, **heads, num_queries=self.count)
        self.identity_net = new_ffrnet(parts.unet, parts.config, parts.factor)

    def tokens(self, seen: References) -> Tensor:
        """See :class:`Rival`."""
        made: Tensor = self.resampler(self.length * seen.vectors()[:, None])
        return made

    def predict(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, texts: Texts, tokens: Tensor, maps: Tensor
    ) -> Tensor:
        """See :class:`Rival`."""
        given = weighed_residuals(self.identity_net, tokens, noisy, timesteps, maps, self.strength)
        predicted: Tensor = self.attention(unet, noisy, timesteps, texts, tokens, self.strength, given)
        return predicted
