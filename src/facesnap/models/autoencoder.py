"""mini's VAE: diffusers' AutoencoderKL on unshuffled pixels.

At full resolution a VAE's convolutions cost more than all of its other layers together. Here 2x2 pixels are folded
into channels first, so that the first stage already works at half size: the same f8 latents for about a quarter of the
time. Everything else (encode, decode, slicing, scaling factor, save and load) is AutoencoderKL's own, and stock
pipelines use it unchanged.
"""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput

# Diffusers' folder loader looks the base class up in the module that model_index.json names.
from diffusers.models.modeling_utils import ModelMixin as ModelMixin
from torch import Tensor
from torch.nn import functional as F


class PatchAutoencoder(AutoencoderKL):  # type: ignore[misc, unused-ignore]
    """AutoencoderKL whose first stage is a pixel unshuffle by 2.

    ``block_out_channels``: as AutoencoderKL's, where the first entry is the unshuffle itself, ``12 = 3 * 2 * 2``
    channels; so four entries give a factor of 8, as pipelines conclude from their number.
    Images (B, 3, H, W) in [-1, 1], H and W divisible by the factor; latents (B, latent_channels, H/8, W/8).
    """

    @register_to_config  # type: ignore[untyped-decorator, unused-ignore]
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (12, 32, 64, 112),
        layers_per_block: int = 1,
        latent_channels: int = 4,
        norm_num_groups: int = 8,
        sample_size: int = 128,
        scaling_factor: float = 1.0,
        shift_factor: float | None = None,
        force_upcast: bool = False,
    ) -> None:
        config = self.config
        inner = tuple(block_out_channels[1:])
        super().__init__(
            in_channels=block_out_channels[0],
            out_channels=block_out_channels[0],
            down_block_types=("DownEncoderBlock2D",) * len(inner),
            up_block_types=("UpDecoderBlock2D",) * len(inner),
            block_out_channels=inner,
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            sample_size=sample_size // 2,
            scaling_factor=scaling_factor,
            shift_factor=shift_factor,
            force_upcast=force_upcast,
            mid_block_add_attention=False,
        )
        self._internal_dict: Any = config  # AutoencoderKL registered its own arguments, which are not ours

    def _encode(self, x: Tensor) -> Tensor:
        moments: Tensor = super()._encode(F.pixel_unshuffle(x, 2))
        return moments

    def _decode(self, z: Tensor, return_dict: bool = True) -> Any:
        image = F.pixel_shuffle(super()._decode(z).sample, 2)
        return DecoderOutput(sample=image) if return_dict else (image,)
