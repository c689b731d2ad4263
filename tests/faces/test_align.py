import numpy as np
import pytest

from facesnap.core.errors import InputError
from facesnap.faces.align import ARCFACE_TEMPLATE, align, arcface_matrix, crop_matrix, stack_crops


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The textbook way, by singular values (Umeyama 1991, equations 40 to 42)."""
    p, q = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(q.T @ p / len(p))
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = np.trace(np.diag(d) @ sign) / p.var(axis=0).sum()
    linear = scale * u @ sign @ vt
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])


@pytest.mark.parametrize("seed", range(5))
def test_it_is_umeyamas_similarity(seed):
    draw = np.random.default_rng(seed)
    points = ARCFACE_TEMPLATE @ draw.normal(size=(2, 2)) + draw.normal(size=(5, 2)) * 20
    ours = arcface_matrix(points)
    assert np.linalg.det(ours[:, :2]) > 0
    textbook = umeyama(points, ARCFACE_TEMPLATE)
    assert np.allclose(ours, textbook)


def test_a_turned_face_comes_to_the_template():
    angle, scale = 0.7, 3.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ARCFACE_TEMPLATE @ turn.T + [300, 40]
    assert np.allclose(apply(arcface_matrix(points), points), ARCFACE_TEMPLATE)
    assert np.allclose(apply(arcface_matrix(points, size=224), points), ARCFACE_TEMPLATE * 2)


def test_zoom_keeps_the_centre_and_shows_more():
    points = ARCFACE_TEMPLATE * 2 + 50
    wide = apply(arcface_matrix(points, zoom=0.7), points)
    assert np.allclose(wide, (ARCFACE_TEMPLATE - 56) * 0.7 + 56)


def test_many_faces_at_once():
    points = np.random.default_rng(0).normal(size=(2, 3, 5, 2)) * 50
    matrices = arcface_matrix(points)
    assert matrices.shape == (2, 3, 2, 3)
    assert np.allclose(matrices[1, 2], arcface_matrix(points[1, 2]))


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_points_that_are_no_face(points):
    with pytest.raises(InputError, match="five points"):
        arcface_matrix(points)


def test_align_moves_pixels_where_the_matrix_says():
    picture = np.zeros((300, 300, 3), dtype=np.uint8)
    points = ARCFACE_TEMPLATE * 2 + 40
    for x, y in points:
        picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
    crop = align(picture, points)
    assert crop.shape == (112, 112, 3)
    for x, y in ARCFACE_TEMPLATE:
        assert crop[int(y), int(x)].min() > 150
    assert crop[10:40].max() == 0


def test_crop_matrix_is_at_hand():
    assert np.allclose(crop_matrix(np.array([0, 0, 10, 10]), 20), [[2, 0, 0], [0, 2, 0]])


def test_crops_are_checked():
    crop = np.zeros((112, 112, 3), dtype=np.uint8)
    assert stack_crops([crop, crop]).shape == (2, 112, 112, 3)
    assert stack_crops([]).shape == (0, 112, 112, 3)
    for wrong in ([crop[:50]], [crop.astype(np.float32)], [crop, crop[:50]], crop):
        with pytest.raises(InputError, match="face crops"):
            stack_crops(wrong)
