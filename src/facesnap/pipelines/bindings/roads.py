"""Three roads to a picture: from text alone, from another picture, or into a part of one.

Every call runs on a pipeline built for it around the same components, so that nothing of a call stays behind on the
user's own, and two calls can run side by side.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)

from facesnap.core.errors import UsageError
from facesnap.models.checkpoint import is_sdxl
from facesnap.pipelines.bindings.binding import FaceBinding
from facesnap.pipelines.bindings.sd import FaceSnapImg2ImgPipeline, FaceSnapInpaintPipeline, FaceSnapPipeline
from facesnap.pipelines.bindings.sdxl import FaceSnapXLImg2ImgPipeline, FaceSnapXLInpaintPipeline, FaceSnapXLPipeline

if TYPE_CHECKING:
    from facesnap.pipelines.call.start import Source

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

#: Settings of a pipeline's constructor that are no components.
_FLAGS: Final = ("requires_safety_checker", "requires_aesthetics_score", "force_zeros_for_empty_prompt")


def text_class(family: str, controlled: bool = True) -> Any:
    """The class of text-to-image pipelines of a family of bases, for an adapter with a ControlNet or without."""
    return (ROADS if controlled else PLAIN_ROADS)[is_sdxl(family)][0]


def road_class(pipeline: Any, source: Source | None) -> Any:
    """The class of the pipeline that a call takes.

    Args:
        pipeline: one of FaceSnap's, on any road.
        source: the picture that the call starts from, if any.

    Raises:
        UsageError: not a pipeline of FaceSnap's.
    """
    wanted = 0 if source is None else 1 if source.mask is None else 2
    for family in (*ROADS, *PLAIN_ROADS):
        if type(pipeline) in family:
            return family[wanted]
    raise UsageError(f"{type(pipeline).__name__} is not a pipeline of FaceSnap's")


def rebuilt(pipeline: Any, road: Any, **changes: Any) -> Any:
    """A pipeline of another class around the components (base, adapter, LoRAs, scheduler ...) of a given one.

    Args:
        pipeline: stays as it is.
        road: the class; what it doesn't take is left out.
        changes: components or flags in the place of the pipeline's, or beside them.
    """
    flags = {name: pipeline.config[name] for name in _FLAGS if name in pipeline.config}
    if hasattr(pipeline, "watermark"):
        flags["add_watermarker"] = pipeline.watermark is not None
    taken = inspect.signature(road.__init__).parameters
    parts = {**pipeline.components, **flags, **changes}
    made = road(**{name: part for name, part in parts.items() if name in taken})
    made.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return made
