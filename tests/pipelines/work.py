"""Counting work instead of seconds: what ran, on how many rows, and how many bytes it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass
class Work:
    """Rows of each run of UNet and FFRNet, runs of the UNet's middle, keys and values computed of texts and faces,
    bytes that operations wrote to new memory.
    """

    unet: list[int] = field(default_factory=list)
    deep: int = 0
    ffrnet: list[int] = field(default_factory=list)
    maps: int = 0
    projections: int = 0
    bytes: int = 0


@contextmanager
def counted(pipeline: Any) -> Iterator[Work]:
    """Count the work of a pipeline's calls inside the block."""
    work, patch = Work(), pytest.MonkeyPatch()
    nets = [pipeline.unet, *getattr(pipeline, "nets", [])]
    watched = {
        id(part)
        for net in nets
        for name, module in net.named_modules()
        if name.endswith("attn2")
        for part in (module.to_k, module.to_v)
    }
    middles = {id(pipeline.unet.mid_block.resnets[0])}
    maps = {id(net.controlnet_cond_embedding.conv_in) for net in nets[1:]}

    def counting(kind: type, count: Any) -> None:
        stock = kind.forward

        def forward(self: Any, first: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            count(self, first)
            return stock(self, first, *args, **kwargs)

        patch.setattr(kind, "forward", forward)

    def linear(layer: nn.Module, _: torch.Tensor) -> None:
        work.projections += id(layer) in watched

    def block(layer: nn.Module, _: torch.Tensor) -> None:
        work.deep += id(layer) in middles

    def conv(layer: nn.Module, _: torch.Tensor) -> None:
        work.maps += id(layer) in maps

    counting(UNet2DConditionModel, lambda _, sample: work.unet.append(len(sample)))
    counting(ControlNetModel, lambda _, sample: work.ffrnet.append(len(sample)))
    counting(nn.Linear, linear)
    counting(nn.Conv2d, conv)
    counting(type(pipeline.unet.mid_block.resnets[0]), block)
    try:
        with _Bytes(work):
            yield work
    finally:
        patch.undo()


class _Bytes(TorchDispatchMode):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        known = {_storage(each) for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)}
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor) and _storage(each) not in known:
                self.work.bytes += each.numel() * each.element_size()
        return made


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
