"""The arena's own metrics on cases whose answer is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from facesnap.evaluation.arena.measures import copy_paste, fid, kid, sharpness, spread


def at(degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]])


def test_copy_paste_is_one_for_the_reference_and_zero_half_way() -> None:
    reference, others = at(0), at(60)
    assert copy_paste(reference, reference, others) == pytest.approx([1])
    assert copy_paste(at(30), reference, others) == pytest.approx([0])
    assert copy_paste(others, reference, others) == pytest.approx([-1])
    assert copy_paste(at(20), reference, others) == pytest.approx([(40 - 20) / 60])
    assert np.isnan(copy_paste(np.full((1, 2), np.nan), reference, others)).all()


def test_sharpness_falls_with_blur_and_is_ten_to_the_variance() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    assert sharpness(cv2.GaussianBlur(picture, (0, 0), 2)) < sharpness(picture) - 1
    line = np.zeros((112, 112, 3), np.uint8)
    line[:, 56] = 255
    response = np.zeros(112)
    response[[55, 57]], response[56] = 255, -510  # the Laplacian's own kernel across an edge-free line
    assert sharpness(line) == pytest.approx(math.log10(response.var()), abs=1e-6)


def unit_rows(rng: np.random.Generator, count: int, towards: float) -> np.ndarray:
    rows = rng.normal(size=(count, 16)) + towards * np.eye(16)[0]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_kid_is_zero_in_the_mean_for_equal_sets_and_grows_with_distance() -> None:
    rng = np.random.default_rng(0)
    same = [kid(unit_rows(rng, 60, 1.0), unit_rows(rng, 60, 1.0)) for _ in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(len(same))
    near, far = (kid(unit_rows(rng, 60, 1.0), unit_rows(rng, 60, towards)) for towards in (2.0, 4.0))
    assert 3 * np.std(same) < near < far
    assert math.isnan(kid(unit_rows(rng, 5, 1.0), unit_rows(rng, 60, 1.0)))


def test_kid_written_out() -> None:
    rng = np.random.default_rng(1)
    x, y = unit_rows(rng, 25, 1.0), unit_rows(rng, 26, 2.0)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(25) for j in range(25) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(26) for j in range(26) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y) == pytest.approx(within_x + within_y - 2 * across)


def test_fid_of_gaussians_is_the_formulas() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 2)) * [1.0, 2.0]
    y = rng.normal(size=(40_000, 2)) * [3.0, 2.0] + [0.0, 5.0]
    assert fid(x, y) == pytest.approx(25 + (3 - 1) ** 2, rel=0.03)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    assert math.isnan(fid(x[:10], y))


def test_spread_is_the_mean_over_pairs() -> None:
    assert spread(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 3.0]])) == pytest.approx([2, 1])
