"""Devices by name: what is refused, and that asking for the machine in words needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from facesnap.core.errors import UsageError
from facesnap.core.machine import choose_device


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpu", "unknown device 'gpu': use auto"),
        ("", "unknown device ''"),
        ("cuda:99", "device cuda:99 can't be used"),
    ],
)
def test_a_device_that_is_not_here_is_one_line(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_auto_takes_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto", mps=False) == torch.device("cpu")
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)  # there is no such device here
    assert choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("auto", mps=False) == torch.device("cuda")


def test_importing_it_leaves_torch_alone() -> None:
    code = "import sys, facesnap.core.machine; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
