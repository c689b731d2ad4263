"""Pictures out of latents without running out of memory: all at once, one by one, or in tiles."""

from __future__ import annotations

import threading
from collections import Counter
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
    if free is None or not hasattr(vae, "use_slicing"):
        yield
        return
    each = bytes_to_decode(vae, size)
    wanted = {"use_slicing": pictures * each > _SHARE * free, "use_tiling": each > _SHARE * free}
    # Other calls may share the VAE: a flag is taken away by the last of those who set it.
    mine = [flag for flag, asked in wanted.items() if asked and _take(vae, flag)]
    try:
        yield
    finally:
        for flag in mine:
            _give_back(vae, flag)


_LOCK = threading.Lock()
_TAKEN: Counter[tuple[int, str]] = Counter()  # (id of a VAE, flag) -> calls that set it


def _take(vae: Any, flag: str) -> bool:
    """Set a flag for a call; False if its user has set it for good."""
    with _LOCK:
        if getattr(vae, flag) and not _TAKEN[id(vae), flag]:
            return False
        setattr(vae, flag, True)
        _TAKEN[id(vae), flag] += 1
        return True


def _give_back(vae: Any, flag: str) -> None:
    with _LOCK:
        _TAKEN[id(vae), flag] -= 1
        if not _TAKEN[id(vae), flag]:
            del _TAKEN[id(vae), flag]
            setattr(vae, flag, False)


def bytes_to_decode(vae: Any, size: tuple[int, int]) -> int:
    """About how much memory it takes to decode a picture of (width, height)."""
    channels = vae.config.block_out_channels
    widest = channels[min(1, len(channels) - 1)]  # the last stage begins with what the one before it ended with
    upcast = vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False)  # as SDXL's pipelines do
    return int(_LIVE * widest * size[0] * size[1] * (4 if upcast else vae.dtype.itemsize))


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
