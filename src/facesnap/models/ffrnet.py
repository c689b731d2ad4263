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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any, Final

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetOutput

# Diffusers' folder loader looks the base class up in the module that model_index.json names.
from diffusers.models.modeling_utils import ModelMixin as ModelMixin
from torch import Tensor, nn

from facesnap.core.errors import AdapterError, UsageError
from facesnap.models.controls import FaceControls
from facesnap.models.held import FaceInPicture, Held, HeldFace, in_regions
from facesnap.models.intercept import intercepting
from facesnap.models.map_embedding import MapEmbedding, remembering
from facesnap.models.recall import kept_keys, last_rows, twice
from facesnap.models.savings import Savings

#: Standard deviation of the connecting convolutions when they don't start at zero (see :meth:`FFRNet.from_unet`).
SMALL_INIT_STD: Final = 0.03

#: Gain of the map embedding's inner convolutions then. With torch's own start (about 0.6) a landmark map, a few dots on
#: black, fades on its way: two people's maps then differ by 2e-5 behind it, with this gain by 0.5 (docs/LOG.md).
MAP_INIT_GAIN: Final = 2.0


# One entry per FFRNet (by id), and per thread or task: two callers that share a network never see each other's face.
_HELD: ContextVar[Mapping[int, Held]] = ContextVar("facesnap_held_tokens", default={})  # noqa: B039 (never mutated)


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
    ) -> Iterator[Held]:
        """Hold one face for the calls inside the block; see :class:`FaceInPicture` for the tokens.

        Args:
            tokens: (B, N, W), one row per prompt of the pipeline's call.
            null_tokens: (B or 1, N, W) for the unguided half.
            images_per_prompt: the pipeline's ``num_images_per_prompt``.

        Raises:
            UsageError: tokens of another width than this network's, or misshapen.
        """
        with self.attend_to_all([FaceInPicture(tokens, null_tokens)], images_per_prompt) as held:
            yield held

    @contextmanager
    def attend_to_all(
        self,
        faces: Sequence[FaceInPicture],
        images_per_prompt: int = 1,
        controls: FaceControls | None = None,
        step: Callable[[], tuple[int, int]] | None = None,
        savings: Savings | None = None,
    ) -> Iterator[Held]:
        """Hold the faces of a picture for the calls inside the block: each acts in its own region.

        Args:
            faces: one per person.
            images_per_prompt: the pipeline's ``num_images_per_prompt``.
            controls: windows, levels and the map's strength; the other knobs are already in the tokens.
            step: tells (step, steps), as windows and savings need it.
            savings: what FFRNet needn't do at every step; None takes what changes nothing.

        Raises:
            UsageError: tokens of another width than this network's, or misshapen; factors for other levels than it has.
        """
        controls, savings = controls or FaceControls(), savings or Savings()
        for face in faces:
            face.check(self.config["cross_attention_dim"])
        levels = len(self.down_blocks) + 1
        if controls.level_scales is not None and len(controls.level_scales) != levels:
            raise UsageError(f"level_scales has {len(controls.level_scales)} factors, but FFRNet has {levels} levels")
        held_faces = [HeldFace.of(face, images_per_prompt, controls.map_scale) for face in faces]
        held = Held(held_faces, controls, step, savings)
        reset = _HELD.set({**_HELD.get(), id(self): held})
        try:
            with intercepting(kept_keys(self) if savings.keep_keys else {}):
                yield held
        finally:
            _HELD.reset(reset)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor | None = None,
        controlnet_cond: Tensor | None = None,
        *args: Any,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> ControlNetOutput | tuple[tuple[Tensor, ...], Tensor]:
        """ControlNetModel's forward (sample (rows, C, h, w), map (rows, 3, H, W) in [0, 1]) on the held faces.

        ``encoder_hidden_states`` is ignored; everything else passes through.

        Raises:
            UsageError: outside :meth:`attend_to`, or the batch doesn't match the tokens held.
        """
        held = _HELD.get().get(id(self))
        if held is None:
            raise UsageError("FFRNet holds no face: call the pipeline inside `with ffrnet.attend_to(tokens):`")
        known, mapped = held.seen()
        if not (known or mapped):
            down, mid = self._silent(sample)
        else:
            stock, rows = super().forward, len(sample)
            if held.guided_alone(rows):  # the pipeline's other half is the same sample
                sample, args, kwargs = last_rows((sample, args, kwargs), held.images)

            def residuals(face: HeldFace) -> list[Tensor]:
                shown = face.shown(sample, controlnet_cond)
                face.map_memory.rows = len(sample)
                with remembering(face.map_memory):
                    shown = shown if mapped or shown is None else face.blank(shown)
                    states = face.states(sample, known)
                    down, mid = stock(sample, timestep, states, shown, *args, return_dict=False, **kwargs)
                return [*down, mid]

            def everyones() -> list[Tensor]:
                return in_regions([residuals(face) for face in held.faces], [face.region for face in held.faces])

            total = held.residuals((known, mapped, args[:1], kwargs.get("conditioning_scale")), everyones)
            total = twice(total) if len(total[0]) < rows else last_rows(total, rows)
            *down, mid = self._scaled(total, held.controls.level_scales)
        return ControlNetOutput(tuple(down), mid) if return_dict else (tuple(down), mid)

    def _silent(self, sample: Tensor) -> tuple[list[Tensor], Tensor]:
        """Residuals that change nothing. Each is a tensor of its own and of its full size: where there are several
        ControlNets, diffusers adds the others' to them in place.
        """
        side = sample.shape[-2:]
        sides = [side]  # conv_in's
        for block in self.down_blocks:
            sides += [side] * len(block.resnets)
            if block.downsamplers is not None:
                side = torch.Size((length + 1) // 2 for length in side)
                sides.append(side)
        ends = [*self.controlnet_down_blocks, self.controlnet_mid_block]
        *down, mid = (
            sample.new_zeros(len(sample), end.out_channels, *size)
            for end, size in zip(ends, [*sides, side], strict=True)
        )
        return down, mid

    def _scaled(self, residuals: list[Tensor], scales: Sequence[float] | None) -> list[Tensor]:
        """Residuals times the factor of their level."""
        if scales is None:
            return residuals
        levels = [0]  # conv_in's
        for level, block in enumerate(self.down_blocks):
            levels += [level] * (len(block.resnets) + (block.downsamplers is not None))
        return [residual * scales[level] for residual, level in zip(residuals, [*levels, -1], strict=True)]

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
