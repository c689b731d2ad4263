from __future__ import annotations

import numpy as np
import pytest

from facesnap.landmarks.draw import default_radius, draw_landmarks, overlay
from facesnap.landmarks.layout import COLOURS, GROUPS, NUM_LANDMARKS


def spread_points(step: float = 12.0) -> np.ndarray:
    """72 points on a grid, none touching another."""
    index = np.arange(NUM_LANDMARKS)
    return np.stack([index % 9, index // 9], axis=1) * step + 8.5


def test_every_group_has_its_colour_at_its_place() -> None:
    points = spread_points()
    image = draw_landmarks(points, (128, 120), radius=2)
    assert image.shape == (120, 128, 3)
    assert image.dtype == np.uint8
    for name, group in GROUPS.items():
        for x, y in points[group]:
            assert tuple(image[int(y), int(x)]) == COLOURS[name], name
    assert (image[:, 0] == 0).all()


def test_the_papers_colours() -> None:
    assert COLOURS["jaw"] == (255, 255, 255)
    assert COLOURS["brow_l"] == (0, 255, 255)
    assert COLOURS["eye_l"] == (255, 0, 255)
    assert COLOURS["mouth"] == (255, 0, 0)


@pytest.mark.parametrize("radius", [1.0, 1.4, 3.0])
def test_dots_keep_their_sub_pixel_place_and_area(radius: float) -> None:
    for place in ([40.0, 40.0], [40.5, 40.25], [41.3, 39.8]):
        points = np.full((NUM_LANDMARKS, 2), -50.0)
        points[0] = place
        weight = draw_landmarks(points, (80, 80), radius)[..., 0] / 255
        y, x = np.mgrid[:80, :80] + 0.5
        centre = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
        assert np.abs(centre - place).max() < 0.08
        assert abs(weight.sum() / (np.pi * radius**2) - 1) < 0.15


def test_points_outside_or_unknown_are_skipped() -> None:
    points = np.full((NUM_LANDMARKS, 2), np.nan)
    points[0], points[1], points[2] = (-0.1, 5), (64, 5), (5, 64.5)
    assert draw_landmarks(points, (64, 64)).max() == 0
    points[3] = (0.2, 63.9)  # inside, at the very corner
    image = draw_landmarks(points, (64, 64))
    assert image[63, 0].min() > 200
    assert image[:40].max() == 0


def test_near_groups_lie_on_top() -> None:
    points = np.full((NUM_LANDMARKS, 2), 30.5)
    assert tuple(draw_landmarks(points, (64, 64), 3)[30, 30]) == COLOURS["nose"]
    points[GROUPS["nose"]] = 5.5
    assert tuple(draw_landmarks(points, (64, 64), 3)[30, 30]) == COLOURS["mouth"]


def test_overlay_leaves_the_picture_alone() -> None:
    image = np.full((100, 100, 3), 80, dtype=np.uint8)
    drawn = overlay(image, spread_points(10.0), 1.0)
    assert (image == 80).all()
    assert (drawn != 80).any()
    assert tuple(drawn[99, 99]) == (80, 80, 80)


def test_hidden_landmarks_are_rings() -> None:
    image, points = np.full((100, 100, 3), 80, dtype=np.uint8), spread_points(10.0)
    hidden = np.arange(NUM_LANDMARKS) == 3
    drawn, dots = overlay(image, points, 3.0, hidden), overlay(image, points, 3.0)
    (x, y), reach = points[3].astype(int), np.array([-1, 0, 1])
    assert (drawn[y + reach, x] == 80).all()
    assert (drawn[y, x - 3] != 80).all()
    changed = np.argwhere((drawn != dots).any(axis=2))
    assert np.abs(changed - (y, x)).max() <= 2


def test_radius_grows_with_the_picture() -> None:
    assert default_radius((64, 64)) == 1.0
    assert default_radius((1000, 512)) == pytest.approx(5.632)


def test_wrong_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"72, 2"):
        draw_landmarks(np.zeros((68, 2)), (64, 64))
