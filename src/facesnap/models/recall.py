"""Running a frozen UNet with less work: keys kept, deep features recalled, the unguided half left out.

Diffusers' pipelines and networks stay as they are; see :class:`facesnap.models.savings.Savings` for what is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch
from diffusers.utils.torch_utils import is_compiled_module
from torch import Tensor, nn

from facesnap.core.errors import UsageError
from facesnap.models.intercept import Handler, intercepting
from facesnap.models.remember import Remembered
from facesnap.models.savings import Savings

#: Tells (step, steps).
Step = Callable[[], tuple[int, int]]

#: Texts and faces of a call whose keys and values are kept at once.
SOURCES: Final = 8

#: What a UNet is called with that has a row per picture of either half.
_ROWS: Final = (
    *("class_labels", "timestep_cond", "added_cond_kwargs"),
    *("down_block_additional_residuals", "mid_block_additional_residual"),
)


@contextmanager
def saving(unet: nn.Module, savings: Savings, images: int, step: Step) -> Iterator[None]:
    """Let a pipeline's UNet save work inside the block.

    Args:
        unet: of the pipeline; compiled or not.
        savings: what is left out.
        images: pictures of the call; a UNet that is given twice as many rows runs under classifier-free guidance.
        step: of the pipeline.

    Raises:
        UsageError: the UNet is compiled as a whole, and part of it should be left out.
    """
    handlers = kept_keys(unet) if savings.keep_keys else {}
    deep = _Deep(unet, savings.deep_kept) if savings.reuses_deep else None
    if deep is not None or savings.guidance_until < 1.0:
        if is_compiled(unet):
            raise UsageError("deep_every and guidance_until need a UNet not compiled as a whole: use FaceSnap.compile")
        handlers |= {} if deep is None else deep.handlers()
        handlers[unet] = _Runs(savings, images, step, deep)
    try:
        with intercepting(handlers):
            yield
    finally:
        if deep is not None:  # they are large, and the handlers hold them in a circle
            deep.forget()


def kept_keys(net: nn.Module) -> dict[nn.Module, Handler]:
    """Handlers that compute the keys and values of each text or face once.

    Layers that aren't plain (LoRA's, quantised ones) are left alone: what they do may change between two steps. So are
    compiled networks and blocks, which can't be looked into.
    """
    if is_compiled(net):
        return {}
    attentions = (module for name, module in _open_modules(net) if name == "attn2")
    projections = (part for attention in attentions for part in (attention.to_k, attention.to_v))
    return {part: partial(_kept, Remembered(SOURCES)) for part in projections if type(part) is nn.Linear}


def _open_modules(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A network's modules with their own names, but for those inside compiled ones."""
    for name, module in net.named_children():
        if not is_compiled(module):
            yield name, module
            yield from _open_modules(module)


def is_compiled(module: nn.Module) -> bool:
    """By ``torch.compile``, or in place."""
    return is_compiled_module(module) or getattr(module, "_compiled_call_impl", None) is not None


def _kept(memory: Remembered, forward: Callable[[Tensor], Tensor], states: Tensor, *args: Any) -> Tensor:
    return memory.get(states, lambda states: forward(states, *args))


class _Deep:
    """The deep features of a UNet's last whole run."""

    def __init__(self, unet: nn.Module, kept: int) -> None:
        self.recalls, self.rows = False, 0
        self._modules = deep_modules(unet, kept)
        self._made: dict[nn.Module, Any] = {}

    def handlers(self) -> dict[nn.Module, Handler]:
        """For :func:`intercepting`."""
        return {module: partial(self._run_or_recall, module) for module in self._modules}

    def forget(self) -> None:
        """Give the features up."""
        self._made.clear()

    def begin(self, whole: bool, rows: int) -> None:
        """A run begins, of so many rows; not a ``whole`` one recalls."""
        self.recalls, self.rows = not whole and len(self._made) == len(self._modules), rows
        if not self.recalls:
            self._made.clear()  # before new ones are made, so that memory doesn't hold both

    def _run_or_recall(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.recalls:
            self._made[module] = forward(*args, **kwargs)
            return self._made[module]
        return last_rows(self._made[module], self.rows)


def deep_modules(unet: Any, kept: int) -> list[nn.Module]:
    """All of a UNet but its ``kept`` last layers (a residual block and its attention), its first ``kept - 1``, and the
    two convolutions at its ends.

    The modules run one after the other, not inside each other.
    """
    first, last = unet.down_blocks[0], unet.up_blocks[-1]
    early = min(kept, len(last.resnets)) - 1
    late = len(last.resnets) - early - 1
    return [
        *(part for layers in _layers(first) for part in layers[early:]),
        *(first.downsamplers or ()),
        *unet.down_blocks[1:],
        *([] if unet.mid_block is None else [unet.mid_block]),
        *unet.up_blocks[:-1],
        *(part for layers in _layers(last) for part in layers[:late]),
    ]


def _layers(block: Any) -> tuple[list[nn.Module], list[nn.Module]]:
    """Residual blocks and attentions of a block."""
    return list(block.resnets), list(getattr(block, "attentions", ()))


class _Runs:
    """Each run of the UNet: whole or in part, both halves or the guided one alone."""

    def __init__(self, savings: Savings, images: int, step: Step, deep: _Deep | None) -> None:
        self.savings, self.images, self.step, self.deep = savings, images, step, deep
        self._texts = Remembered()

    def __call__(self, forward: Callable[..., Any], sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        now = self.step()
        alone = len(sample) == 2 * self.images and self.savings.guided_alone(*now)
        if self.deep is not None:
            self.deep.begin(self.savings.whole_unet(*now), self.images if alone else len(sample))
        if not alone:
            return forward(sample, *args, **kwargs)
        kwargs |= {name: last_rows(kwargs[name], self.images) for name in _ROWS if name in kwargs}
        # One tensor for all steps, so that its keys are kept.
        kwargs["encoder_hidden_states"] = self._texts.get(kwargs["encoder_hidden_states"], self._guided)
        made = forward(sample[-self.images :], *args, **kwargs)
        # Twice the guided half: guidance between the two changes nothing, so pipelines needn't know.
        return twice(made)

    def _guided(self, rows: Tensor) -> Tensor:
        return rows[-self.images :]


def last_rows(value: Any, rows: int) -> Any:
    """The last rows of every tensor in (nested) tuples, lists and dictionaries; of smaller ones all."""
    if isinstance(value, Tensor):
        return value[-rows:] if value.ndim and len(value) > rows else value
    if isinstance(value, dict):
        return {name: last_rows(each, rows) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(last_rows(each, rows) for each in value)
    return value


def twice(value: Any) -> Any:
    """Every tensor of a tuple, list or diffusers output with its rows repeated once."""
    if isinstance(value, Tensor):
        return torch.cat([value, value])
    if isinstance(value, dict):
        return type(value)(**{name: twice(each) for name, each in value.items()})
    return type(value)(twice(each) for each in value)
