"""The losses: L_total = L_diff + lambda_id * L_id (the paper), and those of the frozen parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: What a base may predict, by diffusers' names: the velocity, the noise, or the clean latents.
PREDICTIONS: Final = ("v_prediction", "epsilon", "sample")


@dataclass(frozen=True)
class NoiseSchedule:
    """``alpha`` and ``sigma`` (T,) of ``z_t = alpha_t * z_0 + sigma_t * eps``; what is predicted of it."""

    alpha: Tensor
    sigma: Tensor
    prediction: str = "v_prediction"

    @classmethod
    def of(cls, alphas_cumprod: Tensor, prediction: str) -> NoiseSchedule:
        """From a scheduler's cumulative products, as they are."""
        squared = alphas_cumprod.double()
        return cls(squared.sqrt().float(), (1.0 - squared).sqrt().float(), prediction)

    @classmethod
    def zero_snr(cls, alphas_cumprod: Tensor, prediction: str = "v_prediction") -> NoiseSchedule:
        """From a scheduler's cumulative products, rescaled so that the last step is pure noise.

        Source: Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1.
        """
        root = alphas_cumprod.double().sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        return cls(root.float(), (1.0 - root**2).clamp_min(0.0).sqrt().float(), prediction)

    def __len__(self) -> int:
        return len(self.alpha)

    def at(self, timesteps: Tensor, ndim: int) -> tuple[Tensor, Tensor]:
        """Alpha and sigma of timesteps (B,), shaped to broadcast against a tensor of ``ndim`` dimensions."""
        shape = (-1,) + (1,) * (ndim - 1)
        where = timesteps.to(self.alpha.device)
        return self.alpha[where].view(shape).to(timesteps.device), self.sigma[where].view(shape).to(timesteps.device)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """z_t (B, ...)."""
        alpha, sigma = self.at(timesteps, clean.ndim)
        return alpha * clean + sigma * noise

    def velocity(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """V = alpha * eps - sigma * z_0 (Salimans and Ho 2022)."""
        alpha, sigma = self.at(timesteps, clean.ndim)
        return alpha * noise - sigma * clean

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the base should predict (B, ...)."""
        if self.prediction == "v_prediction":
            return self.velocity(clean, noise, timesteps)
        return noise if self.prediction == "epsilon" else clean

    def clean_from(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """The one-step estimate of z_0 from z_t and what the base predicts."""
        if self.prediction == "sample":
            return predicted
        alpha, sigma = self.at(timesteps, noisy.ndim)
        if self.prediction == "epsilon":
            return (noisy - sigma * predicted) / alpha
        return alpha * noisy - sigma * predicted

    def min_snr_weight(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Weight (B,) of the loss, min(SNR, gamma) on z_0 (Hang et al. 2023), scaled to a mean of about 1.

        On v that is min(SNR, gamma) / (SNR + 1), on the noise min(SNR, gamma) / SNR. ``gamma <= 0`` weighs all
        timesteps alike.
        """
        if gamma <= 0:
            return torch.ones_like(timesteps, dtype=torch.float32)
        snr = (self.alpha / self.sigma.clamp_min(1e-4)) ** 2
        if self.prediction == "v_prediction":
            weight = snr.clamp_max(gamma) / (snr + 1.0)
        elif self.prediction == "epsilon":
            weight = (gamma / snr).clamp_max(1.0)
        else:
            weight = snr.clamp_max(gamma)
        return (weight / weight.mean())[timesteps.to(weight.device)].to(timesteps.device)


def diffusion_loss(
    prediction: Tensor, target: Tensor, timesteps: Tensor, schedule: NoiseSchedule, gamma: float
) -> dict[str, Tensor]:
    """L_diff on what the base predicts, and beside it the unweighted loss of the noisiest quarter of timesteps.

    The mean hides whether control is learned; the noisiest quarter, where structure is decided, shows it.
    """
    each = (prediction.float() - target.float()).pow(2).flatten(1).mean(1)
    losses = {"diff": (each * schedule.min_snr_weight(timesteps, gamma)).mean()}
    noisy = timesteps >= 0.75 * len(schedule)
    if noisy.any():
        losses["noisiest_quarter"] = each.detach()[noisy].mean()
    return losses


def draw_timesteps(count: int, total: int, rng: np.random.Generator, power: float = 0.0) -> Tensor:
    """(count,) timesteps in [0, total) with a density of ``t ** power``, one from each of ``count`` strata, shuffled.

    A batch's loss then says the same from step to step, and its gradient is less noisy.
    """
    strata = ((rng.permutation(count) + rng.random(count)) / count) ** (1.0 / (1.0 + power))
    return torch.from_numpy(np.minimum((strata * total).astype(np.int64), total - 1))


def identity_loss(embedding: Tensor, reference: Tensor) -> Tensor:
    """L_id = 1 - cos(E_f(generated), E_f(reference)), the mean over (B, D) embeddings."""
    return (1.0 - F.cosine_similarity(embedding.float(), reference.float(), dim=-1)).mean()


def identity_gate(timesteps: Tensor, total: int, window: tuple[float, float]) -> Tensor:
    """(B,) bool: L_id counts only between two shares of the noise range.

    Above, z_0's one-step estimate is no face yet; below, the noisy picture itself shows who it is (docs/LOG.md), and
    nothing is learned of the face tokens.
    """
    first, last = window
    return (timesteps >= first * total) & (timesteps < last * total)


def crop_by(images: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Differentiable similarity crops: (B, 3, H, W) and picture-to-crop matrices (B, 2, 3) in pixels -> (B, 3, s, s).

    Pixel (0, 0)'s top-left corner is the origin on both sides, as everywhere in FaceSnap.
    """
    height, width = images.shape[-2:]
    square = torch.eye(3, device=matrices.device, dtype=torch.float32).repeat(len(matrices), 1, 1)
    square[:, :2] = matrices.float()
    to_crop = torch.tensor([[size / 2, 0, size / 2], [0, size / 2, size / 2], [0, 0, 1.0]], device=matrices.device)
    to_unit = torch.tensor([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1.0]], device=matrices.device)
    theta = (to_unit @ torch.linalg.inv(square) @ to_crop)[:, :2]
    grid = F.affine_grid(theta, [len(images), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


class AngularMargin(nn.Module):
    """ArcFace's loss (Deng et al. 2019, eq. 3): the true class' angle grows by ``margin`` before the softmax.

    ``scale * cos(theta + margin)`` for the true person, ``scale * cos(theta)`` for the others. The margin grows in over
    the first ``ramp`` calls: from the start, small networks don't get off the ground (docs/LOG.md).
    """

    calls: Tensor

    def __init__(self, people: int, dim: int, scale: float, margin: float, ramp: int = 0) -> None:
        super().__init__()
        self.ramp = ramp
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.weight = nn.Parameter(0.2 * torch.randn(people, dim))
        self.scale, self.margin = scale, margin

    def forward(self, embedding: Tensor, person: Tensor) -> Tensor:
        """Loss of unit embeddings (B, D) for person indices (B,)."""
        cosine = F.linear(embedding.float(), F.normalize(self.weight.float())).clamp(-1 + 1e-6, 1 - 1e-6)
        margin = self.margin * min(1.0, int(self.calls) / self.ramp) if self.ramp else self.margin
        self.calls += 1
        sine = (1.0 - cosine**2).sqrt()
        shifted = cosine * math.cos(margin) - sine * math.sin(margin)
        # Past pi - margin the shifted cosine would rise again: fall back to a line, as ArcFace's authors do.
        shifted = torch.where(cosine > -math.cos(margin), shifted, cosine - margin * math.sin(margin))
        chosen = F.one_hot(person, cosine.shape[1]).bool()
        return F.cross_entropy(self.scale * torch.where(chosen, shifted, cosine), person)


def supervised_contrastive_loss(embedding: Tensor, person: Tensor, temperature: float) -> Tensor:
    """Pictures of one person against all others of the batch (Khosla et al. 2020, eq. 2); unit embeddings (B, D).

    A picture without another one of its person has no part in the mean.
    """
    similarity = embedding.float() @ embedding.float().T / temperature
    itself = torch.eye(len(person), dtype=torch.bool, device=person.device)
    same = (person[:, None] == person[None, :]) & ~itself
    log_share = F.log_softmax(similarity.masked_fill(itself, -1e9), dim=1)
    several = same.any(dim=1)
    each = -(log_share * same).sum(1)[several] / same.sum(1)[several]
    return each.mean() if len(each) else similarity.sum() * 0.0


def contrastive_loss(images: Tensor, texts: Tensor, log_scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3) of unit features (B, D)."""
    logits = log_scale.clamp(max=math.log(100.0)).exp() * images.float() @ texts.float().T
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
