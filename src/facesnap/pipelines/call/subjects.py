"""Who is in a picture: one person, or several, each in a place of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource
    from facesnap.core.pose import Pose

#: The least width and height of a box, in pixels: a face in a smaller one would be a handful of latents.
SMALLEST_BOX = 32


@dataclass(frozen=True, eq=False)
class Subject:
    """One person of a picture.

    Attributes:
        identity: who.
        pose: as in :meth:`FaceSnap.__call__`; a pose's framing is relative to the region's box.
        region: where in the picture: a box (left, top, right, bottom) in pixels, or a mask (H, W) of the picture's
            size, in [0, 1] or bool; None is the whole picture.

    Example:
        >>> left, right = Subject(me, region=(0, 0, 256, 256)), Subject(you, region=(256, 0, 512, 256))
        >>> snap("two people in a park", [left, right], width=512, height=256)

    Raises:
        UsageError: a region that is neither.
    """

    identity: Identity
    pose: Pose | ImageSource | None = None
    region: tuple[int, int, int, int] | np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.region is None:
            return
        if isinstance(self.region, np.ndarray) and self.region.ndim == 2:
            mask = self.region.astype(np.float32)
            if not (mask.min() >= 0 and mask.max() <= 1):
                raise UsageError("a region's mask must be from 0 to 1")
            if not mask.any():
                raise UsageError("a region's mask is empty")
            object.__setattr__(self, "region", mask)
            return
        try:
            left, top, right, bottom = (round(float(side)) for side in self.region)
        except (TypeError, ValueError):
            raise UsageError("a region is a box (left, top, right, bottom) in pixels, or a mask (H, W)") from None
        if right - left < SMALLEST_BOX or bottom - top < SMALLEST_BOX:
            raise UsageError(f"the region {left, top, right, bottom} is under {SMALLEST_BOX} pixels wide or high")
        object.__setattr__(self, "region", (left, top, right, bottom))

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in a picture of ``size`` (width, height); a mask's is the least that holds it.

        Raises:
            UsageError: the box doesn't lie in the picture, or the mask has another size.
        """
        if self.region is None:
            return 0, 0, *size
        if isinstance(self.region, np.ndarray):
            if self.region.shape != size[::-1]:
                raise UsageError(f"a region's mask must be of the picture's size {size}, not {self.region.shape[::-1]}")
            rows, columns = (np.flatnonzero((self.region > 0.5).any(axis=axis)) for axis in (1, 0))
            if not len(rows):
                raise UsageError("a region's mask is nowhere over 0.5")
            return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        left, top, right, bottom = self.region
        if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
            raise UsageError(f"the region {self.region} does not lie in a picture of {size[0]} x {size[1]} pixels")
        return self.region

    def region_mask(self, size: tuple[int, int]) -> np.ndarray | None:
        """The region as (H, W) float32 in [0, 1]; None for the whole picture."""
        if self.region is None or isinstance(self.region, np.ndarray):
            return self.region
        left, top, right, bottom = self.box(size)
        mask = np.zeros(size[::-1], dtype=np.float32)
        mask[top:bottom, left:right] = 1.0
        return mask


def everyone(who: Identity | Subject | Sequence[Subject], pose: Any = None) -> list[Subject]:
    """All that a call's ``identity`` may be, as subjects.

    Raises:
        UsageError: nobody, something else than that, a ``pose`` beside subjects (they have their own), or several of
            whom one has no region.
    """
    if isinstance(who, Identity):
        return [Subject(who, pose)]
    people = [who] if isinstance(who, Subject) else list(who) if isinstance(who, list | tuple) else []
    if not people or not all(isinstance(person, Subject) for person in people):
        raise UsageError("give an identity, or for several people a list of Subject(identity, pose, region)")
    if pose is not None:
        raise UsageError("subjects have poses of their own: leave out pose")
    if len(people) > 1 and any(person.region is None for person in people):
        raise UsageError("where several people are in a picture, each needs a region")
    return people
