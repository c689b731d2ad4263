"""Files of one visit, among Gradio's: what people sent, and what they may download."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from facesnap.core.errors import ImageError
from facesnap.core.images import png_bytes, write_atomic
from facesnap.serving.config import Limits
from facesnap.serving.studio.visit import Box, hold
from facesnap.serving.uploads import decode


def read(path: str) -> bytes:
    """A file that Gradio stored; it has checked that it lies among its uploads.

    Raises:
        ImageError: it is gone (a visit that was idle for too long).
    """
    try:
        return Path(path).read_bytes()
    except OSError:
        raise ImageError("this photo isn't on the server any more: add it again") from None


def keep(data: bytes, name: str) -> str:
    """Put something for download among Gradio's files, where it would put it, so that there is no second copy.

    Raises:
        OutputError: it can't be written.
    """
    from gradio.processing_utils import hash_bytes
    from gradio.utils import get_upload_folder

    path = Path(get_upload_folder()) / hash_bytes(data) / re.sub(r"[^\w.-]", "_", name)
    write_atomic(path, data)
    hold([str(path.resolve())])
    return str(path.resolve())


def alone(photo: bytes, boxes: Sequence[Box], face: int, limits: Limits) -> bytes:
    """The photo with the other faces covered, so that whoever reads it finds the chosen one.

    Args:
        photo: a file's bytes.
        boxes: of its faces.
        face: the chosen one, from 0. Of the first, which is the largest, the photo is returned as it is.
        limits: of uploads.

    Raises:
        ImageError: it can't be read.
    """
    if face == 0 or face >= len(boxes):
        return photo
    picture = decode(photo, limits).copy()
    chosen = _grown(boxes[face], 0.35)
    kept = picture[chosen].copy()
    for other, box in enumerate(boxes):
        if other != face:
            picture[_grown(box, 0.2)] = 128
    picture[chosen] = kept
    return png_bytes(picture)


def _grown(box: Box, share: float) -> tuple[slice, slice]:
    """Rows and columns of a box with a margin, a share of its size, on each side."""
    x0, y0, x1, y1 = box
    margin_x, margin_y = share * (x1 - x0), share * (y1 - y0)
    rows = slice(max(0, int(y0 - margin_y)), max(0, int(y1 + margin_y)))
    return rows, slice(max(0, int(x0 - margin_x)), max(0, int(x1 + margin_x)))
