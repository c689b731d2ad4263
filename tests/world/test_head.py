from __future__ import annotations

import numpy as np
import pytest

from facesnap.core.arkit import EXPRESSIONS, INDEX
from facesnap.core.errors import InputError
from facesnap.landmarks.layout import GROUPS, MIRROR
from facesnap.world.facekit import head as head_module
from facesnap.world.facekit.head import load_head


def test_absent_model_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv(head_module.ENVIRONMENT, str(tmp_path / "none.npz"))
    load_head.cache_clear()
    try:
        with pytest.raises(InputError, match=r"none\.npz"):
            load_head()
        broken = tmp_path / "broken.npz"
        np.savez(broken, mean=np.zeros(3))
        monkeypatch.setenv(head_module.ENVIRONMENT, str(broken))
        with pytest.raises(InputError, match="not the packed ICT-FaceKit"):
            load_head()
    finally:
        load_head.cache_clear()


def test_landmarks_are_centred_and_symmetric(head):
    points = head.mean[head.landmarks]
    assert np.abs(points.mean(axis=0)).max() < 0.25
    mirrored = points[list(MIRROR)] * [-1, 1, 1]
    assert np.abs(mirrored - points).max() < 0.1
    assert points[GROUPS["brow_l"], 0].max() < 0 < points[GROUPS["brow_r"], 0].min()  # x is the subject's left


def test_morphing_is_linear(head):
    rng = np.random.default_rng(0)
    a, b = (head.mean + (c @ head.identity).reshape(-1, 3) for c in rng.normal(0, 1, (2, 100)).astype(np.float32))
    weights = np.zeros(len(EXPRESSIONS), np.float32)
    weights[INDEX["jawOpen"]] = 1.0
    middle = (head.express_landmarks(a, weights) + head.express_landmarks(b, weights)) / 2
    assert np.allclose(middle, head.express_landmarks((a + b) / 2, weights), atol=1e-3)
    moved = head.express_landmarks(head.mean, weights) - head.mean[head.landmarks]
    assert moved[8, 1] < -1.0  # the chin
    assert np.abs(moved[36:52]).max() < 0.2  # the eyes


def test_expressions_leave_eyeballs_to_the_gaze(head):
    from facesnap.world.render.eyes import turn_eyes

    assert not np.isin(head.part_vertices["eye_l"], head.moving).any()
    turned, eyes = turn_eyes(head, head.mean, (20.0, 0.0))
    ball = head.part_vertices["eye_l"]
    cornea = ball[np.argmax(head.mean[ball][:, 2])]
    assert turned[cornea, 0] < head.mean[cornea, 0] - 0.3  # a positive yaw looks to the subject's right
    assert np.linalg.norm(turned[ball] - eyes["eye_l"].centre, axis=1).max() < 1.75
    others = np.setdiff1d(np.arange(len(head.mean)), np.concatenate([ball, head.part_vertices["eye_r"]]))
    assert np.array_equal(turned[others], head.mean[others])


def test_normals_point_outwards(head):
    normals = head.normals(head.mean)
    assert np.allclose(np.linalg.norm(normals[head.part_vertices["skin"]], axis=1), 1, atol=1e-4)
    assert normals[head.landmarks[30], 2] > 0.7  # the tip of the nose
