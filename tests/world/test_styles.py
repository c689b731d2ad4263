from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesnap.core.errors import UsageError
from facesnap.world.styles import strokes as style_strokes
from facesnap.world.styles import textures as style_textures
from facesnap.world.styles.apply import STYLES, apply_style

FILTERS = [style for style in STYLES if style != "photo"]
#: Squares (x, y of the middle, half the side) in the drawn portrait, of 256, that must stay in their place.
PLACES = {"face": (128, 128, 64), "eyes": (128, 114, 46), "mouth": (128, 168, 26)}


def portrait(side: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A drawn head before a green gradient with a lamp in it: picture and segmentation."""
    y, x = np.mgrid[0:256, 0:256].astype(np.float32)
    picture = np.stack([60 + 0.2 * x, 120 + 0.3 * y, 70 + 0.1 * x], axis=-1)
    cv2.circle(picture, (28, 40), 9, (255, 70, 200), -1)
    classes = np.zeros((256, 256), np.uint8)

    def put(kind: int, colour: tuple[int, int, int], centre: tuple[int, int], axes: tuple[int, int]) -> None:
        for target, value in ((picture, colour), (classes, kind)):
            cv2.ellipse(target, centre, axes, 0, 0, 360, value, -1)

    put(3, (60, 80, 170), (128, 270), (104, 62))
    put(2, (70, 44, 26), (128, 104), (74, 86))
    put(1, (214, 164, 136), (128, 206), (26, 36))
    put(1, (214, 164, 136), (128, 128), (56, 72))
    for eye in (104, 152):
        put(1, (240, 238, 234), (eye, 118), (12, 6))
        put(1, (60, 90, 60), (eye, 118), (5, 5))
        cv2.ellipse(picture, (eye, 104), (15, 4), 0, 180, 360, (60, 40, 26), 3)
    put(1, (176, 70, 74), (128, 168), (20, 7))
    cv2.line(picture, (108, 168), (148, 168), (90, 30, 34), 2)
    picture *= (1.12 - 0.4 * np.clip((x - 90) / 120, 0, 1))[..., None]  # light from the left
    picture += np.random.default_rng(0).normal(0, 2, (256, 256, 1))
    small = cv2.resize(np.clip(picture, 0, 255), (side, side), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8), cv2.resize(classes, (side, side), interpolation=cv2.INTER_NEAREST)


def luma(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def colourfulness(image: np.ndarray) -> float:
    return float(np.ptp(image.astype(int), axis=2).mean())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("side", [64, 101, 512])
def test_every_style_at_every_size(style, side):
    image, classes = portrait(side)
    kept = image.copy(), classes.copy()
    made = apply_style(image, classes, style, 3)
    assert made.shape == (side, side, 3)
    assert made.dtype == np.uint8
    assert made.std() > 15  # a picture, not a blank
    assert np.array_equal(image, kept[0])
    assert np.array_equal(classes, kept[1])


@pytest.mark.parametrize("style", FILTERS)
def test_follows_from_its_arguments_alone(style):
    image, classes = portrait(128)
    first = apply_style(image, classes, style, 5)
    other = apply_style(image, classes, style, 6)
    style_textures.texture.cache_clear()
    style_strokes.strokes.cache_clear()
    assert np.array_equal(apply_style(image, classes, style, 5), first)
    assert np.abs(other.astype(int) - first).mean() > 1, "seeds vary a style"
    assert np.abs(first.astype(int) - image).mean() > 5, "and no style leaves the picture alone"


def test_photo_is_the_picture_itself():
    image, classes = portrait(64)
    made = apply_style(image, classes, "photo", 0)
    assert np.array_equal(made, image)
    assert made is not image


@pytest.mark.parametrize("style", FILTERS)
def test_nothing_moves(style):
    """By phase correlation of the contours: the face as a whole, and eyes and mouth for themselves."""
    image, classes = portrait()
    before, shifts = contours(image), []
    for seed in range(4):
        after = contours(apply_style(image, classes, style, seed))
        shifts.append([shift(before, after, *place) for place in PLACES.values()])
    for name, moved in zip(PLACES, np.mean(shifts, axis=0), strict=True):
        assert np.hypot(*moved) < 0.5, f"{name} moved by {moved}"


def test_a_moved_picture_would_be_seen():
    image, _ = portrait()
    moved = [shift(contours(image), contours(np.roll(image, 1, axis=1)), *place) for place in PLACES.values()]
    assert np.allclose(moved, [1, 0], atol=0.4)


def contours(picture: np.ndarray) -> np.ndarray:
    """Where edges and lines are, alike for both: how steep luma is, smoothed."""
    grey = cv2.GaussianBlur(luma(picture), (0, 0), 1.2)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return cv2.GaussianBlur(np.log1p(cv2.GaussianBlur(slope, (0, 0), 1.0)), (0, 0), 2.0)


def shift(before: np.ndarray, after: np.ndarray, x: int, y: int, reach: int) -> np.ndarray:
    """How far (x, y) the square about a place moved, in pixels."""
    part = np.s_[y - reach : y + reach, x - reach : x + reach]
    window = cv2.createHanningWindow((2 * reach, 2 * reach), cv2.CV_32F)
    first, second = (np.ascontiguousarray(a[part]) for a in (before, after))
    return np.array(cv2.phaseCorrelate(first, second, window)[0])


@pytest.mark.parametrize("style", FILTERS)
@pytest.mark.parametrize("side", [128, 256])
def test_the_face_stays_readable(style, side):
    """Eyes, brows and mouth, as what is darker or lighter than its surroundings, are still the same."""
    image, classes = portrait(side)
    box = np.s_[int(side * 0.36) : int(side * 0.72), int(side * 0.33) : int(side * 0.67)]

    def features(picture: np.ndarray) -> np.ndarray:
        grey = cv2.GaussianBlur(luma(picture), (0, 0), side / 160)
        return (grey - cv2.GaussianBlur(grey, (0, 0), side / 20))[box].ravel()

    for seed in range(3):
        made = apply_style(image, classes, style, seed)
        assert np.corrcoef(features(image), features(made))[0, 1] > 0.75
        assert features(made).std() > 0.5 * features(image).std()


def test_pencil_is_grey_on_mostly_empty_paper():
    image, classes = portrait()
    for seed in range(4):
        made = apply_style(image, classes, "pencil", seed)
        assert colourfulness(made) < 16
        assert np.median(luma(made)[classes == 0]) > 205
        assert np.percentile(luma(made), 1) < 90


def test_watercolour_leaves_white_paper_and_keeps_colour():
    image, classes = portrait()
    assert (image.min(axis=2) > 225).mean() < 0.01
    for seed in range(12):
        made = apply_style(image, classes, "watercolour", seed)
        assert (made.min(axis=2) > 225).mean() > 0.04
        assert colourfulness(made) > 25


def test_oil_is_rough_with_strokes_in_the_picture_s_colours():
    image, classes = portrait()
    flat = np.s_[150:200, 4:40]

    def rough(picture: np.ndarray) -> float:
        grey = luma(picture)
        return float((grey - cv2.GaussianBlur(grey, (0, 0), 3))[flat].std())

    made = apply_style(image, classes, "oil", 0)
    assert rough(made) > 2 * rough(image)
    assert np.abs(made[flat].mean(axis=(0, 1)) - image[flat].mean(axis=(0, 1))).max() < 35


def test_comic_has_few_colours_and_black_outlines():
    image, classes = portrait()
    shades = np.unique(luma(image)[classes == 1].astype(int), return_counts=True)[1]
    made = apply_style(image, classes, "comic", 2)
    fewer = np.unique(luma(made)[classes == 1].astype(int), return_counts=True)[1]

    def share(counts: np.ndarray) -> float:
        return float(np.sort(counts)[-12:].sum() / counts.sum())

    assert share(fewer) > share(shades) + 0.2
    border = cv2.morphologyEx(classes, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert np.median(luma(made)[border]) < 50 < np.median(luma(image)[border])


def test_black_and_white_has_no_colour_and_full_contrast():
    made = apply_style(*portrait(), "black and white", 1)
    assert colourfulness(made) == 0
    assert np.ptp(np.percentile(made, [1, 99])) > 150


def test_old_photographs_are_brown_and_faded():
    image, classes = portrait()
    for seed in range(4):
        made = apply_style(image, classes, "old photograph", seed).astype(int)
        hue = cv2.cvtColor(made.mean(axis=(0, 1), keepdims=True).astype(np.uint8), cv2.COLOR_RGB2HSV)[0, 0]
        assert 4 < hue[0] < 26  # of 180: orange and brown
        assert hue[1] > 40
        assert ((made[..., 0] >= made[..., 1]) & (made[..., 1] >= made[..., 2])).mean() > 0.98
        assert made[..., 2].max() < 235  # no white is left


def test_neon_makes_coloured_light_glow():
    image, classes = portrait()
    made = apply_style(image, classes, "neon", 0)
    about = np.hypot(*(np.mgrid[0:256, 0:256] - np.array([40, 28])[:, None, None]))
    ring, away = (about > 11) & (about < 16), (about > 45) & (about < 52) & (classes == 0)

    def pinkness(picture: np.ndarray, where: np.ndarray) -> float:
        colour = picture[where].astype(float).mean(axis=0)
        return float(colour[0] - colour[1])

    assert pinkness(made, ring) - pinkness(made, away) > pinkness(image, ring) - pinkness(image, away) + 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"style": "cubism"}, "pencil"),
        ({"image": np.zeros((64, 80, 3), np.uint8)}, "square"),
        ({"image": np.zeros((32, 32, 3), np.uint8)}, "64"),
        ({"image": np.zeros((64, 64, 3), np.float32)}, "uint8"),
        ({"segmentation": np.zeros((32, 32), np.uint8)}, "segmentation"),
    ],
)
def test_wrong_use_is_said_in_one_line(change, words):
    image, classes = portrait(64)
    with pytest.raises(UsageError, match=words) as caught:
        apply_style(**{"image": image, "segmentation": classes, "style": "oil", "seed": 0, **change})
    assert "\n" not in str(caught.value)
