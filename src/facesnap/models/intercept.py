"""Something else in the place of a module's forward, for the calls of one thread or task, and only for so long.

A network may be shared by several callers at once. So what each of them wants lies in a context variable, and a module
that somebody intercepts is for all others as it was.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn

#: Given the module's own forward and its arguments.
Handler = Callable[..., Any]

_HANDLERS: ContextVar[Mapping[int, Handler]] = ContextVar("facesnap_handlers", default={})  # noqa: B039 (never mutated)
_LOCK = threading.Lock()
_INSTALLED: dict[int, int] = {}  # id of a module -> how many callers intercept it


@contextmanager
def intercepting(handlers: Mapping[nn.Module, Handler]) -> Iterator[None]:
    """Call ``handler(forward, *args, **kwargs)`` wherever one of the modules is called inside the block."""
    for module in handlers:
        _install(module)
    reset = _HANDLERS.set({**_HANDLERS.get(), **{id(module): handler for module, handler in handlers.items()}})
    try:
        yield
    finally:
        _HANDLERS.reset(reset)
        for module in handlers:
            _remove(module)


def _install(module: nn.Module) -> None:
    with _LOCK:
        callers = _INSTALLED.get(id(module), 0)
        _INSTALLED[id(module)] = callers + 1
        if not callers:
            module.forward = _Intercepted(module)


def _remove(module: nn.Module) -> None:
    with _LOCK:
        callers = _INSTALLED.pop(id(module)) - 1
        if callers:
            _INSTALLED[id(module)] = callers
        elif isinstance(ours := module.__dict__.get("forward"), _Intercepted):  # offloading may have put its own there
            ours.undo(module)


class _Intercepted:
    """A module's forward that asks first whether somebody wants something else."""

    def __init__(self, module: nn.Module) -> None:
        self.key, self.original = id(module), module.forward
        self.on_instance = "forward" in module.__dict__  # as accelerate's offloading has it
        functools.update_wrapper(self, module.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        handler = _HANDLERS.get().get(self.key)
        return self.original(*args, **kwargs) if handler is None else handler(self.original, *args, **kwargs)

    def undo(self, module: nn.Module) -> None:
        """Put back what was there."""
        if self.on_instance:
            module.forward = self.original
        else:
            del module.forward
