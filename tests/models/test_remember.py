"""The same tensor, unchanged, is worked on once."""

from __future__ import annotations

import torch

from facesnap.models.remember import Remembered


def test_changed_or_other_tensors_are_worked_on_anew() -> None:
    asked: list[float] = []

    def double(x: torch.Tensor) -> torch.Tensor:
        asked.append(float(x[0]))
        return 2 * x

    memory, a, b, c = Remembered(most=2), *(torch.tensor([float(i)]) for i in range(3))
    assert memory.last is None
    with torch.no_grad():
        assert memory.get(a, double) is memory.get(a, double)
        memory.get(b, double)
        memory.get(a, double)
        assert asked == [0.0, 1.0]
        a.add_(5)
        assert memory.get(a, double).tolist() == [10.0]
        memory.get(c, double)
        memory.get(b, double)  # too long ago
    assert asked == [0.0, 1.0, 5.0, 2.0, 1.0]
    memory.get(b, double)  # gradients are recorded: never from memory
    assert asked[-1] == 1.0
    assert len(asked) == 6


def test_inference_tensors_which_count_no_versions_are_remembered_too() -> None:
    memory = Remembered()
    with torch.inference_mode():
        x = torch.ones(1)
        assert memory.get(x, torch.neg) is memory.get(x, torch.neg)
        x.add_(1)
        assert memory.get(x, torch.neg).tolist() == [-2.0]
