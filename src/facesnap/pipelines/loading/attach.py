"""Put an adapter onto a diffusers pipeline that is already there."""

from __future__ import annotations

import inspect
from typing import Any, Final

from diffusers import (
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetInpaintPipeline,
    StableDiffusionXLControlNetPipeline,
)

from facesnap.core.errors import AdapterError, UsageError
from facesnap.core.quiet import quiet
from facesnap.models.checkpoint import Adapter, family_of
from facesnap.models.published import InstantID, PublishedAdapter
from facesnap.pipelines.bindings.binding import FaceBinding
from facesnap.pipelines.bindings.roads import PLAIN_ROADS, rebuilt, text_class
from facesnap.pipelines.bindings.sd import FaceSnapPipeline
from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.loading.bases.find import check_unet
from facesnap.pipelines.loading.controlnets import beside
from facesnap.pipelines.loading.offload import is_offloaded

#: Pipelines whose components, on their own, are all that there is to them. Others (PAG, AnimateDiff, LEdits ...) would
#: lose what makes them special.
STOCK: Final[frozenset[type]] = frozenset(
    {
        *(road for family in PLAIN_ROADS for road in family),
        *(StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline),
        *(StableDiffusionControlNetImg2ImgPipeline, StableDiffusionXLControlNetImg2ImgPipeline),
        *(StableDiffusionControlNetInpaintPipeline, StableDiffusionXLControlNetInpaintPipeline),
    }
)


def check_pipeline(pipeline: Any) -> str:
    """The family of a pipeline that an adapter can be attached to; to be asked before the adapter is loaded.

    Raises:
        AdapterError: not a stock pipeline of Stable Diffusion, one that has an adapter of FaceSnap's already, or one
            whose UNet takes more than text.
        UsageError: its weights are offloaded.
    """
    name = type(pipeline).__name__
    if isinstance(pipeline, FaceBinding):
        raise AdapterError(f"this {name} has an adapter already: give the pipeline that it was made from")
    if type(pipeline) not in STOCK:
        raise AdapterError(
            f"{name} is not a Stable Diffusion pipeline of the usual kinds (text, img2img, inpaint, with ControlNets or"
            " without), and what is special to it would be lost: load its base by from_pretrained"
        )
    unet = pipeline.unet
    if unet is None:
        raise AdapterError(f"this {name} has no UNet: give a whole pipeline")
    check_unet(unet.config, f"this {name}")
    if is_offloaded(unet):
        raise UsageError(
            f"the weights of this {name} are offloaded (or spread over devices), where new networks can't follow:"
            " attach the adapter first, then offload snap.pipeline"
        )
    return family_of(unet.config)


def attach(pipeline: Any, adapter: Adapter) -> FaceSnapPipeline | FaceSnapXLPipeline:
    """FaceSnap's pipeline around a stock one's components; the stock one stays as it is and goes on working.

    Args:
        pipeline: of Stable Diffusion or SDXL, of any road; its ControlNets, if it has any, stay beside FFRNet.
        adapter: moved to the pipeline's device.

    Raises:
        AdapterError, UsageError: see :func:`check_pipeline`; or it is of another family than the adapter's (both
            named).
    """
    family = check_pipeline(pipeline)
    adapter.config.check_base(family, type(pipeline).__name__)
    made: FaceSnapPipeline | FaceSnapXLPipeline = _around(pipeline, family, adapter.ffrnet, adapter.mixer)
    return made


def attach_published(pipeline: Any, adapter: PublishedAdapter) -> Any:
    """A pipeline of the same components for a published adapter: FaceSnap's for InstantID, the stock one for text for
    adapters without a ControlNet.

    Unlike :func:`attach` it changes the UNet, which the two pipelines share: until ``adapter.detach(pipeline)`` the
    given one asks for ``ip_adapter_image_embeds``, too.

    Raises:
        AdapterError, UsageError: see :func:`attach`; or the pipeline has ControlNets, or an IP-Adapter, beside which
            this adapter doesn't work.
        MissingExtraError: FaceID's LoRA needs peft.
    """
    family = check_pipeline(pipeline)
    name = type(pipeline).__name__
    adapter.check_family(family, name)
    if isinstance(adapter, InstantID):
        adapter.layout.check_unet(pipeline.unet)  # before IdentityNet's gigabytes are read
        made = _around(pipeline, family, adapter.identity_net(pipeline.unet.dtype), None)
    elif getattr(pipeline, "controlnet", None) is not None:
        raise UsageError(f"{adapter.kind} works without ControlNets: attach it to a pipeline that has none")
    else:
        made = rebuilt(pipeline, text_class(family, controlled=False))
    with quiet():
        adapter.attach(made)
    return made


def _around(pipeline: Any, family: str, ffrnet: Any, mixer: Any) -> Any:
    kind = text_class(family)
    known = set(inspect.signature(kind.__init__).parameters)
    if foreign := sorted(set(pipeline.components) - known):
        raise AdapterError(f"this {type(pipeline).__name__} has a {foreign[0]}, which FaceSnap knows nothing of")
    for network in (ffrnet, mixer):
        if network is not None:
            network.to(device=pipeline.unet.device, dtype=pipeline.unet.dtype)
    others = pipeline.components.get("controlnet")
    nets = getattr(others, "nets", [others] if others is not None else [])
    return rebuilt(pipeline, kind, controlnet=beside(ffrnet, nets), mixer=mixer)
