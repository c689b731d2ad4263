from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler
from PIL import Image
from tests.models import tiny
from torch import Tensor

from facesnap.serving.previews import SIDE, Forming, LatentColours


class Box(torch.nn.Module):
    """A VAE whose latents are known: 4 x 4 pixels' means, mixed, scaled and shifted."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
        self.config: Any = type("Config", (), {"scaling_factor": 0.5, "shift_factor": 0.25})
        self.dtype, self.device = torch.float32, torch.device("cpu")

    def encode(self, pictures: Tensor) -> Any:
        latents = torch.einsum("cr,nrhw->nchw", self.mix, torch.nn.functional.avg_pool2d(pictures, 4))
        return type("Encoded", (), {"latents": latents})


def test_colours_are_found_where_latents_are_linear_in_them() -> None:
    vae = Box()
    colours = LatentColours.fit(vae)
    picture = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        latents = (vae.encode(picture * 2 - 1).latents[0] - 0.25) * 0.5
    expected = torch.nn.functional.avg_pool2d(picture, 4)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(colours.picture(latents) - expected).max() <= 1.0


def test_half_precision_is_left_as_it_is() -> None:
    full, half = tiny.vae(), tiny.vae().to(torch.float16)
    np.testing.assert_allclose(LatentColours.fit(half).weight, LatentColours.fit(full).weight, rtol=0.1, atol=0.02)
    assert {weights.dtype for weights in half.parameters()} == {torch.float16}


def test_noise_stronger_than_pictures_is_taken_back() -> None:
    colours = LatentColours.fit(Box())
    shown = colours.picture(100 * torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert 0.02 < np.isin(shown, (0, 255)).mean() < 0.5
    assert colours.picture(torch.full((4, 8, 8), torch.nan)).shape == (8, 8, 3)


def test_a_jpeg_is_small_quick_and_not_a_stamp() -> None:
    colours = LatentColours.fit(tiny.vae())
    latents = torch.randn(4, 8, 12)
    jpeg = colours.jpeg(latents)
    assert Image.open(io.BytesIO(jpeg)).size == (SIDE * 12 // 8, SIDE)
    assert len(jpeg) < 20_000
    large = torch.randn(4, 128, 128)
    colours.jpeg(large)
    took = []
    for _ in range(20):
        start = time.perf_counter()
        colours.jpeg(large)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.010  # 2 ms on an idle core


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(clip_sample=False),
        EulerDiscreteScheduler(),
        DPMSolverMultistepScheduler(algorithm_type="dpmsolver++"),
        DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", use_karras_sigmas=True),
        DPMSolverMultistepScheduler(
            prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
        ),
    ],
    ids=["ddim", "euler", "dpm++", "karras", "zero-snr"],
)
def test_the_picture_is_seen_through_the_noise(scheduler: Any) -> None:
    """A model that always believes in the same picture: the guess is that picture from the second step on."""
    wanted = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    scheduler.set_timesteps(10)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4)) * scheduler.init_noise_sigma
    forming = Forming(scheduler)
    for i, t in enumerate(scheduler.timesteps):
        latents = scheduler.step(says(scheduler, wanted, latents, t), t, latents).prev_sample
        guess = forming.guess(i, latents)
        if i > 0:
            assert float((guess - wanted).abs().max()) < 0.02, f"step {i}"
    assert float((latents - wanted).abs().max()) < 0.05


def says(scheduler: Any, wanted: Tensor, latents: Tensor, t: Any) -> Tensor:
    """The model's output that stands for a picture."""
    if hasattr(scheduler, "sigmas"):
        scheduler._init_step_index(t) if scheduler.step_index is None else None
        sigma = scheduler.sigmas[scheduler.step_index]
        if isinstance(scheduler, EulerDiscreteScheduler):
            return (latents - wanted) / sigma
        signal, noise = scheduler._sigma_to_alpha_sigma_t(sigma)
    else:
        share = scheduler.alphas_cumprod[int(t)]
        signal, noise = share**0.5, (1 - share) ** 0.5
    error = (latents - signal * wanted) / noise
    return signal * error - noise * wanted if scheduler.config.prediction_type == "v_prediction" else error


def test_of_another_kind_of_scheduler_the_latents_are_shown() -> None:
    scheduler = HeunDiscreteScheduler()
    scheduler.set_timesteps(5)
    forming, latents = Forming(scheduler), torch.randn(1, 4, 8, 8)
    forming.guess(0, latents)
    assert forming.guess(1, latents) is latents
