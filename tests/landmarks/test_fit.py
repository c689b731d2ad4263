from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facesnap.core.errors import AdapterError, InputError
from facesnap.core.images import crop_matrix
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.core.weights import save_module
from facesnap.landmarks.crop import MARGIN, apply, face_crop, landmark_box, transform_head
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.fit import (
    LOSS_WEIGHTS,
    FaceFitter,
    FitTargets,
    fit_losses,
    total_loss,
)
from facesnap.landmarks.fit import geodesic as geodesic_angle
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks
from facesnap.landmarks.net import Fit, LandmarkNet, landmarks2d, project, rotation_from_6d


def example(morphable: MorphableLandmarks, seed: int) -> tuple[Tensor, FitTargets]:
    """A landmark map as a picture (1, 3, 128, 128), and its truth."""
    random = np.random.default_rng(seed)
    pose = Pose(*random.uniform(-25, 25, 3), expression={"jawOpen": random.uniform(0, 0.6)})
    shape = random.normal(size=morphable.components)
    head = morphable.landmarks3d(shape, pose.weights())
    camera = Camera(random.uniform(5, 8), *random.uniform(58, 70, 2), 1 / 80)
    points = camera.project(head @ pose.rotation().T)
    picture = torch.from_numpy(draw_landmarks(points, (128, 128), 2)).permute(2, 0, 1)[None].float() / 255
    values = (points, shape, pose.weights(), pose.rotation(), [camera.scale, camera.cx, camera.cy, 1 / 80], 1.0)
    return picture, FitTargets(*(torch.as_tensor(np.asarray(value)).float()[None] for value in values))


def batch(morphable: MorphableLandmarks, count: int) -> tuple[Tensor, FitTargets]:
    pictures, targets = zip(*(example(morphable, seed) for seed in range(count)), strict=True)
    stacked = (torch.cat([getattr(t, name) for t in targets]) for name in FitTargets.__dataclass_fields__)
    return torch.cat(pictures), FitTargets(*stacked)


def perfect(targets: FitTargets) -> Fit:
    score = torch.where(targets.is_face > 0, 9.0, -9.0)
    variance = torch.full(targets.landmarks.shape[:2], -8.0)
    return Fit(targets.shape, targets.expression, targets.rotation, targets.camera, score, variance)


def test_projection_is_the_cameras_and_differentiable(morphable: MorphableLandmarks) -> None:
    pose, camera = Pose(yaw=35, pitch=12, roll=-20), Camera(7.0, 61.0, 66.0, 1 / 50)
    truth = camera.project(morphable.posed(np.zeros(morphable.components), pose))
    rotation = torch.from_numpy(pose.rotation())[None].requires_grad_()
    values = torch.tensor([[7.0, 61.0, 66.0, 1 / 50]], dtype=torch.float64, requires_grad=True)
    points = project(torch.from_numpy(morphable.mean).double()[None], rotation, values)
    assert np.abs(points[0].detach().numpy() - truth).max() < 1e-4
    points.square().sum().backward()
    assert values.grad is not None
    assert rotation.grad is not None
    assert (values.grad != 0).all()


def test_six_numbers_make_a_rotation() -> None:
    rotation = rotation_from_6d(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(50), atol=1e-5)
    columns = torch.cat([rotation[:, :, 0], rotation[:, :, 1]], dim=1)
    assert torch.allclose(rotation_from_6d(columns), rotation, atol=1e-5)


def test_geodesic_is_the_angle_and_has_a_gradient_at_zero() -> None:
    first = torch.from_numpy(Pose(yaw=10).rotation())[None]
    second = torch.from_numpy(Pose(yaw=-25).rotation())[None]
    assert torch.rad2deg(geodesic_angle(first, second)).item() == pytest.approx(35, abs=1e-3)
    same = first.clone().requires_grad_()
    geodesic_angle(same, first).sum().backward()
    assert torch.isfinite(same.grad).all()


def test_an_untrained_network_is_small_and_says_a_mean_head_in_the_middle(morphable: MorphableLandmarks) -> None:
    net = LandmarkNet().eval()
    assert sum(p.numel() for p in net.parameters()) <= 1_200_000
    fit = net(torch.rand(2, 3, 128, 128))
    assert fit.shape.shape == (2, 32)
    assert fit.confidence.shape == (2, 72)
    assert ((fit.confidence > 0) & (fit.confidence < 1)).all()
    assert ((fit.expression >= 0) & (fit.expression <= 1)).all()
    box = landmark_box(landmarks2d(fit, morphable)[0].detach().numpy())
    assert np.abs((box[:2] + box[2:]) / 2 - 64).max() < 8
    assert abs(max(box[2:] - box[:2]) * MARGIN / 128 - 1) < 0.15


def test_losses_vanish_at_the_truth_and_each_sees_its_own_mistake(morphable: MorphableLandmarks) -> None:
    _, targets = batch(morphable, 3)
    right = fit_losses(perfect(targets), targets, morphable)
    assert right.keys() == LOSS_WEIGHTS.keys()
    assert all(right[name] < 2e-3 for name in right if name != "confidence")
    wrong = {
        "shape": replace(perfect(targets), shape=targets.shape + 1),
        "expression": replace(perfect(targets), expression=1 - targets.expression),
        "rotation": replace(perfect(targets), rotation=targets.rotation.flip(0)),
        "camera": replace(perfect(targets), camera=targets.camera + torch.tensor([0.0, 5.0, 0.0, 0.0])),
        "score": replace(perfect(targets), score=-perfect(targets).score),
    }
    for name, fit in wrong.items():
        assert fit_losses(fit, targets, morphable)[name] > right[name] + 0.002, name
        if name != "score":
            assert fit_losses(fit, targets, morphable)["landmarks"] > 0.005, name


def test_pictures_without_a_face_count_for_the_score_alone(morphable: MorphableLandmarks) -> None:
    _, targets = batch(morphable, 2)
    half = replace(targets, is_face=torch.tensor([1.0, 0.0]))
    fit = Fit(**{name: value.clone().requires_grad_() for name, value in vars(perfect(targets)).items()})
    total_loss(fit_losses(fit, half, morphable)).backward()
    assert fit.shape.grad[1].abs().max() == 0
    assert fit.camera.grad[1].abs().max() == 0
    assert fit.score.grad[1] > 0
    nobody = replace(targets, is_face=torch.zeros(2))
    assert torch.isfinite(total_loss(fit_losses(perfect(targets), nobody, morphable)))


def test_confidence_follows_the_error(morphable: MorphableLandmarks) -> None:
    """The likelihood is best where the variance is that of the errors, along one axis, in eye distances."""
    _, targets = batch(morphable, 1)
    unit = targets.camera[0, 0] * morphable.eye_distance
    away = torch.stack([0 * unit, 0.05 * unit, 0.05 * unit, 0 * unit])
    moved = replace(perfect(targets), camera=targets.camera + away)
    guesses = torch.linspace(-9, 0, 91)
    losses = [
        fit_losses(replace(moved, log_variance=torch.full((1, 72), guess)), targets, morphable)["confidence"]
        for guess in guesses.tolist()
    ]
    assert guesses[int(torch.stack(losses).argmin())] == pytest.approx(np.log(0.05**2), abs=0.1)


def test_eight_pictures_are_learned_in_sixty_steps(morphable: MorphableLandmarks) -> None:
    torch.manual_seed(0)
    pictures, targets = batch(morphable, 8)
    net = LandmarkNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    history = []
    for _ in range(60):
        losses = fit_losses(net(pictures), targets, morphable)
        optimiser.zero_grad()
        total_loss(losses).backward()
        optimiser.step()
        history.append({name: value.item() for name, value in losses.items()})
    assert history[-1]["landmarks"] < 0.15 * history[0]["landmarks"]
    assert history[-1]["rotation"] < 0.3 * history[0]["rotation"]
    assert history[-1]["shape"] < 0.5 * history[0]["shape"]


class Oracle(nn.Module):
    """Knows a head in a picture whose red is x, green y, blue full: so it reads from a crop where that was cut."""

    def __init__(self, shape: np.ndarray, pose: Pose, camera: Camera) -> None:
        super().__init__()
        self.shape, self.pose, self.camera = shape, pose, camera
        self.rotations: list[np.ndarray] = []

    def forward(self, crops: Tensor) -> Fit:
        red, green, blue = crops[0].double().numpy() * 255
        y, x = np.nonzero((blue > 254.5) & (red > 2) & (red < 253) & (green > 2) & (green < 253))
        seen = np.stack([red[y, x], green[y, x], np.ones(len(x))], axis=1)
        matrix = np.linalg.lstsq(seen, np.stack([x, y], axis=1) + 0.5, rcond=None)[0].T
        rotation, camera = transform_head(matrix, self.pose.rotation(), self.camera)
        self.rotations.append(rotation)
        values = (
            self.shape,
            self.pose.weights(),
            rotation,
            [camera.scale, camera.cx, camera.cy, camera.inverse_distance],
        )
        known = [torch.as_tensor(np.asarray(value)).float()[None] for value in values]
        return Fit(*known, score=torch.tensor([3.0]), log_variance=torch.full((1, 72), -6.0))


@pytest.mark.parametrize("roll", [0.0, 35.0, -50.0])
def test_what_the_network_sees_in_a_crop_comes_back_to_the_picture_exactly(
    morphable: MorphableLandmarks, roll: float
) -> None:
    x, y = np.meshgrid(np.arange(250) + 0.5, np.arange(220) + 0.5)
    picture = np.stack([x, y, np.full_like(x, 255)], axis=2).round().astype(np.uint8)
    pose, camera = Pose(yaw=20, pitch=5, roll=roll, expression={"jawOpen": 0.3}), Camera(8.0, 120.0, 110.0, 1 / 60)
    shape = np.random.default_rng(1).normal(size=morphable.components)
    truth = camera.project(morphable.landmarks3d(shape, pose.weights()) @ pose.rotation().T)
    oracle = Oracle(shape, pose, camera)
    found = FaceFitter(oracle, morphable).fit(picture, np.array([50.0, 40.0, 200.0, 170.0]))
    assert np.abs(found.landmarks2d - truth).max() < 0.5  # half a pixel off would be a mistaken origin
    assert np.abs((found.landmarks2d - truth).mean(axis=0)).max() < 0.2
    assert found.pose.yaw == pytest.approx(20, abs=0.5)
    assert found.pose.roll == pytest.approx(roll, abs=0.5)
    assert found.camera.scale == pytest.approx(8, rel=0.01)
    assert found.pose.camera == found.camera.relative((250, 220))
    assert found.pose.expression["jawOpen"] == pytest.approx(0.3, abs=1e-4)
    assert 0.95 < found.score < 0.96
    assert len(oracle.rotations) == 2
    upright = Pose(yaw=20, pitch=5).rotation()
    assert np.abs(oracle.rotations[1] - upright).max() < 0.02  # the second look is at an upright crop
    FaceFitter(oracle, morphable).fit(picture, np.array([50.0, 40.0, 200.0, 170.0]), roll=roll)
    assert np.abs(oracle.rotations[2] - upright).max() < 0.02  # as is the first, where the roll is known


def test_angles_beyond_a_poses_range_are_clipped(morphable: MorphableLandmarks) -> None:
    class Turned(nn.Module):
        def forward(self, crops: Tensor) -> Fit:
            rotation = rotation_from_6d(torch.tensor([[0.1, 0.0, 0.99, 0.0, 1.0, 0.0]]))
            rest = [torch.zeros(1, 32), torch.zeros(1, 53), rotation, torch.tensor([[6.0, 64.0, 64.0, 0.01]])]
            return Fit(*rest, score=torch.zeros(1), log_variance=torch.zeros(1, 72))

    found = FaceFitter(Turned(), morphable).fit(np.zeros((200, 200, 3), np.uint8), np.array([50, 50, 150, 150]))
    assert abs(found.pose.yaw) == 60


def test_an_empty_box_is_refused(morphable: MorphableLandmarks) -> None:
    fitter = FaceFitter(LandmarkNet().eval(), morphable)
    for box in ([10, 10, 10, 20], [0, 0, np.nan, 5]):
        with pytest.raises(InputError, match="empty"):
            fitter.fit(np.zeros((40, 40, 3), np.uint8), np.array(box, dtype=float))


def test_a_face_at_the_edge_or_off_the_picture_is_no_error(morphable: MorphableLandmarks) -> None:
    fitter = FaceFitter(LandmarkNet().eval(), morphable)
    for box in ([-60, -60, 20, 20], [500, 500, 600, 600], [0, 0, 2, 2]):
        assert np.isfinite(fitter.fit(np.zeros((64, 48, 3), np.uint8), np.array(box)).landmarks2d).all()


def test_saved_and_loaded_the_network_says_the_same(tmp_path: Path, morphable: MorphableLandmarks) -> None:
    torch.manual_seed(1)
    net = LandmarkNet().eval()
    save_module(tmp_path, net, net.config, {"stage": "test"})
    with pytest.raises(AdapterError, match="morphable"):
        FaceFitter.from_pretrained(tmp_path)
    morphable.save(tmp_path / MORPHABLE_NAME)
    picture = np.random.default_rng(2).integers(0, 255, (90, 80, 3), dtype=np.uint8)
    box = np.array([10.0, 10.0, 70.0, 80.0])
    loaded = FaceFitter.from_pretrained(tmp_path).fit(picture, box)
    assert np.allclose(loaded.landmarks2d, FaceFitter(net, morphable).fit(picture, box).landmarks2d)
    other = replace(morphable, identity=morphable.identity[:5])
    other.save(tmp_path / MORPHABLE_NAME)
    with pytest.raises(AdapterError, match="32 and 5"):
        FaceFitter.from_pretrained(tmp_path)


def test_a_training_crop_matches_what_the_fitter_takes() -> None:
    points = np.random.default_rng(3).uniform(20, 90, (72, 2))
    plain = crop_matrix(landmark_box(points), 128, MARGIN)
    assert np.allclose(face_crop(points, 0.0, 128), plain)
    assert apply(plain, points).min() > 0


def test_many_faces_together_are_read_as_one_by_one() -> None:
    fitter = FaceFitter.from_pretrained()
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    boxes = [np.array([10.0, 12.0, 70.0 + i, 80.0]) for i in range(3)]
    alone = [fitter.fit(image, box) for image, box in zip(images, boxes, strict=True)]
    for one, many in zip(alone, fitter.fit_all(images, boxes), strict=True):
        np.testing.assert_allclose(many.landmarks2d, one.landmarks2d, atol=0.1)
        np.testing.assert_allclose(many.shape, one.shape, atol=1e-2)
        assert many.score == pytest.approx(one.score, abs=1e-3)
