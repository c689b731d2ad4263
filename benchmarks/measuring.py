"""Seconds of a call, and memory of a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def timed(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a call, to the end of what it set off."""
    begun = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def most_of(process: int | str = "self") -> int:
    """Kilobytes that a process has ever had in memory; 0 for one that has just ended.

    What its parent is told at its end would count the parent's own, before the fork.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
