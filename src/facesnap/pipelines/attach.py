"""Put an adapter onto a diffusers pipeline that is already there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

from facesnap.core.errors import AdapterError, one_line
from facesnap.models.checkpoint import Adapter, family_of, is_sdxl, local_only
from facesnap.pipelines.quiet import quiet
from facesnap.pipelines.sd import FaceSnapPipeline
from facesnap.pipelines.sdxl import FaceSnapXLPipeline


def attach(pipeline: Any, adapter: Adapter) -> FaceSnapPipeline | FaceSnapXLPipeline:
    """FaceSnap's pipeline around a stock one's components; the stock one stays as it is and goes on working.

    Args:
        pipeline: of Stable Diffusion or SDXL, of any road; its ControlNets, if it has any, stay beside FFRNet.
        adapter: moved to the pipeline's device.

    Raises:
        AdapterError: not such a pipeline, or one of another family than the adapter's (both named).
    """
    parts = dict(getattr(pipeline, "components", {}))
    if not {"vae", "unet", "text_encoder", "tokenizer", "scheduler"} <= set(parts):
        raise AdapterError(f"{type(pipeline).__name__} is not a Stable Diffusion pipeline")
    family = family_of(parts["unet"].config)
    adapter.config.check_base(family, type(pipeline).__name__)
    for network in (adapter.ffrnet, adapter.mixer):
        network.to(device=parts["unet"].device, dtype=parts["unet"].dtype)
    others = parts.pop("controlnet", None)
    parts |= {"controlnet": beside(adapter.ffrnet, getattr(others, "nets", [others] if others else []))}
    flags = {name: pipeline.config[name] for name in ("force_zeros_for_empty_prompt",) if name in pipeline.config}
    if is_sdxl(family):
        flags["add_watermarker"] = getattr(pipeline, "watermark", None) is not None
    made = (FaceSnapXLPipeline if is_sdxl(family) else FaceSnapPipeline)(**parts, **flags, mixer=adapter.mixer)
    made.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return made


def beside(ffrnet: Any, others: Sequence[Any]) -> Any:
    """FFRNet alone, or with other ControlNets behind it."""
    return MultiControlNetModel([ffrnet, *others]) if others else ffrnet


def load_controlnets(names: Sequence[str | Path], dtype: torch.dtype) -> list[ControlNetModel]:
    """Other ControlNets: folders or hub ids.

    Raises:
        AdapterError: one of them can't be loaded.
    """
    made = []
    for name in names:
        local = local_only(dtype) if Path(name).is_dir() else {"dtype": dtype}
        try:
            with quiet():
                made.append(ControlNetModel.from_pretrained(str(name), **local))
        except Exception as error:  # the hub's client, diffusers and safetensors share no base class
            raise AdapterError(f"the ControlNet {name} can't be loaded: {one_line(error)}") from error
    return made
