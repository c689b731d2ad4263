"""Loading without other libraries' progress bars: a model that loads in a moment needs none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """No progress bars inside the block. ``libraries``: whose; by default those of diffusers and transformers."""
    names = libraries or ("diffusers", "transformers")
    logs: list[Any] = [import_module(f"{name}.utils.logging") for name in names]
    shown = [log for log in logs if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()
