from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facesnap.core.arkit import EXPRESSIONS, INDEX
from facesnap.core.errors import AdapterError
from facesnap.core.pose import Pose
from facesnap.landmarks.layout import FROM_68, HEAD_ORIGIN, MIRROR
from facesnap.landmarks.morphable import (
    FACE_VERTICES,
    MorphableLandmarks,
    fit_morphable,
    landmark_vertices,
    write_morphable,
)


def random_head(seed: int, count: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(72, 3)), random.normal(size=(count, 72, 3)), random.normal(size=(53, 72, 3))


def test_with_all_components_the_model_is_the_head_it_was_made_from() -> None:
    mean, identity, expression = random_head(0)
    model = fit_morphable(mean, identity, expression, components=20)
    full = np.random.default_rng(1).normal(size=(5, 20))
    weights = np.random.default_rng(2).uniform(size=(5, 53))
    expected = mean + np.tensordot(full, identity, axes=1) + np.tensordot(weights, expression, axes=1)
    assert np.abs(model.landmarks3d(model.shape_from_full(full), weights) - expected).max() < 1e-4


def test_shape_coefficients_are_normal_and_ordered_by_what_they_move() -> None:
    model = fit_morphable(*random_head(3), components=8)
    shapes = model.shape_from_full(np.random.default_rng(4).normal(size=(20_000, 20)))
    assert shapes.shape == (20_000, 8)
    assert np.abs(np.cov(shapes.T) - np.eye(8)).max() < 0.05
    assert (np.diff(model.identity_scale) <= 0).all()
    assert np.allclose(np.sqrt((model.identity**2).sum(-1).mean(-1)), model.identity_scale, rtol=1e-4)


def test_numpy_and_torch_agree_also_after_an_inference(morphable: MorphableLandmarks) -> None:
    random = np.random.default_rng(5)
    shape = random.normal(size=(2, 3, morphable.components)).astype(np.float32)
    weights = random.uniform(size=(2, 3, 53)).astype(np.float32)
    with torch.inference_mode():
        morphable.landmarks3d(torch.from_numpy(shape), torch.from_numpy(weights))
    learned = torch.from_numpy(shape).requires_grad_()
    points = morphable.landmarks3d(learned, torch.from_numpy(weights))
    points.square().sum().backward()
    assert np.abs(points.detach().numpy() - morphable.landmarks3d(shape, weights)).max() < 1e-4
    assert learned.grad is not None
    assert learned.grad.abs().min() > 0


def test_expressions_move_what_they_name(morphable: MorphableLandmarks) -> None:
    moved = np.linalg.norm(morphable.expression, axis=-1)
    assert moved[INDEX["jawOpen"], 8] > 1.5  # the chin, in cm
    assert moved[INDEX["jawOpen"], 17:52].max() < 0.3
    assert moved[INDEX["eyeBlink_L"], 44:52].max() > 0.5  # the subject's left eye is at the picture's right
    assert moved[INDEX["eyeBlink_L"], 36:44].max() < 0.05
    swapped = [
        name[:-2] + {"_L": "_R", "_R": "_L"}[name[-2:]] if name[-2:] in ("_L", "_R") else name for name in EXPRESSIONS
    ]
    for name, other in zip(EXPRESSIONS, swapped, strict=True):
        if name != other:
            flipped = morphable.expression[INDEX[other]][list(MIRROR)] * np.array([-1.0, 1.0, 1.0])
            assert np.abs(flipped - morphable.expression[INDEX[name]]).max() < 0.05, name


def test_posed_turns_the_head_as_the_pose_says(morphable: MorphableLandmarks) -> None:
    shape = np.zeros(morphable.components)
    tip = morphable.posed(shape, Pose())[30]
    assert morphable.posed(shape, Pose(yaw=30))[30, 0] < tip[0] - 1
    assert morphable.posed(shape, Pose(pitch=20))[30, 1] > tip[1] + 1


def test_save_and_load(tmp_path: Path, morphable: MorphableLandmarks) -> None:
    from facesnap.core.weights import read_metadata

    morphable.save(tmp_path / "m.safetensors")
    again = MorphableLandmarks.load(tmp_path / "m.safetensors")
    assert np.array_equal(again.identity, morphable.identity)
    assert np.array_equal(again.from_full, morphable.from_full)
    assert "ICT-FaceKit (MIT)" in read_metadata(tmp_path / "m.safetensors")["credit"]
    with pytest.raises(AdapterError, match=r"none\.safetensors"):
        MorphableLandmarks.load(tmp_path / "none.safetensors")


def test_against_the_head_models_own_vertices(head_file: Path, tmp_path: Path, morphable: MorphableLandmarks) -> None:
    with np.load(head_file) as head:
        mean, identity, expression = head["mean"], head["identity"], head["expression"]
        vertices = landmark_vertices(mean, head["landmarks68"])
        given = head["landmarks68"]
        assert tuple(head["expression_names"]) == EXPRESSIONS
    assert len(set(vertices.tolist())) == 72
    assert vertices.max() < FACE_VERTICES
    assert all(vertices[i] == given[a] for i, (a, b) in enumerate(FROM_68) if a == b)
    random = np.random.default_rng(6)
    full, weights = random.normal(size=(40, 100)).clip(-2.5, 2.5), random.uniform(0, 0.4, (40, 53))
    truth = mean[vertices] - np.array(HEAD_ORIGIN)
    truth = truth + np.tensordot(full, identity[:, vertices].astype(np.float64), axes=1)
    truth = truth + np.tensordot(weights, expression[:, vertices].astype(np.float64), axes=1)

    def largest_error(model: MorphableLandmarks) -> float:
        return float(np.linalg.norm(model.landmarks3d(model.shape_from_full(full), weights) - truth, axis=-1).max())

    assert largest_error(write_morphable(head_file, tmp_path / "full.safetensors", components=100)) < 1e-4  # cm
    assert largest_error(morphable) < 0.2  # measured: 0.14 at most, 0.05 in the mean
    packed = write_morphable(head_file, tmp_path / "packed.safetensors")
    assert np.abs(np.abs(packed.identity) - np.abs(morphable.identity)).max() < 1e-3  # what ships is made by this
