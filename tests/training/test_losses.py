"""The losses on cases with known answers."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from facesnap.faces.align import arcface_matrix
from facesnap.training.losses import (
    AngularMargin,
    NoiseSchedule,
    contrastive_loss,
    crop_by,
    diffusion_loss,
    draw_timesteps,
    identity_gate,
    identity_loss,
    supervised_contrastive_loss,
)


@pytest.fixture(scope="module")
def schedule() -> NoiseSchedule:
    return NoiseSchedule.zero_snr(DDPMScheduler(beta_schedule="scaled_linear").alphas_cumprod)


def test_schedule_ends_in_pure_noise_and_agrees_with_diffusers(schedule: NoiseSchedule) -> None:
    theirs = DDPMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True).alphas_cumprod
    assert schedule.alpha[-1] == 0
    torch.testing.assert_close(schedule.alpha[:-1] ** 2, theirs[:-1], atol=1e-5, rtol=1e-3)


def test_velocity_leads_back_to_the_clean_latents(schedule: NoiseSchedule) -> None:
    clean, noise = torch.randn(2, 4, 3, 8, 8)
    timesteps = torch.tensor([0, 100, 700, 999])
    noisy = schedule.add_noise(clean, noise, timesteps)
    back = schedule.clean_from(noisy, schedule.velocity(clean, noise, timesteps), timesteps)
    torch.testing.assert_close(back, clean, atol=1e-5, rtol=1e-5)


def test_min_snr_weights_less_where_it_is_easy(schedule: NoiseSchedule) -> None:
    weight = schedule.min_snr_weight(torch.arange(1000), 5.0)
    assert weight.mean() == pytest.approx(1.0, abs=1e-4)
    assert weight[0] < weight[400]
    assert weight[-1] == 0
    assert (schedule.min_snr_weight(torch.arange(1000), 0.0) == 1).all()


def test_diffusion_loss_is_zero_only_for_the_truth(schedule: NoiseSchedule) -> None:
    target, timesteps = torch.randn(4, 3, 8, 8), torch.tensor([10, 300, 800, 950])
    assert diffusion_loss(target, target, timesteps, schedule, 5.0)["diff"] == 0
    off = diffusion_loss(target + 1, target, timesteps, schedule, 0.0)
    assert off["diff"] == pytest.approx(1.0, abs=1e-5)
    assert off["noisiest_quarter"] == pytest.approx(1.0, abs=1e-5)


def test_identity_loss_is_one_minus_the_cosine() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert identity_loss(a, a) == pytest.approx(0.0, abs=1e-6)
    assert identity_loss(a, a.flip(0)) == pytest.approx(1.0, abs=1e-6)
    assert identity_loss(a, -a) == pytest.approx(2.0, abs=1e-6)


def test_identity_gate_is_a_window_of_noise() -> None:
    gate = identity_gate(torch.tensor([0, 99, 100, 349, 350, 999]), 1000, (0.1, 0.35))
    assert gate.tolist() == [False, False, True, True, False, False]


def test_contrastive_loss_pulls_a_persons_pictures_together() -> None:
    person = torch.tensor([0, 0, 1, 1])
    apart = torch.eye(4)
    together = torch.eye(2)[person]
    ideal = -math.log(math.e**10 / (math.e**10 + 2))
    assert float(supervised_contrastive_loss(together, person, 0.1)) == pytest.approx(ideal, abs=1e-5)
    assert float(supervised_contrastive_loss(apart, person, 0.1)) == pytest.approx(math.log(3), abs=1e-5)
    alone = torch.tensor([0, 0, 1, 2])  # who has no other picture doesn't count
    expected = -math.log(1 / 3)
    assert float(supervised_contrastive_loss(apart, alone, 0.1)) == pytest.approx(expected, abs=1e-5)
    assert float(supervised_contrastive_loss(apart, torch.arange(4), 0.1)) == 0.0


def test_timesteps_come_one_from_each_stratum_and_never_past_the_end() -> None:
    drawn = draw_timesteps(32, 1000, np.random.default_rng(0))
    assert sorted(int(t * 32 // 1000) for t in drawn) == list(range(32))
    assert drawn.tolist() != sorted(drawn.tolist()), "L_id takes a batch's first rows: they must not be the same strata"
    latest = mock.Mock(permutation=np.arange, random=lambda count: np.full(count, 1 - 2.0**-53))
    assert int(draw_timesteps(32, 1000, latest).max()) == 999


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_timesteps_follow_their_density(power: float) -> None:
    drawn = draw_timesteps(1000, 1000, np.random.default_rng(0), power).double() / 1000
    assert float(drawn.mean()) == pytest.approx((1 + power) / (2 + power), abs=0.002)


def test_crop_is_the_picture_warped_and_differentiable() -> None:
    from facesnap.core.images import similarity_crop

    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 8, 3)).astype(np.float32)
    picture = torch.nn.functional.interpolate(torch.tensor(small).permute(2, 0, 1)[None], 96, mode="bicubic")
    array = picture[0].permute(1, 2, 0).clamp(0, 255).numpy().astype(np.uint8)
    points = np.array([[38, 40], [60, 44], [48, 55], [38, 66], [58, 68]], dtype=float)
    matrix = arcface_matrix(points)
    images = torch.tensor(array).permute(2, 0, 1)[None].float().requires_grad_()
    mine = crop_by(images, torch.tensor(matrix[None], dtype=torch.float32), 112)
    theirs = similarity_crop(array, matrix, 112)
    inside = slice(20, 92)
    difference = (mine[0].permute(1, 2, 0).detach().numpy() - theirs)[inside, inside]
    assert np.abs(difference).mean() < 1.5
    mine.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_angular_margin_without_margin_is_a_softmax_over_cosines() -> None:
    torch.manual_seed(0)
    head = AngularMargin(5, 8, scale=10.0, margin=0.3, ramp=1)
    embedding, person = torch.nn.functional.normalize(torch.randn(3, 8)), torch.tensor([0, 2, 4])
    cosine = embedding @ torch.nn.functional.normalize(head.weight).T
    plain = torch.nn.functional.cross_entropy(10 * cosine, person)
    torch.testing.assert_close(head(embedding, person), plain, atol=1e-4, rtol=1e-4)
    assert head(embedding, person) > plain  # from the second call on, the margin is there


def test_angular_margin_adds_the_margin_to_the_angle() -> None:
    head = AngularMargin(2, 2, scale=1.0, margin=0.5)
    head.weight.data = torch.eye(2)
    angle = 0.7
    loss = head(torch.tensor([[math.cos(angle), math.sin(angle)]]), torch.tensor([0]))
    true, other = math.cos(angle + 0.5), math.sin(angle)
    assert float(loss) == pytest.approx(-true + math.log(math.exp(true) + math.exp(other)), abs=1e-5)


def test_contrastive_loss_prefers_the_matching_pairs() -> None:
    features, scale = torch.eye(4), torch.tensor(math.log(50.0))
    assert contrastive_loss(features, features, scale) < 1e-3
    assert contrastive_loss(features, features.flip(0), scale) > 10
