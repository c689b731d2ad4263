"""Computed once per input instead of once per step: what the networks of a call make of tensors that stay the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class _Known(NamedTuple):
    source: Tensor
    version: int
    copy: Tensor | None
    made: Tensor

    def is_as_it_was(self) -> bool:
        if self.copy is not None:
            return torch.equal(self.source, self.copy)
        return self.source._version == self.version


class Remembered:
    """The last inputs seen, each in which of its versions (torch counts changes in place), and what was made of them.

    Args:
        most: how many.
    """

    def __init__(self, most: int = 1) -> None:
        self._known: deque[_Known] = deque(maxlen=most)

    @property
    def last(self) -> Tensor | None:
        """What was made last."""
        return self._known[-1].made if self._known else None

    def get(self, source: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``make`` makes of a tensor; never remembered while gradients are recorded.

        Inference tensors count no changes, so a copy of what they were is compared.
        """
        if torch.is_grad_enabled():
            return make(source)
        for known in self._known:
            if known.source is source and known.is_as_it_was():
                return known.made
        made = make(source)
        self._known.append(_Known(source, *_state_of(source), made))
        return made


def _state_of(source: Tensor) -> tuple[int, Tensor | None]:
    return (-1, source.clone()) if source.is_inference() else (source._version, None)
