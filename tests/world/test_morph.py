from __future__ import annotations

import numpy as np
import pytest

from facesnap.core.arkit import INDEX
from facesnap.world.clothes.torso import Torso
from facesnap.world.facekit.head import HEAD_ORIGIN
from facesnap.world.render.mesh import EAR_MODES, build_mesh, corner_rings, ear_modes

pytest.importorskip("moderngl", reason="portrait world not tested: pip install facesnap[world]")


@pytest.fixture(scope="module")
def mesh(head):
    return build_mesh(head, Torso(head))


def _weights(**named: float) -> np.ndarray:
    weights = np.zeros(53, np.float32)
    for name, weight in named.items():
        weights[INDEX[name]] = weight
    return weights


@pytest.mark.world
def test_the_card_morphs_as_the_formula_says(renderer, mesh):
    rng = np.random.default_rng(1)
    neutral = mesh.neutral(rng.normal(0, 1, 100), np.array([1.0, -1.0]))
    weights = _weights(jawOpen=0.6, mouthSmile_L=0.7, eyeBlink_R=1.0)
    wanted = neutral.astype(np.float64)
    wanted[mesh.moving] += (weights @ mesh.expression).reshape(-1, 3)
    with renderer.scene.gl:
        renderer.scene.morpher.run(neutral, weights)
        moved = np.frombuffer(renderer.scene.morpher.moved.read(), np.float32).reshape(-1, 6)
    assert np.abs(moved[:, :3] - wanted).max() < 1e-4
    a, b, c = (wanted[mesh.triangles[:, i]] for i in range(3))
    total = np.zeros_like(wanted)
    for corner in range(3):
        np.add.at(total, mesh.triangles[:, corner], np.cross(b - a, c - a))
    lengths = np.linalg.norm(total, axis=1)
    used = lengths > 1e-6
    assert np.abs(moved[used, 3:] - total[used] / lengths[used, None]).max() < 1e-3


def test_the_torso_follows_the_head(head, mesh):
    """The linear rows give what the torso itself makes of a changed head."""
    coefficients = np.random.default_rng(2).normal(0, 1, 100).astype(np.float32)
    changed = mesh.neutral(coefficients, np.zeros(2))
    direct = Torso(head).vertices(head.mean + (coefficients @ head.identity).reshape(-1, 3))
    assert np.abs(changed[len(head.mean) :] - direct).max() < 1e-2


def test_ears_differ_and_nothing_else(head):
    modes = ear_modes(head)
    assert len(modes) == len(EAR_MODES)
    assert np.abs(modes[:, head.landmarks]).max() == 0.0
    size = np.linalg.norm(modes, axis=2).max(axis=1)
    assert (size > 0.2).all()
    touched = np.abs(modes).max(axis=(0, 2)) > 0
    rest = head.mean[touched] + HEAD_ORIGIN
    assert (np.abs(rest[:, 0]) > 7).all()
    assert (np.abs(rest[:, 1]) < 6.5).all()


def test_ears_are_alike_on_both_sides(head):
    modes, rest = ear_modes(head), head.mean + HEAD_ORIGIN
    touched = np.abs(modes).max(axis=(0, 2)) > 0
    left, right = (np.flatnonzero(touched & (side * rest[:, 0] > 0)) for side in (1, -1))
    assert len(left) == len(right) > 100
    apart = np.linalg.norm(rest[left][:, None] * [-1, 1, 1] - rest[right], axis=2)
    assert apart.min(axis=1).max() < 0.01
    other = right[apart.argmin(axis=1)]
    assert np.abs(modes[:, left] * [-1, 1, 1] - modes[:, other]).max() < 0.01


def test_rings_hold_every_corner_once():
    triangles = np.array([[0, 1, 2], [2, 1, 3]])
    starts, corners = corner_rings(triangles, 4)
    assert starts.tolist() == [0, 1, 3, 5, 6]
    assert corners[starts[0] : starts[1]].tolist() == [[1, 2]]
    assert sorted(corners[starts[1] : starts[2]].tolist()) == [[2, 0], [3, 2]]
