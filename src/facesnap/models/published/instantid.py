"""InstantID (arXiv 2401.07519): a resampler's tokens of a face, read by decoupled attention and by IdentityNet.

IdentityNet is a ControlNet whose cross-attention reads the face instead of the text, and whose control image is
five keypoints (:func:`facesnap.landmarks.keypoints.draw_keypoints`): what :class:`FFRNet` is, with equal weight keys.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import torch
from torch import Tensor

from facesnap.core.errors import AdapterError, UsageError
from facesnap.core.weights import load_whole
from facesnap.models.ffrnet import FFRNet
from facesnap.models.published.adapter import PublishedAdapter
from facesnap.models.published.layout import INSTANTID, Layout
from facesnap.models.published.reading import State

#: Folder of IdentityNet beside ``ip-adapter.bin``.
IDENTITY_NET: Final = "ControlNetModel"

#: Length of an ArcFace vector before it becomes a unit vector, where nobody measured it. InsightFace's networks end in
#: a batch norm of fixed gain 1 (its recognition/arcface_torch/backbones/iresnet.py), so that each of 512 entries
#: varies by about 1; lengths of about 10 (bad pictures) to 28 (good ones) are reported (its issue 1075).
RAW_LENGTH: Final = math.sqrt(512)


class InstantID(PublishedAdapter):
    """InstantID's ``ip-adapter.bin`` and, beside it, ``ControlNetModel/``."""

    defaults = MappingProxyType({"num_inference_steps": 30, "guidance_scale": 5.0})
    attention_scale = 0.8
    #: Weight of IdentityNet's residuals in the project's examples.
    control_scale = 0.8

    def __init__(self, file: Path, layout: Layout, state: State) -> None:
        if not (file.parent / IDENTITY_NET / "config.json").is_file():
            raise AdapterError(f"{file} is InstantID's, which needs its IdentityNet: put {IDENTITY_NET}/ beside it")
        super().__init__(file, layout, INSTANTID, state)

    @property
    def identity_folder(self) -> Path:
        """Where IdentityNet lies."""
        return self.file.parent / IDENTITY_NET

    def identity_net(self, dtype: torch.dtype = torch.float32) -> FFRNet:
        """IdentityNet, in eval mode; hold :meth:`tokens` in it by :meth:`FFRNet.attend_to`.

        Raises:
            AdapterError: it is damaged, or reads tokens of another width.
        """
        folder = self.identity_folder
        net = load_whole(FFRNet, folder, f"the IdentityNet in {folder}", dtype=dtype)
        reads = net.config["cross_attention_dim"]
        if reads != self.layout.width:
            raise AdapterError(f"IdentityNet reads tokens of width {reads}, but {self.file} makes {self.layout.width}")
        return cast(FFRNet, net)

    @torch.no_grad()
    def tokens(
        self,
        f_id: Tensor,
        f_clip: Tensor | None = None,
        null_clip: Tensor | None = None,
        *,
        lengths: Tensor | float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`PublishedAdapter.tokens`: ``R(length * f_id)`` and ``R(0)``, R the resampler.

        InstantID was trained on the recogniser's raw output (``face_info['embedding']`` in its README), hence
        ``lengths``; its pipeline sends zeros through the resampler for the unguided half.
        """
        vectors = self._vectors(f_id)
        known = RAW_LENGTH if lengths is None else lengths
        lengths = torch.as_tensor(known, dtype=vectors.dtype, device=vectors.device).reshape(-1, 1)
        if len(lengths) not in (1, len(vectors)):
            raise UsageError(f"{len(lengths)} lengths for {len(vectors)} face vectors: give one for each, or one")
        raw = (vectors * lengths)[:, None]
        tokens, null_tokens = self.projection(torch.cat([raw, torch.zeros_like(raw)])).chunk(2)
        return tokens, null_tokens
