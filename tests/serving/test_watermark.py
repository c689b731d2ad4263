"""The watermark, measured: how little it shows, what it survives, and that it isn't seen where there is none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facesnap.core.images import load_image
from facesnap.serving import watermark
from facesnap.serving.watermark import PAYLOAD, embed, read

PHOTOS = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))
PAYLOADS = [bytes(PAYLOAD), b"\xff" * PAYLOAD, b"abcdef"]


def photos(side: int) -> list[np.ndarray]:
    return [np.array(Image.fromarray(load_image(path)).resize((side, side))) for path in PHOTOS]


def again(image: np.ndarray, kind: str, **how: Any) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **how)
    return np.array(Image.open(buffer).convert("RGB"))


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def test_there_are_photos_to_measure_on() -> None:
    assert PHOTOS


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("side", [64, 128, 512])
def test_it_does_not_show_and_survives_files(side: int, payload: bytes) -> None:
    for image in photos(side):
        marked = embed(image, payload)
        assert psnr(image, marked) >= 42.0
        assert np.abs(marked.astype(int) - image).max() <= 24
        assert read(again(marked, "PNG")) == payload
        if side >= 128:
            assert read(again(marked, "JPEG", quality=75)) == payload


def test_pieces_of_photographs_keep_it_through_jpeg_75() -> None:
    rng = np.random.default_rng(0)
    large, found, worst = photos(512), 0, 100.0
    for _ in range(200):
        image, (y, x) = large[rng.integers(len(large))], rng.integers(0, 512 - 128, 2)
        piece, payload = image[y : y + 128, x : x + 128], rng.bytes(PAYLOAD)
        marked = embed(piece, payload)
        worst = min(worst, psnr(piece, marked))
        found += read(again(marked, "JPEG", quality=75)) == payload
    assert found >= 198
    assert worst >= 43.5


def test_it_survives_what_the_docstring_says() -> None:
    rng = np.random.default_rng(0)
    for image in photos(256):
        marked = embed(image, b"abcdef")
        painted = marked.copy()
        painted[60:120, 60:120] = 0
        noisy = (marked + rng.normal(0, 3, marked.shape)).round().clip(0, 255).astype(np.uint8)
        for changed in (
            again(marked, "JPEG", quality=70),
            again(marked, "WEBP", quality=70),
            again(again(marked, "JPEG", quality=80), "JPEG", quality=75),
            noisy,
            painted,
            np.clip(marked.astype(int) + 5, 0, 255).astype(np.uint8),
            (marked * 0.97).round().astype(np.uint8),
        ):
            assert read(changed) == b"abcdef"
    for image in photos(512):
        assert read(again(embed(image, b"abcdef"), "WEBP", quality=60)) == b"abcdef"


def test_it_does_not_survive_what_the_docstring_says() -> None:
    """So that the claim isn't silently wrong either way, and a lost mark is none, never another one."""
    marked = embed(photos(256)[0], b"abcdef")
    small = np.array(Image.fromarray(marked).resize((192, 192)))
    for lost in (marked[1:], marked[:, 8:], marked[:248], small, marked[:, ::-1], again(marked, "JPEG", quality=20)):
        assert read(np.ascontiguousarray(lost)) is None


def test_a_damaged_mark_is_never_read_as_another_one() -> None:
    rng = np.random.default_rng(2)
    large, lost = photos(512), 0
    for _ in range(200):
        image, (y, x) = large[rng.integers(len(large))], rng.integers(0, 512 - 64, 2)
        payload = rng.bytes(PAYLOAD)
        found = read(again(embed(image[y : y + 64, x : x + 64], payload), "JPEG", quality=65))
        assert found in (payload, None)
        lost += found is None
    assert 20 < lost < 180  # the pictures are about where the mark gives way


def test_there_are_no_false_alarms() -> None:
    """600 pieces of photographs, noise of several kinds, plain colours: 1000 pictures in all."""
    rng = np.random.default_rng(1)
    large = photos(512)
    pictures = []
    for _ in range(600):
        image, (y, x) = large[rng.integers(len(large))], rng.integers(0, 512 - 64, 2)
        pictures.append(image[y : y + 64, x : x + 64])
    pictures += [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(200)]
    pictures += [(rng.normal(128, 4, (64, 64, 3))).clip(0, 255).astype(np.uint8) for _ in range(100)]
    pictures += [np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8) for _ in range(100)]
    assert len(pictures) == 1000
    assert [read(picture) for picture in pictures] == [None] * 1000


def test_a_checksum_alone_does_not_make_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 66 000 unmarked pictures one passes a checksum of 16 bits: the votes must agree, too."""
    monkeypatch.setattr(watermark, "_checksum", lambda payload: AnyBytes())
    rng = np.random.default_rng(3)
    assert [read(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(200)] == [None] * 200
    assert [read(image) for image in photos(128)] == [None] * len(PHOTOS)


class AnyBytes:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("shape", [(8, 8, 3), (16, 24, 3), (7, 500, 3)])
def test_a_picture_too_small_for_it_stays_as_it_is(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(embed(image, b"abcdef"), image)
    assert read(image) is None


def test_odd_sizes_extremes_and_wrong_payloads() -> None:
    for colour in (0, 128, 255):
        flat = np.full((131, 93, 3), colour, np.uint8)
        assert read(embed(flat, b"abcdef")) == b"abcdef"
    with pytest.raises(ValueError, match="6 bytes"):
        embed(np.zeros((64, 64, 3), np.uint8), b"abc")
