"""Face Fidelity Reinforce Network (FFRNet): a ControlNet that reads a face where others read text.

Its control image is the landmark map; its cross-attention attends to ``f_mix`` (see :mod:`facesnap.models.mixer`), and
its residuals enter the frozen UNet, which reads the prompt alone. Stock diffusers pipelines hand every ControlNet the
text states; FFRNet ignores them and uses the tokens it holds::

    with ffrnet.attend_to(tokens, null_tokens):
        pipeline(prompt, image=landmark_map)
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, Final

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetOutput

# Diffusers' folder loader looks the base class up in the module that model_index.json names.
from diffusers.models.modeling_utils import ModelMixin as ModelMixin
from torch import Tensor, nn

from facesnap.core.errors import AdapterError, UsageError
from facesnap.models.map_embedding import MapEmbedding, MapMemory, remembering

#: Standard deviation of the connecting convolutions when they don't start at zero (see :meth:`FFRNet.from_unet`).
SMALL_INIT_STD: Final = 0.03

#: Gain of the map embedding's inner convolutions then. With torch's own start (about 0.6) a landmark map, a few dots on
#: black, fades on its way: two people's maps then differ by 2e-5 behind it, with this gain by 0.5 (docs/LOG.md).
MAP_INIT_GAIN: Final = 2.0


@dataclass(frozen=True)
class _Held:
    """What a call holds: ``tokens`` and ``null``, each (images, N, W), and its map's embedding."""

    tokens: Tensor
    null: Tensor
    map_memory: MapMemory = field(default_factory=MapMemory)

    def rows(self, batch: int) -> Tensor:
        """What each row of the UNet's batch attends to, (batch, N, W).

        Under classifier-free guidance diffusers stacks [unguided; guided]; in guess mode and without guidance it sends
        the guided rows alone.
        """
        images = len(self.tokens)
        if batch == images:
            return self.tokens
        if batch == 2 * images:
            return torch.cat([self.null, self.tokens])
        raise UsageError(
            f"FFRNet holds face tokens for {images} image(s), but the pipeline runs {batch} rows (expected {images}, or"
            f" {2 * images} under guidance): give attend_to one row per prompt and images_per_prompt"
        )


# One entry per FFRNet (by id), and per thread or task: two callers that share a network never see each other's face.
_HELD: ContextVar[Mapping[int, _Held]] = ContextVar("facesnap_held_tokens", default={})  # noqa: B039 (never mutated)


class FFRNet(ControlNetModel):  # type: ignore[misc]
    """FFRNet of the paper's framework figure. Save and load with ``save_pretrained`` / ``from_pretrained``.

    Its config and weight keys are ControlNetModel's own, so a stock ControlNetModel can load the network too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.controlnet_cond_embedding.__class__ = MapEmbedding

    @classmethod
    def from_unet(
        cls,
        unet: UNet2DConditionModel,
        token_width: int | None = None,
        *,
        conditioning_channels: int = 3,
        conditioning_embedding_out_channels: tuple[int, ...] | None = None,
        controlnet_conditioning_channel_order: str = "rgb",
        load_weights_from_unet: bool = True,
        vae_scale_factor: int = 8,
        down_block_types: tuple[str, ...] | None = None,
        zero_init: bool = True,
    ) -> FFRNet:
        """A trainable copy of a UNet's encoder that attends to tokens of ``token_width``.

        Args:
            unet: the frozen base. A nine-channel inpainting UNet gives its latent channels.
            token_width: W of the mixer; None takes the UNet's ``cross_attention_dim``. If they are equal the text
                keys and values are copied, too; otherwise they start anew.
            conditioning_channels: channels of the landmark map.
            conditioning_embedding_out_channels: widths of the map's embedding, one stride of 2 between neighbours;
                None chooses what brings the map to the size of the latents.
            controlnet_conditioning_channel_order: "rgb", or "bgr" for maps made so.
            load_weights_from_unet: False leaves random weights.
            vae_scale_factor: pixels per latent (8 for Stable Diffusion).
            down_block_types: None takes the UNet's. Where the UNet has no attention and this names it, new layers start
                silent: a base can do without reading its text at the finest level, but a face's detail is there.
            zero_init: True is the published way: the connecting convolutions start at zero. On small bases both ends
                at zero leave the gradient too small to learn control; False starts them, and the map's embedding, so
                that the map is felt from the first step.
        """
        own = inspect.signature(ControlNetModel.__init__).parameters
        config = {name: value for name, value in unet.config.items() if name in own}
        config.update(
            in_channels=unet.config["out_channels"],
            cross_attention_dim=token_width or unet.config["cross_attention_dim"],
            encoder_hid_dim=None,  # ControlNetModel would build this projection and never call it
            encoder_hid_dim_type=None,
            conditioning_channels=conditioning_channels,
            conditioning_embedding_out_channels=conditioning_embedding_out_channels
            or embedding_channels(vae_scale_factor),
            controlnet_conditioning_channel_order=controlnet_conditioning_channel_order,
            down_block_types=down_block_types or unet.config["down_block_types"],
        )
        net = cls(**config)
        if load_weights_from_unet:
            net._copy_encoder(unet)
        if not zero_init:
            net._start_small()
        return net

    @contextmanager
    def attend_to(
        self, tokens: Tensor, null_tokens: Tensor | None = None, images_per_prompt: int = 1
    ) -> Iterator[FFRNet]:
        """Hold face tokens for the calls inside the block.

        Args:
            tokens: (B, N, W), one row per prompt of the pipeline's call.
            null_tokens: (B or 1, N, W) for the unguided half; None uses ``tokens`` there, so that guidance acts on the
                text alone.
            images_per_prompt: the pipeline's ``num_images_per_prompt``.

        Raises:
            UsageError: tokens of another width than this network's, or misshapen.
        """
        null = tokens if null_tokens is None else null_tokens.expand(len(tokens), -1, -1)
        self._check(tokens, null)
        rows = [t.repeat_interleave(images_per_prompt, dim=0) for t in (tokens, null)]
        held = _Held(tokens=rows[0], null=rows[1])
        reset = _HELD.set({**_HELD.get(), id(self): held})
        try:
            yield self
        finally:
            _HELD.reset(reset)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor | None = None,
        controlnet_cond: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> ControlNetOutput | tuple[tuple[Tensor, ...], Tensor]:
        """ControlNetModel's forward (sample (rows, C, h, w), map (rows, 3, H, W) in [0, 1]) on the held tokens.

        ``encoder_hidden_states`` is ignored; everything else passes through.

        Raises:
            UsageError: outside :meth:`attend_to`, or the batch doesn't match the tokens held.
        """
        held = _HELD.get().get(id(self))
        if held is None:
            raise UsageError("FFRNet holds no face: call the pipeline inside `with ffrnet.attend_to(tokens):`")
        states = held.rows(len(sample)).to(sample.device, sample.dtype)
        with remembering(held.map_memory):
            return super().forward(sample, timestep, states, controlnet_cond, *args, **kwargs)

    def _check(self, tokens: Tensor, null: Tensor) -> None:
        width = self.config["cross_attention_dim"]
        if tokens.ndim != 3 or tokens.shape[-1] != width:
            raise UsageError(f"FFRNet takes face tokens (batch, tokens, {width}), not {tuple(tokens.shape)}")
        if null.shape != tokens.shape:
            raise UsageError(f"null tokens {tuple(null.shape)} don't match the face tokens {tuple(tokens.shape)}")

    def _copy_encoder(self, unet: UNet2DConditionModel) -> None:
        """Copy all that the two networks share; text keys and values only if their width is the same."""
        source, target = unet.state_dict(), self.state_dict()
        source["conv_in.weight"] = source["conv_in.weight"][:, : self.config["in_channels"]]
        shared = {k: source[k] for k, v in target.items() if k in source and source[k].shape == v.shape}
        added = _added_attention(self, unet)
        own = ("controlnet_", *added)
        anew = [k for k in target if k not in shared and not k.startswith(own) and not _reads_tokens(k)]
        if anew:
            raise AdapterError(f"this UNet's encoder doesn't fit a ControlNet: {anew[0]} differs")
        ends = [k for k in target if k.startswith(added) and ".proj_out." in k]
        self.load_state_dict({**shared, **{k: torch.zeros_like(target[k]) for k in ends}}, strict=False)

    def _start_small(self) -> None:
        """Let the landmark map and the residuals through, a little, from the first step."""
        embedding = self.controlnet_cond_embedding
        for inner in (embedding.conv_in, *embedding.blocks):
            nn.init.normal_(inner.weight, std=MAP_INIT_GAIN / math.sqrt(inner.weight[0].numel()))
            nn.init.zeros_(inner.bias)
        for end in (embedding.conv_out, *self.controlnet_down_blocks, self.controlnet_mid_block):
            nn.init.normal_(end.weight, std=SMALL_INIT_STD)


# Diffusers reads the names of the config off the constructor's signature.
update_wrapper(FFRNet.__init__, ControlNetModel.__init__)


def embedding_channels(vae_scale_factor: int) -> tuple[int, ...]:
    """Widths of the landmark map's embedding: ControlNet's (16, 32, 96, 256), cut or lengthened to the stride.

    Raises:
        UsageError: the factor isn't a power of two.
    """
    strides = vae_scale_factor.bit_length() - 1
    if vae_scale_factor < 1 or 2**strides != vae_scale_factor:
        raise UsageError(f"vae_scale_factor={vae_scale_factor} must be a power of two")
    published = (16, 32, 96, 256)
    return published[: strides + 1] + (published[-1],) * (strides + 1 - len(published))


def _reads_tokens(key: str) -> bool:
    """Whether a weight key is a cross-attention key or value projection (their input is W wide)."""
    return ".attn2.to_k." in key or ".attn2.to_v." in key


def _added_attention(net: FFRNet, unet: UNet2DConditionModel) -> tuple[str, ...]:
    """Prefixes of the keys of attention that a network has and its UNet lacks."""
    levels = enumerate(zip(net.down_blocks, unet.down_blocks, strict=True))
    return tuple(
        f"down_blocks.{level}.attentions."
        for level, (block, source) in levels
        if hasattr(block, "attentions") and not hasattr(source, "attentions")
    )
