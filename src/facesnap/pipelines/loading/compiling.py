"""Compiling the blocks that a UNet and FFRNet repeat: most of the gain of compiling all, in a fraction of the time."""

from __future__ import annotations

from typing import Any

from diffusers import UNet2DConditionModel

from facesnap.core.errors import UsageError
from facesnap.models.recall import is_compiled


def compile_blocks(pipeline: Any, **options: Any) -> int:
    """Compile a pipeline's transformer blocks in place; the next picture does the work, and those after it gain.

    Equal blocks share what was compiled, so that this takes seconds, not minutes. LoRAs must be loaded before.

    Args:
        pipeline: whose UNet and ControlNets.
        options: of ``torch.compile``; ``dynamic=True`` where they don't say: blocks of all widths share one cache of
            eight versions, so that each new size or number of pictures would soon find no place.

    Returns:
        How many blocks there are.

    Raises:
        UsageError: the UNet is compiled as a whole already.
    """
    nets = [pipeline.unet, *getattr(pipeline, "nets", [])]
    if any(is_compiled(net) for net in nets):
        raise UsageError("this pipeline is compiled already: load it anew to compile its blocks")
    kinds = set(UNet2DConditionModel._repeated_blocks)
    blocks = [module for net in nets for module in net.modules() if type(module).__name__ in kinds]
    for block in blocks:
        if not is_compiled(block):
            block.compile(**{"dynamic": True, **options})
    return len(blocks)
