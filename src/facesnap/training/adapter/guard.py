"""What all processes have to agree on after each step: means of the losses, and whether to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import Tensor

from facesnap.core.images import write_atomic
from facesnap.core.weights import write_json

#: Losses that are told; some exist in some batches only.
LOSSES: Final = ("loss", "diff", "id", "noisiest_quarter")


@dataclass(frozen=True)
class Verdict:
    """What a step came to, over all processes.

    ``means``: of the losses; ``broken``: one isn't finite; ``asked``: to stop; ``late``: time is over.
    """

    means: dict[str, float]
    broken: bool
    asked: bool
    late: bool


def judge(
    parts: Sequence[Mapping[str, Tensor]], asked: bool, late: bool, gather: Callable[[Tensor], Tensor]
) -> Verdict:
    """A step's verdict.

    Args:
        parts: losses of this process' passes.
        asked: whether this process was asked to stop.
        late: whether its time is over.
        gather: (n,) of each process -> (processes * n,).
    """
    device = parts[0]["loss"].device
    row = torch.zeros(2 * len(LOSSES) + 2, device=device)
    for part in parts:
        for place, name in enumerate(LOSSES):
            if name in part:
                row[2 * place] += part[name].detach().float()
                row[2 * place + 1] += 1
            elif name == "id":  # its parts are shares of the whole batch's mean
                row[2 * place + 1] += 1
    row[-2], row[-1] = float(asked), float(late)
    rows = gather(row).view(-1, len(row)).double().cpu()
    total = rows.sum(0)
    means = {name: float(total[2 * i] / total[2 * i + 1]) for i, name in enumerate(LOSSES) if total[2 * i + 1]}
    return Verdict(means, not math.isfinite(means["loss"]), bool(total[-2]), bool(total[-1]))


def save_batch(folder: Path, step: int, rank: int, batch: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Keep a batch that broke the training: its tensors, and beside them which samples it was made of."""
    name = f"broken-step-{step:08d}-process-{rank}"
    tensors = {key: value.detach().cpu().contiguous() for key, value in batch.items() if isinstance(value, Tensor)}
    write_atomic(folder / f"{name}.safetensors", save(tensors))
    plain = {
        key: value if not isinstance(value, float) or math.isfinite(value) else str(value)
        for key, value in about.items()
    }
    write_json(folder / f"{name}.json", {**plain, "step": step})
    return folder / f"{name}.safetensors"
