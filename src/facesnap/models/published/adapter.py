"""What all published adapters share: tokens of a face, read by a second attention beside the text's.

Decoupled attention (IP-Adapter, arXiv 2308.06721, eq. 5), in every cross-attention of the UNet, ``c`` the tokens::

    softmax(Q K^T / sqrt(d)) V + scale * softmax(Q K'^T / sqrt(d)) V',   K' = c W'_k,  V' = c W'_v
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from diffusers.utils import logging
from torch import Tensor, nn

from facesnap.core.errors import AdapterError, UsageError, one_line
from facesnap.core.lazy import require
from facesnap.models.published.layout import FAMILIES, Layout
from facesnap.models.published.reading import State, read_state

#: Name of FaceID's LoRA in the pipeline; whoever sets other LoRAs by ``set_adapters`` must name it, too.
LORA_NAME: Final = "facesnap_faceid"


class PublishedAdapter(ABC):
    """A published adapter, ready to be attached to pipelines of its family.

    Attributes:
        file: where it was read from.
        layout: what it fits and reads.
        kind: ``instantid``, ``ip-adapter-faceid``, ``ip-adapter-faceid-plus`` or ``ip-adapter-faceid-plusv2``.
        projection: diffusers' own network for face -> tokens, in float32; it runs once per call, outside the UNet.
        defaults: settings for generation that its project uses, by their names in diffusers.
        attention_scale: weight of the decoupled attention in its project's examples.
    """

    defaults: ClassVar[Mapping[str, Any]]
    attention_scale: ClassVar[float]

    def __init__(self, file: Path, layout: Layout, kind: str, state: State) -> None:
        self.file, self.layout, self.kind = file, layout, kind
        self.projection = build_projection(state["image_proj"], file).float().eval().requires_grad_(False)
        self._before: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()

    @property
    def family(self) -> str:
        """Of the bases it fits: ``sd1``, ``sdxl``, or the shape of another."""
        return self.layout.family

    def check_family(self, family: str, base: object = "this base") -> None:
        """Refuse a base by the name of its family, before it is loaded; :meth:`attach` then looks at every layer.

        Raises:
            AdapterError: it is another published family; names both.
        """
        if self.family in FAMILIES and family != self.family:
            raise AdapterError(f"this {self.kind} fits {self.family} bases, but {base} is {family}: choose another")

    def require_extras(self) -> None:
        """MissingExtraError if what :meth:`attach` needs isn't installed: FaceID's LoRA needs peft."""
        if self.layout.lora_rank:
            require("peft", "lora")

    @abstractmethod
    def tokens(
        self,
        f_id: Tensor,
        f_clip: Tensor | None = None,
        null_clip: Tensor | None = None,
        *,
        lengths: Tensor | float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the attentions read of a face, and what their unguided half reads.

        Args:
            f_id: (B, D) vectors of E_f; their length doesn't count.
            f_clip: (B, T, C) tokens of E_c; FaceID-Plus and -PlusV2 alone need them.
            null_clip: (1 or B, T, C) E_c's tokens of an empty picture; the same.
            lengths: how long E_f's vectors were before they became unit vectors, (B,) or one for all; InstantID alone
                reads it, and None takes the usual one.

        Returns:
            (B, N, W) twice.

        Raises:
            UsageError: vectors or tokens of another shape than the adapter reads, or missing.
        """

    def image_embeds(
        self, pipeline: Any, tokens: Tensor | Sequence[Tensor], null_tokens: Tensor | Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """A pipeline's ``ip_adapter_image_embeds``.

        Args:
            pipeline: the one that the adapter is attached to; its UNet's dtype counts.
            tokens: (B, N, W), a row per prompt; diffusers repeats them for ``num_images_per_prompt`` (as a block, so
                that with several prompts all rows should be one face). Several faces in a picture: one such tensor
                each, and their masks in the call's ``cross_attention_kwargs={"ip_adapter_masks": [(1, faces, H, W)]}``.
            null_tokens: (B or 1, N, W) each, for the unguided half; None for a call without guidance
                (``guidance_scale`` of at most 1), which takes no such half.
        """
        faces = [tokens] if isinstance(tokens, Tensor) else list(tokens)
        halves = [torch.stack(faces, dim=1)]
        if null_tokens is not None:
            nobody = [null_tokens] if isinstance(null_tokens, Tensor) else list(null_tokens)
            halves = [torch.stack([n.expand_as(f) for n, f in zip(nobody, faces, strict=True)], dim=1), *halves]
        return [torch.cat(halves).to(pipeline.unet.dtype)]

    def attach(self, pipeline: Any, scale: float | None = None) -> None:
        """Put the decoupled attention (and FaceID's LoRA) into a pipeline's UNet, by diffusers' own loader.

        The pipeline then needs ``ip_adapter_image_embeds`` in every call, see :meth:`image_embeds`.

        Args:
            pipeline: a Stable Diffusion pipeline, stock or ours; nothing but its UNet changes.
            scale: weight of the decoupled attention; None is :attr:`attention_scale`.

        Raises:
            AdapterError: the UNet is of another family (both named), or diffusers can't load it.
            UsageError: the pipeline has an IP-Adapter already, or (for FaceID's LoRA) LoRAs.
            MissingExtraError: FaceID's LoRA needs peft.
        """
        unet = pipeline.unet
        self.layout.check_unet(unet)
        if unet.encoder_hid_proj is not None:
            raise UsageError("this pipeline has an IP-Adapter already: detach that one first")
        if any("Sliced" in type(each).__name__ for each in unet.attn_processors.values()):
            raise UsageError(f"{self.kind} doesn't work with attention slicing: call disable_attention_slicing() first")
        self.require_extras()
        if self.layout.lora_rank and getattr(unet, "peft_config", None):
            raise UsageError(f"this pipeline has LoRAs already: attach the {self.kind} first, then load them")
        self._before[unet] = dict(unet.attn_processors)
        try:
            self._load(pipeline)
            pipeline.set_ip_adapter_scale(self.attention_scale if scale is None else scale)
        except Exception as error:  # diffusers and peft share no base class
            self.detach(pipeline)
            raise AdapterError(f"{self.file} can't be attached: {one_line(error)}") from error

    def check_attached(self, pipeline: Any) -> None:
        """Make sure that a picture will show the face: other things done to a pipeline may have taken the adapter off.

        Raises:
            UsageError: its attention isn't in the pipeline's UNet any more, or FaceID's LoRA doesn't act.
        """
        unet = pipeline.unet
        crossing = [each for name, each in unet.attn_processors.items() if name.endswith("attn2.processor")]
        if unet not in self._before or not all(hasattr(each, "to_k_ip") for each in crossing):
            raise UsageError(
                f"the {self.kind} is not on this pipeline any more: it was detached or unloaded, or its attention was"
                " replaced (attention slicing and fused projections do that): attach it again"
            )
        if self.layout.lora_rank and LORA_NAME not in pipeline.get_active_adapters():
            raise UsageError(
                f"the LoRA of this {self.kind} doesn't act: name {LORA_NAME} in set_adapters, beside your own"
            )

    def detach(self, pipeline: Any) -> None:
        """Take it out again: every tensor and attention processor of the UNet is what it was.

        Raises:
            UsageError: it isn't attached to this pipeline's UNet.
        """
        unet = pipeline.unet
        processors = self._before.pop(unet, None)
        if processors is None:
            raise UsageError(f"this {self.kind} isn't attached to this pipeline")
        loras = set(getattr(unet, "peft_config", None) or ())
        if loras == {LORA_NAME}:
            pipeline.unload_lora_weights()
        elif LORA_NAME in loras:
            pipeline.delete_adapters(LORA_NAME)
        unet.encoder_hid_proj = None
        unet.config.encoder_hid_dim_type = None
        unet.set_attn_processor(processors)

    def _load(self, pipeline: Any) -> None:
        """What ``pipeline.load_ip_adapter`` does to the UNet, without what it does to the rest of the pipeline."""
        unet = pipeline.unet
        # Read anew, not kept: beside the UNet's copy they would take gigabytes for as long as the adapter lives.
        state = {part: dict(tensors) for part, tensors in read_state(self.file).items()}
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # it warns of its own cast
        try:
            unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
            for lora in unet._load_ip_adapter_loras([state]).values():
                pipeline.load_lora_weights(lora, adapter_name=LORA_NAME)
        finally:
            logging.set_verbosity(verbosity)
        # Tokens are made once per call, by self.projection, and not at every step: IdentityNet reads them as well.
        unet.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity()])

    def _vectors(self, f_id: Tensor) -> Tensor:
        """f_id as unit vectors, where the projection is."""
        if f_id.ndim != 2 or f_id.shape[1] != self.layout.face_dim:
            raise UsageError(
                f"{self.kind} reads face vectors (B, {self.layout.face_dim}), not {tuple(f_id.shape)}: give the"
                " recogniser that it was trained with as E_f"
            )
        return nn.functional.normalize(f_id.to(next(self.projection.parameters())), dim=-1)


def build_projection(tensors: Mapping[str, Tensor], source: object) -> nn.Module:
    """Diffusers' network for an ``image_proj``, filled with it: every key and shape is compared.

    Raises:
        AdapterError: some are missing, too many, or of another shape.
    """
    try:
        made: nn.Module = UNet2DConditionLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers(
            tensors, low_cpu_mem_usage=False
        )
    except (KeyError, RuntimeError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise AdapterError(f"{source} is damaged, its image_proj can't be read: {one_line(error)}") from error
    return made
