"""What is wrong with one picture's PNG files: the picture itself and the map of its classes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from facesnap.core.images import PNG_SIGNATURE
from facesnap.world.classes import CLASSES, SKIN
from facesnap.world.datasets.reading import decode_png

#: Bytes of a PNG from its start to its colour type, and the colour types.
HEAD = 26
RGB, GREY = 2, 0


def problems_of_picture(content: bytes, size: Any, fast: bool) -> list[str]:
    """What is wrong with an RGB picture that should have ``size`` pixels a side; ``fast`` reads its head alone."""
    return _problems(content, size, RGB, fast, _problems_of_pixels)


def problems_of_classes(content: bytes, size: Any, fast: bool) -> list[str]:
    """Like :func:`problems_of_picture`, for a map of classes."""
    return _problems(content, size, GREY, fast, _problems_of_map)


def _problems(
    content: bytes, size: Any, colours: int, fast: bool, look: Callable[[np.ndarray], Iterator[str]]
) -> list[str]:
    """The head's problems; where it has none and there is time, what ``look`` finds in the pixels."""
    problems = list(_problems_of_head(content, size, colours))
    if problems or fast:
        return problems
    picture = _decoded(content)
    return ["can't be decoded"] if picture is None else list(look(picture))


def _problems_of_pixels(picture: np.ndarray) -> Iterator[str]:
    if picture.min() == picture.max():
        yield "is empty: all of its pixels are alike"


def _problems_of_map(picture: np.ndarray) -> Iterator[str]:
    counts = np.bincount(picture.ravel(), minlength=len(CLASSES))
    unknown = np.flatnonzero(counts[len(CLASSES) :]) + len(CLASSES)
    if len(unknown):
        yield f"has class {unknown[0]}; the last is {len(CLASSES) - 1}"
    if counts[SKIN] == 0:
        yield "has no skin"


def _problems_of_head(content: bytes, size: Any, colours: int) -> Iterator[str]:
    if len(content) < HEAD or not content.startswith(PNG_SIGNATURE):
        yield "is no PNG"
        return
    width, height, depth, held = struct.unpack(">IIBB", content[16:HEAD])
    if (width, height) != (size, size):
        yield f"has {width} x {height} pixels, not {size} x {size}"
    if (depth, held) != (8, colours):
        yield f"is no 8-bit {'RGB' if colours == RGB else 'grey'} picture"


def _decoded(content: bytes) -> np.ndarray | None:
    """The pixels; None where the file is damaged."""
    from PIL import Image

    try:
        Image.open(io.BytesIO(content), formats=("PNG",)).verify()  # checksums; OpenCV would print what it finds
        return decode_png(content, cv2.IMREAD_UNCHANGED)
    except Exception:  # Pillow raises whatever it stumbles on: SyntaxError, struct.error ...
        return None
