"""Pictures in and out: every kind of photograph becomes RGB uint8, every refusal is one line.

Inside FaceSnap a picture is an array (H, W, 3), RGB uint8. Pixel coordinates have their origin at the
**top left corner** of the first pixel, so that pixel's centre is (0.5, 0.5). (In torch that is
``grid_sample(..., align_corners=False)``.)
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from facesnap.core.errors import ImageError, InputError, OutputError, one_line

if TYPE_CHECKING:
    from PIL import Image

    ImageSource = str | os.PathLike[str] | Image.Image | np.ndarray

#: Larger pictures are refused before they are decoded: 100 megapixels are 300 MB of RGB.
MAX_PIXELS: Final = 100_000_000

#: What every PNG file begins with.
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

#: What is decoded. Pillow knows more, but some of it (EPS) would run another program.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")


def load_image(source: ImageSource) -> np.ndarray:
    """Read a photograph as RGB uint8 (H, W, 3).

    EXIF rotation is applied; grey, CMYK, palette and 16-bit pictures are converted, transparent ones laid
    over white; of an animation the first frame is taken.

    Args:
        source: a path, a PIL image, or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of bool,
            uint8, uint16, or float in [0, 1]. An array that is RGB uint8 already is returned as it is.

    Raises:
        ImageError: missing, not a picture, truncated, empty, or over 100 megapixels; names the file.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    from PIL import Image

    if isinstance(source, Image.Image):
        return _from_pil(source, "the picture")
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"a picture is a path, a PIL image or an array, not {type(source).__name__}")
    return _from_path(Path(source))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """The bytes of a photograph, as :func:`load_image` reads its file. ImageError calls it by its ``name``."""
    if not content:
        raise ImageError(f"{name} is empty (0 bytes)")
    return _decoded(io.BytesIO(content), name)


def _from_path(path: Path) -> np.ndarray:
    name = _printable(path)
    _check_file(path, name)
    return _decoded(path, name)


def _decoded(source: Path | io.BytesIO, name: str) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source, formats=FORMATS) as image:
            return _from_pil(image, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not a picture that can be read: use a JPEG, PNG or WebP file") from error
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble on: SyntaxError, struct.error ...
        raise ImageError(f"{name} is damaged or cut short: {one_line(error)}") from error


def _check_file(path: Path, name: str) -> None:
    """Refuse what isn't a readable file with something in it, before any decoder sees it."""
    try:
        if not path.exists():
            raise ImageError(f"{name} does not exist")
        if path.is_dir():
            raise ImageError(f"{name} is a folder, not a picture")
        if not path.is_file():
            raise ImageError(f"{name} is not a regular file")
        if path.stat().st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes)")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name} can't be read: {one_line(error)}") from error


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    _check_size(image.width, image.height, name)
    try:
        image.load()
        return _to_rgb(_upright(image))
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{name} is damaged or cut short: {one_line(error)}") from error


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block must not cost the user a good photograph
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _from_array(_deep_to_unit(np.asarray(image)))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _deep_to_unit(values: np.ndarray) -> np.ndarray:
    """Grey values of a 16 or 32 bit picture as floats in [0, 1]; its range is the narrowest that holds them."""
    peak = float(np.nan_to_num(values).max(initial=0))
    limits = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (65535.0,)
    limit = next((limit for limit in limits if peak <= limit), max(peak, 1.0))
    return np.asarray(np.clip(np.nan_to_num(values) / limit, 0.0, 1.0))


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(f"an array of shape {array.shape} is not a picture: use (height, width, 3)")
    _check_size(array.shape[1], array.shape[0], "the array")
    pixels = _to_uint8(array)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.asarray(np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2))
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        return np.asarray((pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8))
    return pixels


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return (array / 257).round().astype(np.uint8)
    if array.dtype.kind != "f":
        raise ImageError(f"an array of {array.dtype} is not a picture: use uint8, or float in [0, 1]")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise ImageError("a picture of floats must lie in [0, 1]")
    return np.asarray((array * 255).round().astype(np.uint8))


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width} x {height} pixels are ")


def _too_large(name: str, size: str = "") -> ImageError:
    return ImageError(f"{name}: {size}more than {MAX_PIXELS // 1_000_000} megapixels: make the picture smaller first")


def _printable(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() else ascii(text)


def similarity_crop(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Warp a picture by a similarity into a square (size, size, 3) crop, black outside the picture.

    Shrinking is anti-aliased: the part of the picture that the crop shows is first reduced by area to about
    the crop's scale, because ``warpAffine`` alone would skip pixels.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3), picture pixels -> crop pixels (corner origin, as everywhere).
        size: side of the crop in pixels.

    Raises:
        InputError: the matrix has no inverse, or isn't finite.
    """
    import cv2

    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-16:
        raise InputError(f"no crop can be cut by the matrix {matrix.tolist()}")
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    seen = (corners - matrix[:, 2]) @ inverse.T
    margin = 2 + 2 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))  # so that no edge of the part shows in the crop
    limits = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(seen.min(axis=0) - margin), 0, limits).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + margin), 0, limits).astype(int)
    if (high <= low).any():
        return np.zeros((size, size, 3), dtype=np.uint8)
    part = image[low[1] : high[1], low[0] : high[0]]
    extent = high - low
    reduced = np.maximum(1, np.round(extent * min(1.0, np.sqrt(abs(np.linalg.det(matrix[:, :2]))))).astype(int))
    if (reduced < extent).any():
        part = cv2.resize(part, (int(reduced[0]), int(reduced[1])), interpolation=cv2.INTER_AREA)
    linear = matrix[:, :2] * (extent / reduced)
    # OpenCV puts the origin at the first pixel's centre: shift both sides by half a pixel.
    shift = matrix[:, :2] @ low + matrix[:, 2] + linear @ np.array([0.5, 0.5]) - 0.5
    warp = np.column_stack([linear, shift])
    return np.asarray(cv2.warpAffine(part, warp, (size, size), flags=cv2.INTER_LINEAR))


def crop_matrix(box: np.ndarray, size: int, margin: float = 1.0) -> np.ndarray:
    """The (2, 3) matrix of a square crop around a box.

    Args:
        box: (4,) x0, y0, x1, y1 in pixels.
        size: side of the crop in pixels.
        margin: side of the square, as a multiple of the box's longer side.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    zoom = size / max(margin * max(x1 - x0, y1 - y0), 1e-6)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return np.column_stack([np.eye(2) * zoom, size / 2 - zoom * centre])


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file all at once: a reader sees the old file or the new one, never a part. Makes its folder.

    Raises:
        OutputError: it can't be written (unwritable folder, full disk ...); no partial file remains.
    """
    path = Path(path)
    name = _printable(path)
    if path.exists() and not path.is_file():  # renaming onto /dev/null would replace the device
        raise OutputError(f"can't write {name}: it exists and is not a regular file")
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_synced(temporary, data)
            os.replace(temporary, path)
        except BaseException:  # an interrupt too must leave nothing behind
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise OutputError(f"can't write {name}: {one_line(error)}") from error


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # some file systems report a full disk only here


def save_png(
    path: str | os.PathLike[str], image: np.ndarray | Image.Image, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a picture (uint8 (H, W, 3) or PIL) as PNG, atomically, its settings inside.

    Args:
        path: the file; its folder is made.
        image: the picture.
        metadata: keyword -> text, stored as one tEXt chunk each (iTXt where the text is not Latin-1).

    Raises:
        OutputError: the file can't be written; no partial file remains.
    """
    write_atomic(path, png_bytes(image, metadata))


def save_jpeg(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 as JPEG of quality 92, atomically: a fifth of a PNG's size, for documents.

    Raises:
        OutputError: the file can't be written; no partial file remains.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92, optimize=True)
    write_atomic(path, buffer.getvalue())


def png_bytes(image: np.ndarray | Image.Image, metadata: Mapping[str, str] | None = None) -> bytes:
    """A picture as :func:`save_png` writes it: equal pictures with equal settings give equal bytes."""
    from PIL import Image, PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    for key, text in (metadata or {}).items():
        chunks.add_text(key, text)
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(load_image(image))
    picture.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()
