"""InstantID's control image against the published numbers, point by point."""

from __future__ import annotations

import numpy as np
import pytest

from facesnap.landmarks.keypoints import draw_keypoints, drawing_scale
from facesnap.landmarks.layout import NUM_LANDMARKS, five_points

#: Published: colour of each disc, and of each limb the same times 0.6.
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
POINTS = np.array([[400.0, 380.0], [600.0, 400.0], [500.0, 500.0], [420.0, 620.0], [580.0, 640.0]])


def pixels(size: tuple[int, int]) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).astype(float)


def is_disc(size: tuple[int, int], point: np.ndarray, radius: float) -> np.ndarray:
    return np.linalg.norm(pixels(size) - point, axis=-1) <= radius


def is_limb(size: tuple[int, int], a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Inside the ellipse whose long axis runs from a to b and whose short half axis is ``radius``."""
    along = (b - a) / np.linalg.norm(b - a)
    offset = pixels(size) - (a + b) / 2
    u, v = offset @ along, offset @ np.array([-along[1], along[0]])
    return (u / (np.linalg.norm(b - a) / 2)) ** 2 + (v / radius) ** 2 <= 1


def expected(points: np.ndarray, size: tuple[int, int], grow: float, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Where each colour must be, with every shape ``grow`` pixels wider."""
    limbs = {i: is_limb(size, points[i], points[2], 4 * scale + grow) for i in (0, 1, 3, 4)}
    discs = {i: is_disc(size, points[i], 10 * scale + grow) for i in range(5)}
    return {**{f"limb {i}": m for i, m in limbs.items()}, **{f"disc {i}": m for i, m in discs.items()}}


@pytest.mark.parametrize(("size", "scale"), [((1024, 1024), 1.0), ((960, 1280), 1.0), ((512, 384), 0.5)])
def test_shapes_and_colours_are_the_published_ones(size: tuple[int, int], scale: float) -> None:
    points = POINTS * scale
    image = draw_keypoints(points, size)
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    inner, outer = (expected(points, size, grow, scale) for grow in (-1.5, 2.0))
    allowed = np.zeros(size[::-1], dtype=bool)
    for mask in outer.values():
        allowed |= mask
    assert image[~allowed].max() == 0
    any_disc = np.any([outer[f"disc {i}"] for i in range(5)], axis=0)
    for i, colour in enumerate(COLOURS):
        others = np.any([outer[f"disc {j}"] for j in range(5) if j != i], axis=0)
        assert (image[inner[f"disc {i}"] & ~others] == colour).all(), i
        if i != 2:
            crossing = np.any([outer[f"limb {j}"] for j in (0, 1, 3, 4) if j != i], axis=0)
            shown = inner[f"limb {i}"] & ~crossing & ~any_disc
            assert shown.sum() > 30
            assert (image[shown] == [int(0.6 * c) for c in colour]).all(), i


def test_later_limbs_lie_over_earlier_ones_and_discs_over_all() -> None:
    image = draw_keypoints(
        np.array([[300.0, 500], [300.0, 500], [700.0, 500], [300.0, 500], [300.0, 500]]), (1024, 1024)
    )
    assert tuple(image[500, 500]) == (153, 0, 153)
    assert tuple(image[500, 300]) == (255, 0, 255)
    assert tuple(image[500, 700]) == (0, 0, 255)


def test_sizes_scale_below_sdxls_only() -> None:
    assert [drawing_scale(size) for size in ((1024, 1024), (512, 2048), (1280, 960), (512, 512), (256, 128))] == [
        *(1.0, 1.0, 1.0),
        *(0.5, 0.25),
    ]
    tiny = draw_keypoints(POINTS / 40, (25, 25))
    assert {tuple(colour) for colour in tiny.reshape(-1, 3)} >= {(0, 0, 0), *COLOURS}  # a pixel at least


def test_unknown_points_and_points_outside() -> None:
    points = POINTS.copy()
    points[0], points[1] = np.nan, (-30.0, 400.0)
    image = draw_keypoints(points, (1024, 1024))
    assert not (image == (255, 0, 0)).all(axis=-1).any()
    assert not (image == (153, 0, 0)).all(axis=-1).any()
    assert not (image == (0, 255, 0)).all(axis=-1).any()
    assert (image[:, :200] == (0, 153, 0)).all(axis=-1).any()  # its limb comes in from there
    points[2] = np.nan
    assert len(np.unique(draw_keypoints(points, (1024, 1024)).reshape(-1, 3), axis=0)) == 3  # two discs on black


def test_landmarks_become_keypoints_in_the_published_order() -> None:
    landmarks = np.full((NUM_LANDMARKS, 2), 900.0)
    landmarks[36:44], landmarks[44:52], landmarks[30], landmarks[52], landmarks[58] = POINTS
    assert np.array_equal(draw_keypoints(five_points(landmarks), (1024, 1024)), draw_keypoints(POINTS, (1024, 1024)))


def test_wrong_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 2\), not \(72, 2\)"):
        draw_keypoints(np.zeros((NUM_LANDMARKS, 2)), (64, 64))
