"""FaceSnap on Stable Diffusion 1.x and 2.x (and mini): diffusers' own ControlNet pipeline, plus the mixer."""

# No deferred annotations here: diffusers reads the types of a pipeline's components from this signature.
from typing import Any

from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from diffusers.schedulers import KarrasDiffusionSchedulers
from transformers import CLIPTextModel, CLIPTokenizer

from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.binding import FaceBinding


class FaceSnapPipeline(FaceBinding, StableDiffusionControlNetPipeline):  # type: ignore[misc]
    """StableDiffusionControlNetPipeline whose ``controlnet`` is an FFRNet; see :class:`FaceBinding` for the call."""

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        controlnet: ControlNetModel,
        scheduler: KarrasDiffusionSchedulers,
        mixer: FacialAttributeMixer,
        safety_checker: Any = None,
        feature_extractor: Any = None,
        image_encoder: Any = None,
        requires_safety_checker: bool = False,
    ) -> None:
        super().__init__(
            *(vae, text_encoder, tokenizer, unet, controlnet, scheduler),
            *(safety_checker, feature_extractor, image_encoder, requires_safety_checker),
        )
        self.register_modules(mixer=mixer)
