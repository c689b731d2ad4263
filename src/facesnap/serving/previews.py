"""A look at latents while a picture forms: a linear map to colours, thousands of times cheaper than the VAE."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

#: Side of the pictures that a map is fitted on, and how many: 16 of 128 pixels are 4096 latents of a usual VAE.
_FIT_SIDE: Final = 128
_FIT_PICTURES: Final = 16

#: Shorter side that previews are enlarged to, in pixels; and the JPEG's quality. They have some 3 kB.
SIDE: Final = 128
_QUALITY: Final = 80


@dataclass(frozen=True)
class LatentColours:
    """``rgb = latent @ weight + bias`` in [0, 1]. ``weight``: (C, 3); ``bias``: (3,); ``spread``: (C,) usual std."""

    weight: np.ndarray
    bias: np.ndarray
    spread: np.ndarray

    @staticmethod
    @torch.no_grad()
    def fit(vae: Any) -> LatentColours:
        """Least squares from the latents of smooth pictures to their colours; takes the VAE's encoder once.

        Args:
            vae: of a diffusers pipeline.
        """
        pictures = _smooth_pictures()
        wide = vae
        if vae.dtype == torch.float16:  # SDXL's overflows in it
            wide = torch.nn.Module.to(copy.deepcopy(vae), torch.float32)  # diffusers' own would warn of it
        encoded = wide.encode((pictures * 2 - 1).to(wide.device, wide.dtype))
        # AutoencoderTiny has no distribution.
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        scaled = (
            latents.float().cpu() - (getattr(vae.config, "shift_factor", None) or 0.0)
        ) * vae.config.scaling_factor
        colours = functional.interpolate(pictures, scaled.shape[-2:], mode="area")
        x, y = _rows(scaled), _rows(colours)
        solved = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=1e-4)[0]
        return LatentColours(solved[:-1], solved[-1], x.std(axis=0))

    def picture(self, latents: Tensor) -> np.ndarray:
        """Latents (C, h, w) as colours (h, w, 3) uint8. Noise that is stronger than pictures are is taken back."""
        values = latents.detach().float().cpu().permute(1, 2, 0).numpy()
        values = values / np.maximum(values.std(axis=(0, 1)) / np.maximum(self.spread, 1e-6), 1.0)
        colours = np.nan_to_num(values @ self.weight + self.bias)
        return np.asarray((colours.clip(0.0, 1.0) * 255).round().astype(np.uint8))

    def jpeg(self, latents: Tensor) -> bytes:
        """The same as a small JPEG, enlarged where it would be a stamp."""
        picture = Image.fromarray(self.picture(latents))
        zoom = max(1.0, SIDE / min(picture.size))
        if zoom > 1.0:
            picture = picture.resize(
                (round(picture.width * zoom), round(picture.height * zoom)), Image.Resampling.BICUBIC
            )
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=_QUALITY)
        return buffer.getvalue()


class Forming:
    """What a picture is on its way to become, told from the latents of two steps in a row.

    A deterministic sampler goes from ``a1 x + s1 e`` to ``a2 x + s2 e`` (a: signal, s: noise), with the ``x`` that it
    believes in at this step: two equations for it. Without that, previews would be noise for most of the way.

    Args:
        scheduler: of the call, its steps set.
    """

    def __init__(self, scheduler: Any) -> None:
        self._levels = _levels(scheduler)
        self._before: Tensor | None = None

    def guess(self, step: int, latents: Tensor) -> Tensor:
        """``x`` (B, C, h, w) after step number ``step``, from 0; the latents themselves where it can't be told."""
        before, self._before = self._before, latents
        if before is None or step + 1 >= len(self._levels):
            return latents
        (a1, s1), (a2, s2) = self._levels[step : step + 2]
        ratio = s2 / s1 if s1 > 0 else 0.0
        signal = a2 - ratio * a1
        return (latents.float() - ratio * before.float()) / signal if signal > 1e-3 else latents


def _levels(scheduler: Any) -> list[tuple[float, float]]:
    """Signal and noise of the latents before each step, and after the last; empty for a scheduler of another kind."""
    steps, sigmas = len(scheduler.timesteps), getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        if len(sigmas) != steps + 1:  # several evaluations per step
            return []
        split = getattr(scheduler, "_sigma_to_alpha_sigma_t", lambda sigma: (1.0, sigma))
        return [(float(signal), float(noise)) for signal, noise in map(split, sigmas.double().cpu())]
    if not hasattr(scheduler, "alphas_cumprod"):
        return []
    shares = [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps]
    shares.append(float(getattr(scheduler, "final_alpha_cumprod", 1.0)))
    return [(share**0.5, (1.0 - share) ** 0.5) for share in shares]


def _smooth_pictures() -> Tensor:
    """(N, 3, S, S) in [0, 1]: colours that change slowly, and in some pictures fast; the same ones every time."""
    generator = torch.Generator("cpu").manual_seed(0)
    grids = [torch.rand(_FIT_PICTURES // 2, 3, cells, cells, generator=generator) for cells in (4, 12)]
    size = (_FIT_SIDE, _FIT_SIDE)
    return torch.cat([functional.interpolate(g, size, mode="bicubic") for g in grids]).clamp(0.0, 1.0)


def _rows(images: Tensor) -> np.ndarray:
    """(N, C, h, w) -> (N * h * w, C)."""
    return np.asarray(images.permute(0, 2, 3, 1).reshape(-1, images.shape[1]).numpy().astype(np.float64))
