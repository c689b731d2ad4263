"""The landmark map's embedding: diffusers' own network, run once per map instead of once per step.

A pipeline hands a ControlNet the same control image at every step, and every step embeds it anew. In mini, where the
map is 256 times as large as the latents, that is more than half of FFRNet's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor

from facesnap.models.remember import Remembered


@dataclass
class MapMemory:
    """What was made of the last map.

    ``scale``: the map's strength, on the line from the empty map's embedding (0) to its own (1) and beyond.
    ``rows``: of the batch; a map with half as many is given to both halves. 0: as many as the map has.
    """

    scale: float = 1.0
    rows: int = 0
    remembered: Remembered = field(default_factory=Remembered)
    repeated: Remembered = field(default_factory=Remembered)


# Whoever calls keeps the memory, so that two callers that share a network never see each other's map.
_MEMORY: ContextVar[MapMemory | None] = ContextVar("facesnap_map_memory", default=None)


@contextmanager
def remembering(memory: MapMemory) -> Iterator[None]:
    """Use a memory for the calls inside the block."""
    reset = _MEMORY.set(memory)
    try:
        yield
    finally:
        _MEMORY.reset(reset)


class MapEmbedding(ControlNetConditioningEmbedding):  # type: ignore[misc, unused-ignore]
    """(B, 3, H, W) maps in [0, 1] -> (B, C, h, w); weights and result are the stock embedding's."""

    def forward(self, conditioning: Tensor) -> Tensor:
        """Embed, or give back what was made of the same map before; never while gradients are recorded."""
        memory = _MEMORY.get()
        if memory is None:
            return self._embed(conditioning)
        embedded = memory.remembered.get(conditioning, lambda shown: self._scaled(shown, memory.scale))
        if 2 * len(embedded) != memory.rows or len(embedded) == 1:  # a single row is added to any number
            return embedded
        return memory.repeated.get(embedded, lambda half: torch.cat([half, half]))

    def _scaled(self, conditioning: Tensor, scale: float) -> Tensor:
        """``e(0) + scale * (e(map) - e(0))``, e the stock embedding."""
        embedded = self._embed(conditioning)
        if scale == 1.0:
            return embedded
        empty = self._embed(torch.zeros_like(conditioning[:1]))
        return empty + scale * (embedded - empty)

    def _embed(self, conditioning: Tensor) -> Tensor:
        # Few channels at full size: on a CPU twice as fast when they lie side by side (docs/LOG.md).
        embedded: Tensor = super().forward(conditioning.contiguous(memory_format=torch.channels_last))
        return embedded
