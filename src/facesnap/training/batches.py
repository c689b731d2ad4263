"""Batches made ahead by other processes, so that the device never waits for the next one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = dict[str, Tensor]
#: More processes than this are idle: a card takes a batch in 20 ms at least, a process makes one in 250.
MOST_WORKERS: Final = 14


class Drawing(Protocol):
    """What makes batches."""

    def draw(self, rng: np.random.Generator) -> Batch:
        """One batch, out of memory; all that is random comes from ``rng``."""


class _Steps(Dataset[Batch]):
    """Step -> its batch. Each step has its own random numbers, so a resumed run draws what it would have drawn."""

    def __init__(self, source: Drawing, seed: int) -> None:
        self.source, self.seed = source, seed

    def __getitem__(self, step: int) -> Batch:
        return self.source.draw(np.random.default_rng([self.seed, step]))


def batches(source: Drawing, seed: int, first: int, last: int, workers: int) -> Iterator[Batch]:
    """The batches of the steps from ``first`` to before ``last``, in order, whatever the number of processes.

    ``workers``: processes beside this one; 0: made here. They share this one's memory, so a source is not copied.
    """
    ahead: dict[str, Any] = {}
    if workers:
        ahead = {"worker_init_fn": quieten, "multiprocessing_context": "fork", "prefetch_factor": 2}
    steps = _Steps(source, seed)
    return iter(DataLoader(steps, batch_size=None, sampler=range(first, last), num_workers=workers, **ahead))


def sensible_workers(device: torch.device) -> int:
    """How many processes should make batches for a device here; none where a process can't share memory (not Linux)."""
    if sys.platform != "linux" or device.type == "cpu":
        return 0
    return max(0, min(MOST_WORKERS, (os.cpu_count() or 1) - 2))


def quieten(_worker: int) -> None:
    """A worker ends when it is told to, and leaves Ctrl-C to its parent; libraries' threads don't survive a fork."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
