"""What a call starts from: its size, the picture it is given, the people found there, and what of it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesnap.core.errors import FaceTooSmallError, NoFaceError, UsageError
from facesnap.core.images import load_image
from facesnap.core.pose import Pose
from facesnap.models.controls import finite
from facesnap.pipelines.call.conditions import as_control
from facesnap.pipelines.call.masks import NAMED_MASKS, cut, cut_to, drawn_mask, is_named, named_mask

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource
    from facesnap.landmarks.fit import FittedFace
    from facesnap.pipelines.analyser import Analyser
    from facesnap.pipelines.call.subjects import Subject

#: How much of an image is lost to noise where the call doesn't say, and there is no mask.
STRENGTH: Final = 0.8


@dataclass(frozen=True)
class Source:
    """The picture a call starts from.

    Attributes:
        image: (H, W, 3) uint8, already of the call's size.
        mask: (H, W) float32 in [0, 1], 1 where it is made anew; None is everywhere.
        strength: how much of it is lost to noise, from 0 to 1.
    """

    image: np.ndarray
    mask: np.ndarray | None
    strength: float

    def options(self, control: Any, pictures: int) -> dict[str, Any]:
        """Arguments of diffusers' call that text-to-image doesn't have.

        The image is given once per picture: its latents are drawn, and so each picture's depend on its own seed alone.
        """
        image = as_control(self.image).expand(pictures, -1, -1, -1)
        given = {"image": image, "strength": self.strength}
        if control is not None:
            given["control_image"] = control
        return given if self.mask is None else {**given, "mask_image": torch.from_numpy(self.mask)[None, None].round()}

    def keep_rest(self, images: Any) -> Any:
        """Pictures (PIL, arrays, or tensors (N, 3, H, W) in [0, 1]) with all that the mask leaves out put back as it
        was; latents as they are.
        """
        if self.mask is None:
            return images
        if isinstance(images, Tensor):
            return self._blend_tensor(images) if images.shape[1:] == (3, *self.mask.shape) else images
        kept = [self._blend(image) for image in images]
        return np.stack(kept) if isinstance(images, np.ndarray) else kept

    def _blend(self, image: Any) -> Any:
        as_array = isinstance(image, np.ndarray)
        new = image if as_array else np.asarray(image, dtype=np.float32) / 255
        share = np.asarray(self.mask)[..., None]
        mixed = new * share + self.image.astype(np.float32) / 255 * (1 - share)
        return mixed if as_array else Image.fromarray((mixed * 255).round().astype(np.uint8))

    def _blend_tensor(self, images: Tensor) -> Tensor:
        share = torch.from_numpy(np.asarray(self.mask)).to(images)
        return images * share + as_control(self.image).to(images) * (1 - share)


@dataclass(frozen=True)
class Opened:
    """The image of a call, and whom it shows.

    Attributes:
        picture: (H, W, 3) uint8, as it came.
        image: the same cut to the call's size.
        found: per person of the call the face that is theirs, None where there is none (or none that can be read): in
            their region the one nearest to its middle; the largest for one without a region.
    """

    picture: np.ndarray
    image: np.ndarray
    found: Sequence[FittedFace | None]

    @staticmethod
    def of(picture: np.ndarray, size: tuple[int, int], people: Sequence[Subject], analyser: Analyser) -> Opened:
        """Cut it to ``size`` (width, height), and look for the people."""
        return Opened(picture, cut_to(picture, size), [_face_of(analyser, picture, size, each) for each in people])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the call."""
        return self.image.shape[1], self.image.shape[0]

    def posed(self, people: Sequence[Subject]) -> list[Subject]:
        """The same people; who has no pose takes that of their face in the picture, in its place."""
        return [
            person
            if face is None or person.pose is not None
            else replace(person, pose=_in_box(face.driving(keep_framing=True), person.box(self.size), self.size))
            for person, face in zip(people, self.found, strict=True)
        ]

    def source(self, mask_image: ImageSource | None, strength: float | None, asked: Sequence[np.ndarray]) -> Source:
        """What the pipeline starts from.

        Args:
            mask_image: a picture, white where the image is made anew, or the name of a mask; None is all of it.
            strength: how much of it is lost to noise; None is :data:`STRENGTH`, with a mask 1.
            asked: landmarks (72, 2) of the faces asked for.

        Raises:
            UsageError: a mask of other proportions than the picture's. NoFaceError: a mask by name, and no face.
        """
        mask = self._mask(mask_image, asked)
        return Source(self.image, mask, strength_of(strength, mask is not None))

    def _mask(self, mask_image: ImageSource | None, asked: Sequence[np.ndarray]) -> np.ndarray | None:
        if mask_image is None:
            return None
        if not is_named(mask_image):
            return drawn_mask(mask_image, self.picture, self.size)
        seen = [face.landmarks2d for face in self.found if face is not None]
        if not seen:
            raise NoFaceError(f"no face found in the image of which mask_image={mask_image!r} speaks: give a picture")
        return named_mask(str(mask_image), asked, seen, self.size)


def check_source(image: Any, mask_image: Any, strength: float | None) -> None:
    """UsageError for a mask or strength without an image, a mask's name that isn't known, a strength out of (0, 1]."""
    for name, given in (("mask_image", mask_image), ("strength", strength)):
        if image is None and given is not None:
            raise UsageError(f"{name} says what becomes of an image: give image, too")
    if strength is not None and not 0.0 < finite("strength", strength) <= 1.0:
        raise UsageError(f"strength={strength} must be over 0 and at most 1")
    if isinstance(mask_image, str) and not is_named(mask_image) and "." not in mask_image:
        raise UsageError(f"mask_image={mask_image!r}: give a picture, or one of {', '.join(NAMED_MASKS)}")


def strength_of(strength: float | None, masked: bool) -> float:
    """The strength of a call: as given, or else :data:`STRENGTH`, with a mask 1."""
    return strength or (1.0 if masked else STRENGTH)


def source_image(image: ImageSource, size: tuple[int, int]) -> np.ndarray:
    """A picture cut (around its middle) and scaled to (width, height): (H, W, 3) uint8."""
    return cut_to(load_image(image), size)


def size_like(
    image: np.ndarray, own: tuple[int, int], factor: int, width: int | None = None, height: int | None = None
) -> tuple[int, int]:
    """(width, height) of a picture's proportions, in multiples of ``factor``: about the base's own area, or with one
    side given, as long as that says.
    """
    high, wide = image.shape[:2]
    scale = width / wide if width else height / high if height else float(np.sqrt(own[0] * own[1] / (wide * high)))
    like = [max(8, round(side * scale / factor)) * factor for side in (wide, high)]
    return width or like[0], height or like[1]


def _face_of(analyser: Analyser, picture: np.ndarray, size: tuple[int, int], person: Subject) -> FittedFace | None:
    """A person's face in a picture as it will be cut. It is read before, since a small base leaves few pixels of it."""
    scale, shift = cut(picture, size)
    left, top, right, bottom = person.box(size)
    middle = None if person.region is None else (np.array([left + right, top + bottom]) / 2 - shift) / scale
    try:
        fitted = analyser.read(picture, 0, middle).fitted.in_copy(scale, shift, size)
    except (NoFaceError, FaceTooSmallError):
        return None
    x, y = (fitted.box[:2] + fitted.box[2:]) / 2
    return fitted if left <= x < right and top <= y < bottom else None


def _in_box(pose: Pose, box: tuple[int, int, int, int], size: tuple[int, int]) -> Pose:
    """A pose framed in a picture of ``size``, framed in a box of it instead: the same place on the same pixels."""
    left, top, right, bottom = box
    if pose.camera is None or box == (0, 0, *size):
        return pose
    camera = pose.camera.absolute(size)
    moved = replace(camera, cx=camera.cx - left, cy=camera.cy - top)
    return pose.framed(moved.relative((right - left, bottom - top)))
