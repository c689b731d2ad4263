"""Two processes train together, over gloo, what one process trains with the same batch."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.adapter.prepared import settings
from torch import multiprocessing

from facesnap.training.adapter.checkpoints import STATE
from facesnap.training.adapter.config import checked
from facesnap.training.adapter.run import train_adapter


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def process(rank: int, port: int, mini: str, tree: dict[str, Any]) -> None:
    """One of two; what ``accelerate launch`` sets, set by hand."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "FACESNAP_MINI": mini}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train_adapter(checked(tree), None, lambda line: print(line, flush=True))


def trained(mini: Path, tree: dict[str, Any]) -> None:
    multiprocessing.spawn(process, args=(free_port(), str(mini), tree), nprocs=2)


@pytest.mark.slow
def test_two_processes_are_one(mini: Path, data: Path, tmp_path: Path) -> None:
    def tree(name: str, **optim: Any) -> dict[str, Any]:
        watch = {"checkpoint_every": 2, "validate_every": 4}
        made = {"precomputed": str(tmp_path / "made")}
        return settings(mini, data, tmp_path / name, watch=watch, optim={"steps": 4, **optim}, data=made)

    trained(mini, tree("two", micro_batch_size=2))  # both precompute, too, and pass twice each
    train_adapter(checked(tree("one")), None, lambda _: None)
    start, one = (
        load_file(tmp_path / "one" / "checkpoints" / name / STATE) for name in ("step-00000002", "step-00000004")
    )
    two = load_file(tmp_path / "two" / "checkpoints" / "step-00000004" / STATE)
    assert two.keys() == one.keys()
    weights = [key for key in one if key.startswith(("model.", "ema."))]
    for key in weights:
        torch.testing.assert_close(two[key], one[key], atol=5e-4, rtol=1e-3)
    moved, apart = (max(float((one[k] - other[k]).abs().max()) for k in weights) for other in (start, two))
    assert apart < 0.1 * moved  # far less than two steps do
    assert (tmp_path / "two" / "adapter" / "adapter.json").is_file()
