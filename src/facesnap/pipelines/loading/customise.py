"""What users of Stable Diffusion set on a pipeline, by name: its scheduler, and LoRAs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import diffusers
from diffusers.schedulers import KarrasDiffusionSchedulers

from facesnap.core.errors import AdapterError, UsageError, one_line
from facesnap.core.lazy import require
from facesnap.core.quiet import quiet
from facesnap.models.published.adapter import LORA_NAME

#: The usual ones, by their names in diffusers.
SCHEDULERS: Final = (
    *("DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler"),
    *("DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"),
    *("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler"),
    "UniPCMultistepScheduler",
)

_KNOWN: Final = {*SCHEDULERS, *(each.name for each in KarrasDiffusionSchedulers), "TCDScheduler"}


def find_scheduler(name: str) -> Any:
    """Diffusers' scheduler class of a name. UsageError for one that Stable Diffusion doesn't work with."""
    if name not in _KNOWN:
        raise UsageError(f"unknown scheduler {name}: use one of {', '.join(SCHEDULERS)}")
    return getattr(diffusers, name)


def set_scheduler(pipeline: Any, kind: Any) -> None:
    """Give a pipeline another scheduler, with what the base's own says of its training (noise, prediction).

    Raises:
        MissingExtraError, AdapterError: it needs a library that isn't installed, or can't be made of such a config.
    """
    try:
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    except Exception as error:  # missing libraries and bad configs share no base class
        raise AdapterError(f"{kind.__name__} doesn't work with this base: {one_line(error)}") from error


def check_loras(files: Sequence[Path]) -> None:
    """Make sure, before anything is loaded, that LoRAs are there and can be read.

    Raises:
        AdapterError: no such file, or a pickle.
        MissingExtraError: LoRAs need peft.
    """
    for file in files:
        if not file.is_file():
            raise AdapterError(f"no LoRA at {file}: give a .safetensors file")
        if file.suffix != ".safetensors":
            raise AdapterError(f"the LoRA {file} is not a .safetensors file: other formats can hold code")
    if files:
        require("peft", "lora")


def add_loras(pipeline: Any, loras: Sequence[tuple[Path, float]]) -> None:
    """Put LoRAs onto the base, each with a weight, beside FaceID's if that is there.

    Raises:
        AdapterError: one of them is damaged, or of another family of bases.
    """
    before = [name for name in (LORA_NAME,) if name in _loaded(pipeline)]
    names = {f"lora_{number}": file for number, (file, _) in enumerate(loras, 1)}
    for name, file in names.items():
        try:
            with quiet():
                pipeline.load_lora_weights(
                    file.parent, weight_name=file.name, adapter_name=name, local_files_only=True, use_safetensors=True
                )
        except Exception as error:  # diffusers, peft and safetensors share no base class
            raise AdapterError(f"the LoRA {file} can't be put onto this base: {one_line(error)}") from error
        if name not in _loaded(pipeline):
            raise AdapterError(f"the LoRA {file} has nothing for this base: is it of another family?")
    if names:
        pipeline.set_adapters([*before, *names], [*(1.0 for _ in before), *(weight for _, weight in loras)])


def _loaded(pipeline: Any) -> set[str]:
    """Names of the LoRAs on a pipeline's networks."""
    return {name for names in pipeline.get_list_adapters().values() for name in names}
