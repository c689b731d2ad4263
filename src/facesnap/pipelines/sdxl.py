"""FaceSnap on Stable Diffusion XL: diffusers' own ControlNet pipeline, plus the mixer."""

# No deferred annotations here: diffusers reads the types of a pipeline's components from this signature.
from typing import Any

from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionXLControlNetPipeline,
    UNet2DConditionModel,
)
from diffusers.schedulers import KarrasDiffusionSchedulers
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.binding import FaceBinding


class FaceSnapXLPipeline(FaceBinding, StableDiffusionXLControlNetPipeline):  # type: ignore[misc]
    """StableDiffusionXLControlNetPipeline whose ``controlnet`` is an FFRNet; see :class:`FaceBinding` for the call."""

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        text_encoder_2: CLIPTextModelWithProjection,
        tokenizer: CLIPTokenizer,
        tokenizer_2: CLIPTokenizer,
        unet: UNet2DConditionModel,
        controlnet: ControlNetModel,
        scheduler: KarrasDiffusionSchedulers,
        mixer: FacialAttributeMixer,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
        feature_extractor: Any = None,
        image_encoder: Any = None,
    ) -> None:
        super().__init__(
            *(vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, controlnet, scheduler),
            *(force_zeros_for_empty_prompt, add_watermarker, feature_extractor, image_encoder),
        )
        self.register_modules(mixer=mixer)
