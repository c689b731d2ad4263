"""The picture styles of the portrait world, as image filters: what "a pencil sketch of ..." looks like.

Nothing moves: a filter may simplify, outline, roughen and fade, but the landmarks' labels stay right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.world.styles.drawn import comic, pencil
from facesnap.world.styles.film import black_and_white, neon, old_photograph
from facesnap.world.styles.painted import oil, watercolour
from facesnap.world.styles.tools import Picture

SMALLEST, LARGEST = 64, 1024
_FILTERS: dict[str, Callable[[Picture], np.ndarray]] = {
    "photo": lambda picture: picture.image.copy(),
    "pencil": pencil,
    "watercolour": watercolour,
    "oil": oil,
    "comic": comic,
    "black and white": black_and_white,
    "old photograph": old_photograph,
    "neon": neon,
}
#: What :func:`apply_style` takes.
STYLES: tuple[str, ...] = tuple(_FILTERS)


def apply_style(image: np.ndarray, segmentation: np.ndarray, style: str, seed: int) -> np.ndarray:
    """Draw a picture anew in a style.

    Args:
        image: (S, S, 3) uint8 RGB, S from 64 to 1024; looks are tuned at 256 and scale with S.
        segmentation: (S, S) uint8, numbers of :data:`facesnap.world.classes.CLASSES`.
        style: one of :data:`STYLES`.
        seed: >= 0; chooses paper, stroke directions, amounts, palette, grain. Same arguments, same picture.

    Returns:
        (S, S, 3) uint8 RGB.

    Raises:
        UsageError: unknown style, or arrays of another kind.
    """
    if style not in _FILTERS:
        raise UsageError(f"Unknown picture style {style!r}; choose one of: {', '.join(STYLES)}.")
    side = image.shape[0]
    if image.shape != (side, side, 3) or image.dtype != np.uint8 or not SMALLEST <= side <= LARGEST:
        raise UsageError(
            f"Styles take square RGB pictures (S, S, 3) uint8 with S from {SMALLEST} to {LARGEST}, "
            f"not {image.shape} {image.dtype}."
        )
    if segmentation.shape != (side, side) or segmentation.dtype != np.uint8:
        raise UsageError(
            f"The segmentation must be ({side}, {side}) uint8, not {segmentation.shape} {segmentation.dtype}."
        )
    rng = np.random.default_rng([seed, STYLES.index(style)])
    return _FILTERS[style](Picture(image, segmentation, rng))
