"""Every metric on a case whose answer is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from facesnap.evaluation import metrics


def test_bootstrap_of_a_constant_has_no_width() -> None:
    assert metrics.bootstrap_mean(np.full(7, 0.3)) == metrics.Interval(pytest.approx(0.3), *[pytest.approx(0.3)] * 2, 7)


def test_bootstrap_matches_the_normal_interval_on_many_values() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    interval = metrics.bootstrap_mean(values)
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)


def test_bootstrap_is_seeded_and_counts_only_what_was_measured() -> None:
    values = np.array([0.0, 1.0, np.nan, 1.0, 0.0])
    assert metrics.bootstrap_mean(values, 1) == metrics.bootstrap_mean(values, 1)
    assert metrics.bootstrap_mean(values).value == 0.5
    assert metrics.bootstrap_mean(values).count == 4
    assert metrics.bootstrap_mean(np.array([np.nan])).count == 0


def test_a_paired_ratio_of_proportional_columns_is_exact() -> None:
    above = np.random.default_rng(0).uniform(1, 9, 50)
    ratio = metrics.bootstrap_ratio(3 * above, above)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3.0, 3.0, 3.0))


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # Newcombe (1998), table I, method 3: the score interval, without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),  # the mirror of 0 of 20
    ],
)
def test_wilson_interval_has_the_published_values(hits: int, count: int, low: float, high: float) -> None:
    interval = metrics.wilson(np.array([1.0] * hits + [0.0] * (count - hits)))
    assert interval.value == pytest.approx(hits / count)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert interval.count == count


def test_wilson_leaves_out_what_was_not_measured_and_refuses_what_is_no_share() -> None:
    assert metrics.wilson(np.array([1.0, np.nan, 0.0])).count == 2
    assert metrics.wilson(np.array([np.nan])).count == 0
    with pytest.raises(ValueError, match="hits"):
        metrics.wilson(np.array([0.5]))


def test_missing_becomes_the_worst_and_errors_are_capped() -> None:
    values = np.array([0.2, np.nan, 7.0])
    assert metrics.capped(values).tolist() == [0.2, 1.0, 1.0]
    assert metrics.floored(np.array([-0.1, np.nan])).tolist() == [-0.1, 0.0]


def test_rank1_finds_each_in_its_own_place() -> None:
    gallery = np.eye(5)
    assert metrics.rank1(gallery, gallery).tolist() == [1] * 5
    assert metrics.rank1(gallery[[1, 0, 2, 3, 4]], gallery).tolist() == [0, 0, 1, 1, 1]


def test_rank1_counts_misses_absent_people_and_ties_as_failures() -> None:
    gallery, probes = np.eye(4), np.eye(4)
    probes[0] = np.nan  # no face
    gallery[1] = np.nan  # nobody to find; nor may the empty row win
    probes[2] = (np.eye(4)[2] + np.eye(4)[3]) / np.sqrt(2)  # a tie
    assert metrics.rank1(probes, gallery).tolist() == [0, 0, 0, 1]


def test_an_empty_gallery_row_does_not_beat_a_negative_match() -> None:
    probes = np.array([[-1.0, 0.0], [0.0, 1.0]])
    gallery = np.array([[1.0, 0.0], [np.nan, np.nan]])
    assert metrics.rank1(probes, gallery).tolist() == [1, 0]


def test_cosine_of_known_angles() -> None:
    a = np.array([[1.0, 0], [1, 0], [1, 0], [np.nan, 0]])
    b = np.array([[1.0, 0], [0, 1], [0.6, 0.8], [1, 0]])
    np.testing.assert_allclose(metrics.cosine(a, b), [1, 0, 0.6, np.nan])


def test_pose_error_goes_the_shorter_way() -> None:
    error = metrics.pose_error(np.array([[10.0, -5, 179]]), np.array([[-10.0, -5, -179]]))
    np.testing.assert_allclose(error, [[20, 0, 2]])


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_moves_everybody(count: int) -> None:
    order = metrics.derangement(count, seed=count)
    assert sorted(order) == list(range(count))
    assert (order != np.arange(count)).all()


def test_verification_is_set_by_strangers_and_counts_own_pictures() -> None:
    rng = np.random.default_rng(0)

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    people = rng.normal(size=(60, 16))
    gallery, real = unit(people), unit(people + 0.3 * rng.normal(size=people.shape))
    threshold = metrics.impostor_threshold(real, gallery, 0.01)
    scores = (real @ gallery.T)[~np.eye(60, dtype=bool)]
    assert np.mean(scores > threshold) == pytest.approx(0.01, abs=1e-3)
    assert metrics.verified(real, gallery, threshold).mean() > 0.9
    assert metrics.verified(np.roll(gallery, 1, axis=0), gallery, threshold).mean() < 0.1
    missing = gallery.copy()
    missing[0] = np.nan
    assert metrics.verified(missing, gallery, threshold).tolist() == [0.0, *[1.0] * 59]
    assert np.isnan(metrics.impostor_threshold(real[:5], gallery[:5], 0.01))
    assert metrics.impostor_threshold(missing, gallery, 0.5) > -1
