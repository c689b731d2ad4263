"""Stage ``vae``: images -> latents of unit variance, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.training.config import VaeConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.data import Split, draw_rows, generator_for, to_tensor
from facesnap.training.mini.export import save_half


class VaeStage(Stage):
    """L1 on pixels and on their differences (edges are what a mean error forgets), and a light KL."""

    def __init__(self, config: VaeConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.vae = PatchAutoencoder(
            block_out_channels=config.block_out_channels,
            latent_channels=config.latent_channels,
            sample_size=train.world.images.shape[1],
            patch_size=config.patch_size,
        )
        self.modules = nn.ModuleDict({"vae": self.vae})

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Random crops, mirrored half of the time."""
        rng = generator_for(generator)
        rows = draw_rows(len(self.train), self.config.batch_size, rng)
        side, size = self.config.crop, self.train.world.images.shape[1]
        x, y = rng.integers(0, size - side + 1, 2)
        images = self.train.world.images[rows, y : y + side, x : x + side]
        images = images[:, :, ::-1] if rng.random() < 0.5 else images
        target = to_tensor(images).to(self.device) * 2 - 1
        posterior = self.vae.encode(target).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(self.device)
        image = self.vae.decode(posterior.mean + posterior.std * noise).sample.float()
        losses = {"l1": F.l1_loss(image, target), "gradient": gradient_loss(image, target), "kl": kl(posterior)}
        weights = {"l1": 1.0, "gradient": self.config.gradient_weight, "kl": self.config.kl_weight}
        return {"loss": torch.stack([weights[k] * v for k, v in losses.items()]).sum(), **losses}

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Fold the latents' mean and spread into the VAE, so that its latents are N(0, 1) per channel."""
        images = to_tensor(self.train.world.images[:: max(1, len(self.train) // 256)]).to(self.device) * 2 - 1
        latents = torch.cat([self.vae.encode(chunk).latent_dist.mean for chunk in torch.split(images, 32)])
        whiten(self.vae, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
        save_half(self.vae, self.out / "base" / "vae")
        return {"val_psnr_db": psnr(self.vae, self.check.world.images[:128], self.device)}


@torch.no_grad()
def psnr(vae: PatchAutoencoder, images: np.ndarray, device: torch.device) -> float:
    """Mean peak signal-to-noise ratio in dB over uint8 images (N, H, W, 3), through the posterior's mean."""
    errors = []
    for part in torch.split(to_tensor(images).to(device), 32):
        decoded = vae.decode(vae.encode(part * 2 - 1).latent_dist.mean).sample.float() / 2 + 0.5
        errors.append((decoded.clamp(0, 1) - part).pow(2).mean((1, 2, 3)))
    return round(float(-10 * torch.cat(errors).log10().mean()), 2)


def gradient_loss(image: Tensor, target: Tensor) -> Tensor:
    """Mean L1 between horizontal and vertical differences of (B, C, H, W)."""
    across = F.l1_loss(image.diff(dim=-1), target.diff(dim=-1))
    down = F.l1_loss(image.diff(dim=-2), target.diff(dim=-2))
    return across + down


def kl(posterior: DiagonalGaussianDistribution) -> Tensor:
    """Mean KL divergence to N(0, 1) per latent entry of a diagonal Gaussian."""
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    divergence: Tensor = 0.5 * (mean.pow(2) + logvar.exp() - 1.0 - logvar).mean()
    return divergence


def whiten(vae: PatchAutoencoder, mean: Tensor, std: Tensor) -> None:
    """Make latents ``(z - mean) / std`` per channel by changing the 1x1 convolutions on both sides; (C,) each."""
    encode, decode, channels = vae.quant_conv, vae.post_quant_conv, len(mean)
    shift = torch.cat([mean, 2 * std.log()])  # moments are (mean, log variance)
    gain = torch.cat([std, torch.ones_like(std)])
    encode.weight.div_(gain[:, None, None, None])
    encode.bias.sub_(shift).div_(gain)
    decode.bias.add_((decode.weight[:, :, 0, 0] * mean).sum(1))
    decode.weight.mul_(std.view(1, channels, 1, 1))
