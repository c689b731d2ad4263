"""The batches of a run, made here or by other processes ahead of time: the same in either case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from facesnap.core.errors import FaceSnapError, UsageError
from facesnap.training.adapter.drawing import Drawer, joined, plan, stacked
from facesnap.training.adapter.lanes import Lanes
from facesnap.training.batches import quieten


@dataclass(frozen=True)
class Reader:
    """What a process reads: the rows of its lanes.

    Attributes:
        lanes: of the split.
        drawer: of rows.
        timesteps: how many the base has.
        batch: rows of a step, over all processes.
        rank: of this process, of ``processes``.
        workers: processes beside it that make batches; 0: made here.
    """

    lanes: Lanes
    drawer: Drawer
    timesteps: int
    batch: int
    rank: int = 0
    processes: int = 1
    workers: int = 0

    @property
    def own(self) -> list[int]:
        """The lanes of this process, which lie next to each other, as their rows do.

        Raises:
            UsageError: the lanes can't be dealt out evenly.
        """
        if self.lanes.count % self.processes or self.batch % self.lanes.count:
            raise UsageError(
                f"data.lanes={self.lanes.count} must be a multiple of the {self.processes} processes, and divide"
                f" optim.batch_size={self.batch}"
            )
        each = self.lanes.count // self.processes
        return list(range(self.rank * each, (self.rank + 1) * each))

    def batches(self, first: int) -> Iterator[dict[str, Any]]:
        """The rows of this process, of the steps from ``first`` on, in order, as :func:`stacked` makes them.

        Raises:
            InputError: a shard is damaged (named).
        """
        workers = min(self.workers, len(self.own))
        if not workers:
            yield from self.rows_of(self.own, first)
            return
        ahead: dict[str, Any] = {"multiprocessing_context": "fork", "prefetch_factor": 2, "worker_init_fn": quieten}
        made = iter(DataLoader(_Ahead(replace(self, workers=workers), first), None, num_workers=workers, **ahead))
        while True:  # a DataLoader asks its workers in turn
            parts = [next(made) for _ in range(workers)]
            for part in parts:
                if isinstance(part, FaceSnapError):
                    raise part
            yield joined(cast(list[dict[str, Any]], parts))

    def rows_of(self, lanes: list[int], first: int) -> Iterator[dict[str, Any]]:
        """The rows of some lanes, step by step."""
        each, seed = self.batch // self.lanes.count, self.lanes.seed
        streams = [self.lanes.stream(lane, first * each) for lane in lanes]
        step = first
        while True:
            decided = plan(self.drawer.settings, seed, step, self.batch, self.timesteps)
            rows = [
                self.drawer.row(next(stream), decided, lane * each + number, [seed, step])
                for lane, stream in zip(lanes, streams, strict=True)
                for number in range(each)
            ]
            yield stacked(rows)
            step += 1


class _Ahead(IterableDataset[Any]):
    """A worker's part of a reader: a share of its lanes, in their order."""

    def __init__(self, reader: Reader, first: int) -> None:
        self.reader, self.first = reader, first

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        assert info is not None
        own, workers = self.reader.own, self.reader.workers
        share = own[len(own) * info.id // workers : len(own) * (info.id + 1) // workers]
        try:
            yield from self.reader.rows_of(share, self.first)
        except FaceSnapError as error:  # raised here, it would come with a traceback for a message
            while True:
                yield error
