"""FaceSnap on Stable Diffusion XL: diffusers' own ControlNet pipelines, plus the mixer."""

# No deferred annotations here: diffusers reads the types of a pipeline's components from this signature.
from typing import Any

from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetInpaintPipeline,
    StableDiffusionXLControlNetPipeline,
    UNet2DConditionModel,
)
from diffusers.schedulers import KarrasDiffusionSchedulers
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.bindings.binding import FaceBinding


class _SDXLBinding(FaceBinding):
    """The components of all three roads."""

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
        mixer: FacialAttributeMixer = None,  # type: ignore[assignment]  # InstantID has none
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
        feature_extractor: Any = None,
        image_encoder: Any = None,
        requires_aesthetics_score: bool = False,
    ) -> None:
        # By name: the stock constructors don't agree on an order.
        given: dict[str, Any] = {"vae": vae, "text_encoder": text_encoder, "text_encoder_2": text_encoder_2}
        given |= {"tokenizer": tokenizer, "tokenizer_2": tokenizer_2, "unet": unet, "controlnet": controlnet}
        given |= {"scheduler": scheduler, "feature_extractor": feature_extractor, "image_encoder": image_encoder}
        given |= {"force_zeros_for_empty_prompt": force_zeros_for_empty_prompt, "add_watermarker": add_watermarker}
        if not isinstance(self, StableDiffusionXLControlNetPipeline):
            given |= {"requires_aesthetics_score": requires_aesthetics_score}
        super().__init__(**given)
        self.register_modules(mixer=mixer)  # type: ignore[attr-defined]


class FaceSnapXLPipeline(_SDXLBinding, StableDiffusionXLControlNetPipeline):  # type: ignore[misc]
    """StableDiffusionXLControlNetPipeline whose ``controlnet`` is an FFRNet; see :class:`FaceBinding` for the call."""


class FaceSnapXLImg2ImgPipeline(_SDXLBinding, StableDiffusionXLControlNetImg2ImgPipeline):  # type: ignore[misc]
    """The same from a picture: ``image`` is where it starts, ``control_image`` the landmark map."""


class FaceSnapXLInpaintPipeline(_SDXLBinding, StableDiffusionXLControlNetInpaintPipeline):  # type: ignore[misc]
    """The same in a picture: where ``mask_image`` is white, it is made anew."""
