"""Does a picture carry a watermark? A simple heuristic for the two usual kinds, measured on renders in docs/DATA.md.

*Tiled*: one mark again and again over the whole picture. Fine detail of a photograph hardly repeats itself at a
distance, so the autocorrelation of what a high-pass leaves has a sharp peak only if something does.

*Written*: a line of text. Text is many strokes, an edge up and an edge down in quick alternation, along a band of rows
that has none above or below it.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

#: Longer side of the picture that is looked at.
TILED_SIDE, WRITTEN_SIDE = 256, 400
#: What counts as 1: the highest seen on unmarked renders, about.
TILED_UNIT: Final = 0.22
WRITTEN_UNIT: Final = 0.17
#: Pixels: shortest distance of a repetition, and what is no longer a sharp peak.
NEAREST, PEAK = 20, 15
#: A stroke's edge in grey levels, the most pixels between two edges of it, a line of text's width and height, and how
#: far above and below it there must be none.
EDGE, STROKE, LINE, CLEAR = 10, 6, (160, 9), 18


def watermark(image: np.ndarray) -> float:
    """How much a picture (H, W, 3) uint8 looks watermarked; above 1 it probably is."""
    return max(tiled(image) / TILED_UNIT, written(image) / WRITTEN_UNIT)


def tiled(image: np.ndarray) -> float:
    """The sharpest peak of the autocorrelation of fine detail, as a share of its variance."""
    grey = _grey(image, TILED_SIDE)
    detail = np.clip(grey - cv2.GaussianBlur(grey, (0, 0), 3), -12, 12)  # so that strong edges don't outvote the rest
    window = np.outer(np.hanning(detail.shape[0]), np.hanning(detail.shape[1]))
    correlation = _autocorrelation((detail - detail.mean()) * window)
    overlap = _autocorrelation(window)
    if correlation[0, 0] <= 1e-6 * overlap[0, 0]:
        return 0.0  # a flat picture
    seen = overlap > 0.05 * overlap[0, 0]
    share = correlation / np.where(seen, overlap, np.inf) * (overlap[0, 0] / correlation[0, 0])
    peaks = share - cv2.blur(share, (PEAK, PEAK))
    y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in share.shape)
    return float(peaks[seen & (np.hypot(y[:, None], x[None]) > NEAREST)].max(initial=0))


def _autocorrelation(values: np.ndarray) -> np.ndarray:
    size = [2 * side for side in values.shape]  # padded, so that no edge meets the opposite one
    return np.asarray(np.fft.irfft2(np.abs(np.fft.rfft2(values, size)) ** 2, size))


def written(image: np.ndarray) -> float:
    """The most strokes per pixel in a band of rows beyond those above and below it."""
    grey = _grey(image, WRITTEN_SIDE)
    if min(grey.shape) < 2 * CLEAR or grey.shape[1] <= LINE[0]:
        return 0.0
    slope = grey[:, 2:] - grey[:, :-2]
    signs = np.where(slope > EDGE, 1, np.where(slope < -EDGE, -1, 0)).astype(np.int8)
    density = cv2.blur(_strokes(signs), LINE, borderType=cv2.BORDER_CONSTANT)
    around = np.zeros_like(density)
    around[CLEAR:] = density[:-CLEAR]
    around[:-CLEAR] = np.maximum(around[:-CLEAR], density[CLEAR:])
    half = LINE[0] // 2
    return float((density - around)[:, half:-half].max(initial=0))


def _strokes(signs: np.ndarray) -> np.ndarray:
    """(H, W) float32: 1 where an edge follows one of the other sign, at most :data:`STROKE` pixels on."""
    found = np.zeros(signs.shape, np.float32)
    last = np.zeros(len(signs), np.int8)
    age = np.full(len(signs), STROKE + 1)
    for x in range(signs.shape[1]):
        sign = signs[:, x]
        edge = sign != 0
        found[:, x] = edge & (sign == -last) & (age <= STROKE)
        age = np.where(edge, 0, age + 1)
        last = np.where(edge, sign, last)
    return found


def _grey(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.cvtColor(cv2.resize(image, size, interpolation=smooth), cv2.COLOR_RGB2GRAY), np.float32)
