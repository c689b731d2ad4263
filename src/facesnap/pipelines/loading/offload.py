"""Where a pipeline's weights lie between their turns: on the accelerator, or on the CPU until they are needed."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import torch

from facesnap.core.errors import UsageError
from facesnap.core.lazy import require

#: ``model``: a network at a time on the accelerator; ``group``: a layer at a time, by diffusers' hooks; ``sequential``:
#: the same by accelerate's, the slowest.
Offload = Literal["none", "model", "sequential", "group"]
OFFLOADS: Final[tuple[str, ...]] = get_args(Offload)


def check_offload(how: str, device: torch.device) -> None:
    """Make sure, before anything is loaded, that :func:`place` can do what is asked.

    Raises:
        UsageError: an unknown way, or a CPU as device, on which everything lies anyway.
        MissingExtraError: ``model`` and ``sequential`` need accelerate.
    """
    if how not in OFFLOADS:
        raise UsageError(f"unknown offload {how!r}: use one of {', '.join(OFFLOADS)}")
    if how == "none":
        return
    if device.type == "cpu":
        raise UsageError(f"offload={how} keeps weights on the CPU while they rest, and device is the CPU: leave it out")
    if how != "group":
        require("accelerate", "lora")


def place(pipeline: Any, device: torch.device, how: str) -> Any:
    """Put a pipeline that lies on the CPU where it computes; returns it.

    Args:
        pipeline: of any kind; all of its components are taken along.
        device: the accelerator; the CPU too for ``none``.
        how: one of :data:`OFFLOADS`. But for ``none`` it is never on the accelerator as a whole.
    """
    if how == "none":
        return pipeline.to(device)
    if how == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif how == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.enable_group_offload(onload_device=device, offload_type="leaf_level")
    return pipeline


def is_offloaded(network: torch.nn.Module) -> bool:
    """Whether hooks move a network's weights about: accelerate's (``device_map`` sets them, too), or diffusers'."""
    return any(hasattr(module, "_hf_hook") or _is_grouped(module) for module in network.modules())


def _is_grouped(module: Any) -> bool:
    """Diffusers hooks modules for other things, too: layerwise casting, for example, leaves weights where they are."""
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and registry.get_hook("group_offloading") is not None
