"""Muon: steps of hidden weights are made orthogonal, so that no direction of a layer is neglected.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale that lets it share
AdamW's learning rate and weight decay: Liu et al. 2025, "Muon is Scalable for LLM Training". A convolution's weight
(O, I, k, k) counts as a matrix (O, I k k). ``torch.optim.Muon`` takes matrices only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

#: Of the quintic iteration, chosen by Jordan et al. to raise small singular values fast; five steps reach 0.7 to 1.2.
COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
STEPS: Final = 5
MOMENTUM: Final = 0.95
#: Root mean square of AdamW's usual step, which Muon's is brought to.
RMS: Final = 0.2


class Muon(torch.optim.AdamW):
    """AdamW, except for groups with ``muon=True``, whose parameters have two dimensions or more."""

    def __init__(self, groups: Iterable[dict[str, Any]], **settings: Any) -> None:
        super().__init__([{"muon": False, **group} for group in groups], **settings)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of all groups."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["muon"]]
        super().step()
        self.param_groups = groups
        for group in groups:
            if group["muon"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._step_matrix(parameter, group["lr"], group["weight_decay"])

    def _step_matrix(self, parameter: Tensor, rate: float, decay: float) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:  # by AdamW's names, since it reads the state of all groups back
            state["step"], state["exp_avg"] = torch.tensor(0.0), torch.zeros_like(parameter)
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(state["exp_avg"], MOMENTUM).flatten(1)  # Nesterov
        update = orthogonal(ahead) * (RMS * max(ahead.shape) ** 0.5)
        parameter.mul_(1 - rate * decay).add_(update.view_as(parameter), alpha=-rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (R, C) with its singular values brought near 1 (0.7 to 1.2), by Newton-Schulz in bf16."""
    a, b, c = COEFFICIENTS
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result


def parameter_groups(modules: nn.Module, weight_decay: float, muon: bool) -> list[dict[str, Any]]:
    """Trainable parameters in three groups: layers' weights, other matrices, and what is never decayed.

    Embeddings and classes are no hidden layers: their rows are steps of their own, so they stay with AdamW.
    """
    layers = {
        id(module.weight) for module in modules.modules() if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    }
    chosen = [p for p in modules.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in chosen if id(p) in layers], "weight_decay": weight_decay, "muon": muon},
        {"params": [p for p in chosen if id(p) not in layers and p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in chosen if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
