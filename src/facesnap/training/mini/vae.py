"""Stage ``vae``: images -> latents of unit variance, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn

from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.training.batches import Batch
from facesnap.training.config import VaeConfig
from facesnap.training.loop import Stage
from facesnap.training.mini.data import Split, draw_noise, draw_rows, to_tensor
from facesnap.training.mini.export import save_half


class VaeStage(Stage):
    """L1 on pixels and on their differences (edges are what a mean error forgets), and a light KL.

    Pixels round eyes, nose and mouth count more: they are few, and what a face is known by.
    """

    def __init__(self, config: VaeConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.vae = PatchAutoencoder(
            block_out_channels=config.block_out_channels,
            latent_channels=config.latent_channels,
            sample_size=train.world.images.shape[1],
            patch_size=config.patch_size,
        )
        self.modules = nn.ModuleDict({"vae": self.vae})

    def draw(self, rng: np.random.Generator) -> Batch:
        """Random crops, mirrored half of the time, with their five points, and the noise of their latents."""
        rows = draw_rows(len(self.train), self.config.batch_size, rng)
        side, size = self.config.crop, self.train.world.images.shape[1]
        x, y = rng.integers(0, size - side + 1, 2)
        images = self.train.world.images[rows, y : y + side, x : x + side]
        flip = rng.random() < 0.5
        points = torch.from_numpy(self.train.points5[rows] - np.array([x, y], np.float32))
        if flip:
            images, points[..., 0] = images[:, :, ::-1], side - points[..., 0]
        grid = side // 2 ** (len(self.config.block_out_channels) - 1)
        noise = draw_noise((len(rows), self.config.latent_channels, grid, grid), rng)
        return {"images": to_tensor(images) * 2 - 1, "points": points, "noise": noise}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Of pictures decoded from noisy latents."""
        target = batch["images"]
        posterior = self.vae.encode(target).latent_dist
        image = self.vae.decode(posterior.mean + posterior.std * batch["noise"]).sample.float()
        weight = 1 + self.config.face_weight * near_features(batch["points"], target.shape[-1])
        weight = weight / weight.mean()
        l1 = (weight * (image - target).abs()).mean()
        losses = {"l1": l1, "gradient": gradient_loss(image, target, weight), "kl": kl(posterior)}
        weights = {"l1": 1.0, "gradient": self.config.gradient_weight, "kl": self.config.kl_weight}
        return {"loss": torch.stack([weights[k] * v for k, v in losses.items()]).sum(), **losses}

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Fold the latents' mean and spread into the VAE, so that its latents are N(0, 1) per channel."""
        images = to_tensor(self.train.world.images[:: max(1, len(self.train) // 256)]).to(self.device) * 2 - 1
        latents = torch.cat([self.vae.encode(chunk).latent_dist.mean for chunk in torch.split(images, 32)])
        whiten(self.vae, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
        save_half(self.vae, self.out / "base" / "vae")
        return psnr(self.vae, self.check, self.device)


@torch.no_grad()
def psnr(vae: PatchAutoencoder, split: Split, device: torch.device, count: int = 128) -> dict[str, float]:
    """Mean peak signal-to-noise ratio in dB of a split's first pictures through the posterior's mean.

    Of whole pictures, and weighed by how near a pixel is to eyes, nose and mouth.
    """
    errors, near = [], []
    for rows in np.array_split(np.arange(min(count, len(split))), max(1, count // 32)):
        part = to_tensor(split.world.images[rows]).to(device)
        decoded = vae.decode(vae.encode(part * 2 - 1).latent_dist.mean).sample.float() / 2 + 0.5
        error = (decoded.clamp(0, 1) - part).pow(2).mean(1, keepdim=True)
        weight = near_features(torch.from_numpy(split.points5[rows]), part.shape[-1]).to(device)
        errors.append(error.mean((1, 2, 3)))
        near.append((weight * error).sum((1, 2, 3)) / weight.sum((1, 2, 3)))
    found = {"val_psnr_db": errors, "val_psnr_features_db": near}
    return {name: round(float(-10 * torch.cat(parts).log10().mean()), 2) for name, parts in found.items()}


def gradient_loss(image: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean L1 between horizontal and vertical differences of (B, C, H, W); ``weight`` (B, 1, H, W), of mean 1."""
    error = image - target
    across, down = error.diff(dim=-1).abs(), error.diff(dim=-2).abs()
    if weight is not None:
        across, down = weight[..., 1:] * across, weight[..., 1:, :] * down
    return across.mean() + down.mean()


def near_features(points5: Tensor, side: int) -> Tensor:
    """How near each pixel is to an eye, the nose or the mouth: (B, 5, 2) in pixels -> (B, 1, side, side), 0 to 1.

    A bell round each point, as wide as 0.3 of the eyes' distance.
    """
    spread = 0.3 * (points5[:, 0] - points5[:, 1]).norm(dim=-1).clamp_min(1.0)
    place = torch.arange(side, dtype=torch.float32, device=points5.device) + 0.5
    across, down = ((place - points5[:, :, None, axis]) / spread[:, None, None] for axis in (0, 1))  # (B, 5, side)
    bells = (-0.5 * (down[:, :, :, None] ** 2 + across[:, :, None, :] ** 2)).exp()
    nearest: Tensor = bells.amax(dim=1, keepdim=True)
    return nearest


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
