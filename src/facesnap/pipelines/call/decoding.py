"""Pictures out of latents without running out of memory: all at once, one by one, or in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

#: Of the memory that is free, how much decoding may take.
_SHARE: Final = 0.8

#: Feature maps of the widest layer at full size that live at the same time: what comes in, what goes out, and what
#: the convolution and its norm need beside them.
_LIVE: Final = 4


@contextmanager
def decoding(pipeline: Any, pictures: int, size: tuple[int, int], device: torch.device) -> Iterator[None]:
    """Let a pipeline's VAE decode as its pictures fit into the memory that is free.

    One by one gives the same pictures. Tiles, for a single picture that doesn't fit, may show in its colours. What the
    user has switched on stays on.

    Args:
        pipeline: with a VAE of diffusers'.
        pictures: how many at once.
        size: (width, height) of each.
        device: where they are decoded.
    """
    vae, free = pipeline.vae, free_bytes(device)
    before = {flag: getattr(vae, flag, None) for flag in ("use_slicing", "use_tiling")}
    if free is None or None in before.values():
        yield
        return
    each = bytes_to_decode(vae, size)
    vae.use_slicing = before["use_slicing"] or pictures * each > _SHARE * free
    vae.use_tiling = before["use_tiling"] or each > _SHARE * free
    try:
        yield
    finally:
        for flag, value in before.items():
            setattr(vae, flag, value)


def bytes_to_decode(vae: Any, size: tuple[int, int]) -> int:
    """About how much memory it takes to decode a picture of (width, height)."""
    channels = vae.config.block_out_channels
    widest = channels[min(1, len(channels) - 1)]  # the last stage begins with what the one before it ended with
    return int(_LIVE * widest * size[0] * size[1] * vae.dtype.itemsize)


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free where a device computes; None where nobody says."""
    if device.type == "cuda":
        # What torch holds without using it is free for torch.
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
