"""The arena's own metrics on cases whose answer is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from facesnap.evaluation.arena.measures import copy_paste, fid, kid, sharpness
from facesnap.evaluation.arena.summary import of_sets


def at(degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]])


def test_copy_paste_is_one_for_the_reference_and_zero_half_way() -> None:
    reference, others = at(0), [at(60)]
    assert copy_paste(reference, reference, others) == pytest.approx([1])
    assert copy_paste(at(30), reference, others) == pytest.approx([0])
    assert copy_paste(at(60), reference, others) == pytest.approx([-1])
    assert copy_paste(at(20), reference, others) == pytest.approx([(40 - 20) / 60])
    nothing = np.full((1, 2), np.nan)
    assert np.isnan(copy_paste(nothing, reference, others)).all()
    assert copy_paste(at(20), reference, [at(60), nothing]) == pytest.approx([(40 - 20) / 60])


def test_copy_paste_of_one_more_picture_of_the_person_is_zero_in_the_mean() -> None:
    rng = np.random.default_rng(0)

    def picture(who: np.ndarray) -> np.ndarray:
        rows = who + 0.8 * rng.normal(size=who.shape)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    people = rng.normal(size=(400, 32))
    found = copy_paste(picture(people), picture(people), [picture(people) for _ in range(4)])
    assert abs(found.mean()) < 3 * found.std() / 20


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


def test_kid_written_out_leaves_pairs_of_one_prompt_aside() -> None:
    rng = np.random.default_rng(1)
    x, y = unit_rows(rng, 25, 1.0), unit_rows(rng, 25, 2.0)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) + 1) ** 3

    others = [(i, j) for i in range(25) for j in range(25) if i != j]
    found = np.mean([k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in others])
    assert kid(x, y) == pytest.approx(found)
    assert kid(x, x) == pytest.approx(0)  # what each prompt has in common with itself isn't counted as closeness


def test_the_interval_of_a_distance_of_sets_is_that_of_new_sets() -> None:
    rng = np.random.default_rng(2)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        return unit_rows(rng, 80, 1.0), unit_rows(rng, 80, 2.0)

    spread = np.std([kid(*drawn()) for _ in range(200)])
    found = [of_sets(kid, *drawn(), least=50, seed=0) for _ in range(20)]
    assert np.mean([(cell.high - cell.low) / 2 / 1.96 for cell in found]) == pytest.approx(spread, rel=0.25)
    assert of_sets(kid, *drawn(), least=81, seed=0).count == 0
    features, real = drawn()
    features[:40] = np.nan  # no picture
    assert of_sets(kid, features, real, least=40, seed=0).count == 40
    assert np.isfinite(of_sets(kid, features, real, least=40, seed=0).low)


def test_fid_of_gaussians_is_the_formulas() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 2)) * [1.0, 2.0]
    y = rng.normal(size=(40_000, 2)) * [3.0, 2.0] + [0.0, 5.0]
    assert fid(x, y) == pytest.approx(25 + (3 - 1) ** 2, rel=0.03)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
