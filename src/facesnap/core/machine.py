"""The machine: which device to compute on, how many threads processes get; where and when a figure was measured."""

from __future__ import annotations

import gc
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from facesnap.core.errors import UsageError, one_line

if TYPE_CHECKING:
    import torch

#: Kinds of devices, by the names that users give them.
DEVICES: Final = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto", mps: bool = True) -> torch.device:
    """The device of a name; ``auto``: CUDA, else MPS, else the CPU.

    ``mps``: whether ``auto`` may choose MPS; False for work that was never tried there.

    Raises:
        UsageError: a name that torch doesn't know, or a device that isn't here.
    """
    import torch

    if name.split(":")[0] not in DEVICES:
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda or mps")
    if name == "auto":
        other = "mps" if mps and torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else other
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name} can't be used: {one_line(error)}") from error
    return device


def machine(device: str) -> str:
    """The machine in words: processor, cores this process may use, and the accelerator if one is used."""
    words = f"{_processor()}, {cores()} cores"
    if device.startswith("cuda"):
        import torch

        words += f", {torch.cuda.get_device_name(device)}"
    return words


def today() -> str:
    """The date in UTC."""
    return datetime.now(UTC).date().isoformat()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def own_command() -> str:
    """What this process was called with, as one would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, an accelerator's or the machine's."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    # On the CPU, torch has no class of its own for it.
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def free_memory() -> None:
    """Give back what nobody holds any more, an accelerator's cache included."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def started_threads(threads: int, *names: str) -> Iterator[None]:
    """Processes started meanwhile get so many threads each; usually one, since they are the parallelism.

    Args:
        threads: of each.
        names: environment variables by which libraries learn their number of threads.
    """
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(before, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
