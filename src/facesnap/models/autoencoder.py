"""mini's VAE: diffusers' AutoencoderKL on unshuffled pixels.

At full resolution a VAE's convolutions cost more than all of its other layers together. Here squares of pixels are
folded into channels first, so that the first stage already works at half or a quarter of the size: the same latents for
a fraction of the time. Everything else (encode, decode, slicing, scaling factor, save and load) is AutoencoderKL's own,
and stock pipelines use it unchanged.
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

from facesnap.core.errors import AdapterError


class PatchAutoencoder(AutoencoderKL):  # type: ignore[misc, unused-ignore]
    """AutoencoderKL whose first stage is a pixel unshuffle by ``patch_size``, a power of two.

    ``block_out_channels``: as AutoencoderKL's, where the first entries are the unshuffle, one for each factor of 2:
    ``12 = 3 * 2 * 2`` channels, and ``48 = 3 * 4 * 4`` for a patch of 4. So pipelines conclude the factor f from their
    number, as ever: four entries mean 8, five mean 16.
    Images (B, 3, H, W) in [-1, 1], H and W divisible by f; latents (B, latent_channels, H/f, W/f).
    """

    @register_to_config  # type: ignore[untyped-decorator, unused-ignore]
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (12, 32, 64, 112),
        layers_per_block: int = 1,
        latent_channels: int = 4,
        norm_num_groups: int = 8,
        sample_size: int = 128,
        patch_size: int = 2,
        scaling_factor: float = 1.0,
        shift_factor: float | None = None,
        force_upcast: bool = False,
    ) -> None:
        config, folds = self.config, patch_size.bit_length() - 1
        unshuffled, inner = block_out_channels[:folds], tuple(block_out_channels[folds:])
        if tuple(unshuffled) != tuple(3 * 4**fold for fold in range(1, folds + 1)) or 2**folds != patch_size:
            raise AdapterError(f"a VAE with patch_size={patch_size} can't begin with {tuple(unshuffled)} channels")
        super().__init__(
            in_channels=3 * patch_size**2,
            out_channels=3 * patch_size**2,
            down_block_types=("DownEncoderBlock2D",) * len(inner),
            up_block_types=("UpDecoderBlock2D",) * len(inner),
            block_out_channels=inner,
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            sample_size=sample_size // patch_size,
            scaling_factor=scaling_factor,
            shift_factor=shift_factor,
            force_upcast=force_upcast,
            mid_block_add_attention=False,
        )
        self._internal_dict: Any = config  # AutoencoderKL registered its own arguments, which are not ours

    def _encode(self, x: Tensor) -> Tensor:
        moments: Tensor = super()._encode(F.pixel_unshuffle(x, self.config.patch_size))
        return moments

    def _decode(self, z: Tensor, return_dict: bool = True) -> Any:
        image = F.pixel_shuffle(super()._decode(z).sample, self.config.patch_size)
        return DecoderOutput(sample=image) if return_dict else (image,)
