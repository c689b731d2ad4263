"""Everything a run needs to go on where it stopped, in one safetensors file (no pickles), replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from facesnap.core.errors import InputError
from facesnap.core.images import write_atomic

FORMAT = "facesnap-train-state-2"


class Ema:
    """Exponential moving average of parameters and floating-point buffers.

    The decay grows as ``(1 + step) / (10 + step)`` up to ``decay``, so that short runs aren't held back by their start.
    """

    def __init__(self, modules: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone().float() for k, v in modules.state_dict().items() if v.is_floating_point()}

    @torch.no_grad()
    def update(self, modules: nn.Module, step: int) -> None:
        """Move towards the current weights; ``step`` counts from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = {k: v for k, v in modules.state_dict().items() if k in self.values}
        torch._foreach_lerp_(
            list(self.values.values()), [current[k].detach().float() for k in self.values], 1.0 - decay
        )

    def load_into(self, modules: nn.Module) -> None:
        """Overwrite the modules' weights by the average."""
        modules.load_state_dict({**modules.state_dict(), **self.values})


@dataclass
class TrainState:
    """A run at some step. ``seconds``: time trained so far, over all pieces."""

    modules: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write the whole state; an interrupted write leaves the previous file."""
        tensors = {f"model.{k}": v.detach().cpu() for k, v in self.modules.state_dict().items()}
        tensors |= {f"ema.{k}": v.cpu() for k, v in self.ema.values.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v).cpu() for k, v in slots.items()}
        about = {"format": FORMAT, "state": json.dumps({"step": self.step, "seconds": self.seconds})}
        write_atomic(path, save({k: v.contiguous() for k, v in tensors.items()}, about))

    def load(self, path: Path) -> None:
        """Continue from a file.

        Raises:
            InputError: not a state of this program, or of a differently shaped network.
        """
        about, tensors = _read(path)
        self.step, self.seconds = int(about["step"]), float(about["seconds"])
        try:
            self.modules.load_state_dict(_below(tensors, "model."))
        except RuntimeError as error:
            raise InputError(f"{path} is of another configuration: {str(error).splitlines()[-1].strip()}") from None
        for name, value in _below(tensors, "ema.").items():
            self.ema.values[name].copy_(value)
        self._load_optimizer(_below(tensors, "optimizer."))

    def _load_optimizer(self, slots: Mapping[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in slots.items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, float], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        metadata = cast(dict[str, str], file.metadata() or {})
        if metadata.get("format") != FORMAT:
            raise InputError(f"{path} is not a training state of this version")
        return json.loads(metadata["state"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
