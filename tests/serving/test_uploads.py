"""Uploads: what is taken, what is refused, and that the refusal comes before the pixels."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from facesnap.core.errors import ImageError
from facesnap.serving.uploads import UploadTooLargeError, UploadTypeError, decode


class Limits(NamedTuple):
    upload_bytes: int = 2_000_000
    upload_pixels: int = 1_000_000


def _picture(width: int = 60, height: int = 40) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one row's worth of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_pictures_come_back_exactly(kind: str) -> None:
    picture = _picture()
    decoded = decode(_bytes(picture, kind, lossless=True), Limits())
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.asarray(picture))


def test_exif_turns_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(_bytes(_picture(60, 40), "JPEG", exif=exif), Limits()).shape == (60, 40, 3)


def test_a_phone_s_jpeg_with_a_second_picture_behind_it_is_taken() -> None:
    data = _bytes(_picture(), "MPO", save_all=True, append_images=[_picture(30, 20)])
    assert decode(data, Limits()).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_other_kinds_of_pictures_are_refused_by_content(kind: str) -> None:
    with pytest.raises(UploadTypeError, match="not a JPEG, PNG or WebP"):
        decode(_bytes(_picture(), kind), Limits())


@pytest.mark.parametrize(
    "data", [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0", b"RIFF0000WAVEfmt "]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(UploadTypeError):
        decode(data, Limits())


def test_nothing_at_all() -> None:
    with pytest.raises(ImageError, match="empty"):
        decode(b"", Limits())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_half_a_file_is_damaged(kind: str) -> None:
    data = _bytes(_picture(300, 200), kind)
    with pytest.raises(ImageError, match="damaged or cut short"):
        decode(data[: len(data) // 2], Limits())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_files_are_taken_or_refused_but_nothing_crashes(kind: str) -> None:
    rng = np.random.default_rng(1)
    whole = _bytes(_picture(), kind)
    for _ in range(50):
        damaged = bytearray(whole)
        for place in rng.integers(12, len(whole), 20):
            damaged[place] = rng.integers(0, 256)
        with suppress(ImageError):  # anything else would be a crash
            decode(bytes(damaged), Limits())


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    data = _bytes(_picture(), kind, save_all=True, append_images=[_picture(60, 40).rotate(180)])
    with pytest.raises(ImageError, match="animated"):
        decode(data, Limits())


def test_too_many_bytes() -> None:
    data = _bytes(_picture(), "PNG")
    with pytest.raises(UploadTooLargeError, match=f"at most {len(data) - 1:,}"):
        decode(data, Limits(upload_bytes=len(data) - 1))
    assert decode(data, Limits(upload_bytes=len(data))).shape == (40, 60, 3)


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_from_the_header(width: int, height: int) -> None:
    tracemalloc.start()
    with pytest.raises(UploadTooLargeError, match="pixels"):
        decode(_png_header(width, height), Limits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(("width", "height"), [(5000, 1), (1, 5000)])
def test_a_thread_of_pixels_is_no_photograph(width: int, height: int) -> None:
    with pytest.raises(ImageError, match="proportions"):
        decode(_bytes(_picture(width, height), "PNG"), Limits())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_text_of_an_error_names_nothing_of_the_server(kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(_bytes(_picture(), kind)[:16], Limits())
    assert "0x" not in str(caught.value)
    assert "/" not in str(caught.value)
