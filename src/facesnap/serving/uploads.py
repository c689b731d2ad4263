"""Photographs that strangers send: told by their bytes, measured before they are decoded, never a path."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Final, Protocol

from facesnap.core.errors import ImageError, one_line
from facesnap.core.images import PNG_SIGNATURE, load_image

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

#: What is decoded, with the bytes that such files begin with. Fewer kinds than the command line reads: what browsers
#: send and phones write; every further decoder is one more that strangers can feed.
SIGNATURES: Final = {"JPEG": b"\xff\xd8\xff", "PNG": PNG_SIGNATURE, "WEBP": b"RIFF"}

#: A picture that is longer than wide by more than this is no photograph, and makes detectors divide by nothing.
MAX_RATIO: Final = 50


class UploadTooLargeError(ImageError):
    """More bytes or pixels than are taken (HTTP 413)."""


class UploadTypeError(ImageError):
    """Not a kind of picture that is taken (HTTP 415)."""


class PictureLimits(Protocol):
    """What :func:`decode` asks of ``config.Limits``."""

    @property
    def upload_bytes(self) -> int:
        """Most bytes of one file."""

    @property
    def upload_pixels(self) -> int:
        """Most pixels of one picture."""


def decode(data: bytes, limits: PictureLimits) -> np.ndarray:
    """A photograph as RGB uint8 (H, W, 3), turned as its EXIF says, from the bytes of a JPEG, PNG or WebP file.

    Raises:
        UploadTooLargeError: more bytes or pixels than the limits; found before anything is decoded.
        UploadTypeError: another kind of file, whatever its name or declared type.
        ImageError: empty, damaged, cut short, animated, or no photograph's proportions.
    """
    if len(data) > limits.upload_bytes:
        raise UploadTooLargeError(f"the photo has {len(data):,} bytes: at most {limits.upload_bytes:,} are taken")
    kind = kind_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures and of odd EXIF blocks; we count ourselves
        return _decode(data, kind, limits.upload_pixels)


def kind_of(data: bytes) -> str:
    """Pillow's name of the kind of picture that these bytes, all or the first 12 of a file, begin.

    Raises:
        ImageError: there are none. UploadTypeError: they begin something else.
    """
    if not data:
        raise ImageError("the photo is empty (0 bytes)")
    kind = sniff(data)
    if kind is None:
        raise UploadTypeError("the file is not a JPEG, PNG or WebP picture, whatever its name says")
    return kind


def sniff(data: bytes) -> str | None:
    """Pillow's name of the kind of picture that these bytes begin; None for anything else."""
    for kind, signature in SIGNATURES.items():
        if data.startswith(signature) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    return None


def _decode(data: bytes, kind: str, most_pixels: int) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            _check(image, kind, most_pixels)
            return load_image(image)
    except Image.DecompressionBombError:
        raise UploadTooLargeError(f"the photo has far more pixels than the {most_pixels:,} that are taken") from None
    except UnidentifiedImageError:  # its text holds nothing but the address of our buffer
        raise ImageError("the photo is damaged or cut short: its header can't be read") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble on: SyntaxError, struct.error ...
        raise ImageError(f"the photo is damaged or cut short: {one_line(error)}") from None


def _check(image: Image.Image, kind: str, most_pixels: int) -> None:
    """Refuse by what the header says; no pixel is decoded yet."""
    width, height = image.size
    if width * height > most_pixels:
        raise UploadTooLargeError(f"the photo has {width} x {height} pixels: at most {most_pixels:,} are taken")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ImageError(f"the photo has {width} x {height} pixels: those are no photograph's proportions")
    # A JPEG may carry more pictures behind the first (phones store depth and brightness so); that is no animation.
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise ImageError("the picture is animated: send a still one")
