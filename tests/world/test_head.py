from __future__ import annotations

import numpy as np
import pytest

from facesnap.core.arkit import EXPRESSIONS, INDEX
from facesnap.core.errors import InputError
from facesnap.landmarks.layout import GROUPS, MIRROR
from facesnap.world import head as head_module
from facesnap.world.head import load_head


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
    a, b = rng.normal(0, 1, (2, 100)).astype(np.float32)
    middle = (head.neutral(a) + head.neutral(b)) / 2
    assert np.allclose(middle, head.neutral((a + b) / 2), atol=1e-3)
    weights = np.zeros(len(EXPRESSIONS), np.float32)
    weights[INDEX["jawOpen"]] = 1.0
    chin = head.landmarks[8]
    moved = head.express(head.mean, weights) - head.mean
    assert moved[chin, 1] < -1.0
    assert np.abs(moved[head.part_vertices["eye_l"]]).max() == 0.0


def test_normals_point_outwards(head):
    normals = head.normals(head.mean)
    assert np.allclose(np.linalg.norm(normals[head.part_vertices["skin"]], axis=1), 1, atol=1e-4)
    assert normals[head.landmarks[30], 2] > 0.7  # the tip of the nose
