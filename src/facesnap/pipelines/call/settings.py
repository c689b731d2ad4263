"""All that determines the pictures of a call, as plain values: what is told beside them and written into them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from facesnap.core.images import load_image
from facesnap.models.savings import Savings
from facesnap.pipelines.adapters import guidance_of
from facesnap.pipelines.call.masks import is_named
from facesnap.pipelines.passes.small_faces import SmallFaces

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource
    from facesnap.core.pose import Pose
    from facesnap.pipelines.call.sampling import Job
    from facesnap.pipelines.call.subjects import Subject

#: Options that don't change the pictures.
_NOT_TOLD: Final = frozenset({"callback_on_step_end", "callback_on_step_end_tensor_inputs", "output_type"})


def settings_of(
    pipeline: Any,
    job: Job,
    *,
    prompts: Sequence[str],
    negative: str | Sequence[str] | None,
    people: Sequence[Subject],
    poses: Sequence[Pose | None],
    carry: Collection[str],
    image: ImageSource | None = None,
    mask_image: ImageSource | None = None,
    small_faces: SmallFaces | None = None,
) -> dict[str, Any]:
    """Settings of a job as a :class:`~facesnap.pipelines.call.result.Result` tells them.

    Args:
        pipeline: the user's.
        job: what is sampled.
        prompts: as the call had them.
        negative: the same.
        people: everyone in the picture.
        poses: theirs; None where the adapter follows none.
        carry: what of the reference may be said.
        image: the picture that it starts from.
        mask_image: what of it is made anew.
        small_faces: settings of the second pass, if there is one.
    """
    width, height = job.size
    texts, noise = job.texts, job.noise
    options = {name: value for name, value in job.options.items() if name not in _NOT_TOLD}
    told: dict[str, Any] = {
        **_plain(options),
        **asdict(job.controls),
        "savings": None if job.savings == Savings() else asdict(job.savings),
        "identity_guidance": guidance_of(job.adapter, job.controls),
        **_plain(dict(texts.embeddings)),
        "prompt": _one_or_all(prompts),
        "full_prompt": _one_or_all(texts.prompts),
        "negative_prompt": negative if isinstance(negative, str) else list(negative or ()) or "",
        "long_prompts": texts.long_prompts,
        "carry": sorted(carry),
        "seeds": list(noise.seeds),
        "width": width,
        "height": height,
        "strength": None if job.source is None else job.source.strength,
        "pose": _one_or_all([None if pose is None else pose.to_json() for pose in poses]),
        "regions": [_plain_value(person.region) for person in people],
        "small_faces": None if small_faces is None else asdict(small_faces),
        "control_scales": job.scales,
        "controlnets": _names_of_others(pipeline),
        "loras": loras(pipeline),
        "scheduler": type(pipeline.scheduler).__name__,
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "image": None if image is None else digest(load_image(image)),
        "mask": mask_image if is_named(mask_image) or mask_image is None else digest(load_image(mask_image)),
        "control_images": [digest(load_image(each)) for each in job.control_images],
    }
    return told if noise.generator is None else {**told, "generator": "the caller's own"}


def digest(values: np.ndarray | torch.Tensor) -> str:
    """First 12 hex digits of the SHA-256 of pixels or numbers, their shape and kind included."""
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float32).numpy()
    total = hashlib.sha256(f"{values.shape} {values.dtype}".encode())
    total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()[:12]


def loras(pipeline: Any) -> dict[str, float]:
    """Weights of the LoRAs that act in a pipeline's UNet, by name."""
    if not getattr(pipeline.unet, "peft_config", None):
        return {}
    return {name: _weight(pipeline.unet, name) for name in pipeline.get_active_adapters()}


def _weight(unet: torch.nn.Module, name: str) -> float:
    """A LoRA's weight as ``set_adapters`` set it: its first layer's scaling, without what comes from its rank."""
    for layer in unet.modules():
        scaling = getattr(layer, "scaling", None)
        if isinstance(scaling, dict) and name in scaling:
            own: Any = layer
            return round(float(scaling[name] * own.r[name] / own.lora_alpha[name]), 6)
    return 1.0


def _names_of_others(pipeline: Any) -> list[str]:
    """ControlNets beside FFRNet; of one from a folder its name alone, since paths are nobody's business."""
    names = [
        str(getattr(net, "name_or_path", "") or net.config.get("_name_or_path", ""))
        for net in getattr(pipeline, "nets", [])
        if net is not pipeline.ffrnet
    ]
    return [Path(name).name if Path(name).exists() else name for name in names]


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are plain values, or tensors (as their hashes)."""
    told = {name: _plain_value(value) for name, value in options.items()}
    return {name: value for name, value in told.items() if value is not None or options[name] is None}


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, np.ndarray | torch.Tensor):
        return digest(value)
    if isinstance(value, Mapping):
        return _plain(value)
    return [_plain_value(each) for each in value] if isinstance(value, list | tuple) else None


def _one_or_all(values: Sequence[Any]) -> Any:
    """The only one, or all of them; None where there is none."""
    return list(values) if len(values) > 1 else next(iter(values), None)
