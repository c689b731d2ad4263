"""The three roads to a picture: from text alone, from another picture, or into a part of one."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image

from facesnap.core.errors import UsageError
from facesnap.core.images import load_image
from facesnap.landmarks.layout import GROUPS
from facesnap.pipelines.binding import FaceBinding
from facesnap.pipelines.conditions import as_control
from facesnap.pipelines.sd import FaceSnapImg2ImgPipeline, FaceSnapInpaintPipeline, FaceSnapPipeline
from facesnap.pipelines.sdxl import FaceSnapXLImg2ImgPipeline, FaceSnapXLInpaintPipeline, FaceSnapXLPipeline

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: Text-to-image, img2img and inpaint of each kind of base.
ROADS: Final[tuple[tuple[type[FaceBinding], ...], ...]] = (
    (FaceSnapPipeline, FaceSnapImg2ImgPipeline, FaceSnapInpaintPipeline),
    (FaceSnapXLPipeline, FaceSnapXLImg2ImgPipeline, FaceSnapXLInpaintPipeline),
)

#: The same for adapters that have no ControlNet.
PLAIN_ROADS: Final[tuple[tuple[type, ...], ...]] = (
    (StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline),
    (StableDiffusionXLPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline),
)

#: What a mask may be called instead of being drawn.
NAMED_MASKS: Final = ("face", "background")

#: How far a face's mask reaches beyond its landmarks, as a share of the face's height; and upwards, over the forehead.
MARGIN: Final = 0.08
FOREHEAD: Final = 0.35

#: Where the mask's edge fades, as a share of the face's height.
FEATHER: Final = 0.06


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
        """Pictures with all that the mask leaves out put back as it was; latents and tensors as they are."""
        if self.mask is None or not isinstance(images, list | np.ndarray):
            return images
        kept = [self._blend(image) for image in images]
        return np.stack(kept) if isinstance(images, np.ndarray) else kept

    def _blend(self, image: Any) -> Any:
        as_array = isinstance(image, np.ndarray)
        new = image if as_array else np.asarray(image, dtype=np.float32) / 255
        share = np.asarray(self.mask)[..., None]
        mixed = new * share + self.image.astype(np.float32) / 255 * (1 - share)
        return mixed if as_array else Image.fromarray((mixed * 255).round().astype(np.uint8))


def take_road(pipeline: Any, source: Source | None) -> Any:
    """The pipeline for a call: the same components (base, adapter, LoRAs, scheduler ...) on the road it needs."""
    wanted = 0 if source is None else 1 if source.mask is None else 2
    for family in (*ROADS, *PLAIN_ROADS):
        if type(pipeline) in family:
            return pipeline if type(pipeline) is family[wanted] else _rebuilt(pipeline, family[wanted])
    raise UsageError(f"{type(pipeline).__name__} is not a pipeline of FaceSnap's")


def source_image(image: ImageSource, size: tuple[int, int]) -> np.ndarray:
    """A picture cut (around its middle) and scaled to (width, height): (H, W, 3) uint8."""
    picture = load_image(image)
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    wide, high = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, (wide, high), interpolation=method)
    left, top = (wide - size[0]) // 2, (high - size[1]) // 2
    return np.ascontiguousarray(scaled[top : top + size[1], left : left + size[0]])


def check_source(image: Any, mask_image: Any, strength: float | None) -> None:
    """UsageError for a mask or strength without an image, a mask's name that isn't known, a strength out of (0, 1]."""
    for name, given in (("mask_image", mask_image), ("strength", strength)):
        if image is None and given is not None:
            raise UsageError(f"{name} says what becomes of an image: give image, too")
    if strength is not None and not 0.0 < strength <= 1.0:
        raise UsageError(f"strength={strength} must be over 0 and at most 1")
    if isinstance(mask_image, str) and mask_image not in NAMED_MASKS and "." not in mask_image:
        raise UsageError(f"mask_image={mask_image!r}: give a picture, or one of {', '.join(NAMED_MASKS)}")


def take_mask(mask_image: ImageSource | None, faces: list[np.ndarray], size: tuple[int, int]) -> np.ndarray | None:
    """The mask of a call, (H, W) float32 in [0, 1], 1 where it is made anew; None without one.

    Args:
        mask_image: a picture, white there, cut and scaled as the image is; or the name of one.
        faces: landmarks (72, 2) of all faces that a named mask speaks of: those asked for, and those in the image.
        size: (width, height).
    """
    if mask_image is None:
        return None
    if isinstance(mask_image, str) and mask_image in NAMED_MASKS:
        mask = face_mask(faces, size)
        return mask if mask_image == "face" else np.asarray(1.0 - mask)
    return np.asarray(source_image(mask_image, size).astype(np.float32).mean(axis=-1) / 255)


def face_mask(faces: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Where faces are: their landmarks (72, 2) with forehead and margin, softly edged; (H, W) float32 in [0, 1]."""
    canvas = np.zeros((size[1], size[0]), dtype=np.uint8)
    height = 1.0
    for points in faces:
        height = float(np.ptp(points[:, 1]))
        brows = np.concatenate([points[GROUPS[name]] for name in ("brow_l", "brow_r")])
        outline = np.concatenate([points, brows - [0.0, FOREHEAD * height]])
        middle = outline.mean(axis=0)
        wider = middle + (outline - middle) * (1 + 2 * MARGIN)
        cv2.fillConvexPoly(canvas, cv2.convexHull(wider.round().astype(np.int32)), 255)
    return cv2.GaussianBlur(canvas, (0, 0), max(1.0, FEATHER * height)).astype(np.float32) / 255


def size_like(image: np.ndarray, own: tuple[int, int], factor: int) -> tuple[int, int]:
    """(width, height) of a picture's proportions and about the base's own area, in multiples of ``factor``."""
    height, width = image.shape[:2]
    scale = float(np.sqrt(own[0] * own[1] / (width * height)))
    sides = (max(8, round(side * scale / factor)) * factor for side in (width, height))
    return next(sides), next(sides)


#: Settings of a pipeline's constructor that are no components.
_FLAGS: Final = ("requires_safety_checker", "force_zeros_for_empty_prompt", "requires_aesthetics_score")


def _rebuilt(pipeline: Any, road: Any) -> Any:
    flags = {name: pipeline.config[name] for name in _FLAGS if name in pipeline.config}
    if hasattr(pipeline, "watermark"):
        flags["add_watermarker"] = pipeline.watermark is not None
    taken = inspect.signature(road.__init__).parameters
    components = {name: part for name, part in pipeline.components.items() if name in taken}
    made = road(**components, **{name: flag for name, flag in flags.items() if name in taken})
    made.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return made
