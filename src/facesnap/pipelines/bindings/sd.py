"""FaceSnap on Stable Diffusion 1.x and 2.x (and mini): diffusers' own ControlNet pipelines, plus the mixer."""

# No deferred annotations here: diffusers reads the types of a pipeline's components from this signature.
from typing import Any

from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from diffusers.schedulers import KarrasDiffusionSchedulers
from transformers import CLIPTextModel, CLIPTokenizer

from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.bindings.binding import FaceBinding


class _SDBinding(FaceBinding):
    """The components of all three roads."""

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        controlnet: ControlNetModel,
        scheduler: KarrasDiffusionSchedulers,
        mixer: FacialAttributeMixer = None,  # type: ignore[assignment]  # InstantID has none
        safety_checker: Any = None,
        feature_extractor: Any = None,
        image_encoder: Any = None,
        requires_safety_checker: bool = False,
    ) -> None:
        super().__init__(
            *(vae, text_encoder, tokenizer, unet, controlnet, scheduler),  # type: ignore[call-arg]
            *(safety_checker, feature_extractor, image_encoder, requires_safety_checker),
        )
        self.register_modules(mixer=mixer)  # type: ignore[attr-defined]


class FaceSnapPipeline(_SDBinding, StableDiffusionControlNetPipeline):  # type: ignore[misc]
    """StableDiffusionControlNetPipeline whose ``controlnet`` is an FFRNet; see :class:`FaceBinding` for the call."""


class FaceSnapImg2ImgPipeline(_SDBinding, StableDiffusionControlNetImg2ImgPipeline):  # type: ignore[misc]
    """The same from a picture: ``image`` is where it starts, ``control_image`` the landmark map."""


class FaceSnapInpaintPipeline(_SDBinding, StableDiffusionControlNetInpaintPipeline):  # type: ignore[misc]
    """The same in a picture: where ``mask_image`` is white, it is made anew."""
