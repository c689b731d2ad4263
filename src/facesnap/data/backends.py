"""Who does the work: this process, processes beside it, or Ray on a machine or a cluster; the outcome is the same.

Jobs write their own files and return a few numbers, so nothing large travels. Workers on other machines need to see the
source and the data set's folder under the same paths.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, Protocol, TypeVar

from facesnap.core.errors import FaceSnapError, OutputError, UsageError, one_line
from facesnap.core.lazy import require
from facesnap.core.machine import single_threads

Job = TypeVar("Job", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Task(Protocol[Job, Result]):
    """What workers do: picklable, started once in each."""

    def start(self) -> Callable[[Job], Result]:
        """Load what is needed; what is returned does one job."""


@dataclass(frozen=True)
class Backend:
    """Where jobs run.

    Attributes:
        workers: how many at a time; 1 without Ray is this process itself.
        ray: whether on Ray.
        address: of the cluster ("auto": the one this machine belongs to); empty starts Ray here.
        device: of the workers; with CUDA and Ray, each takes a GPU.
    """

    workers: int = 1
    ray: bool = False
    address: str = ""
    device: str = "cpu"


def run(task: Task[Job, Result], jobs: Iterable[Job], backend: Backend) -> Generator[Result, None, None]:
    """Do jobs, yielding results as they come, in any order; after an exception no other job is started."""
    if backend.ray:
        yield from _on_ray(task, jobs, backend)
    elif backend.workers <= 1:
        yield from _here(task, jobs)
    else:
        yield from _in_processes(task, jobs, backend.workers)


def _here(task: Task[Job, Result], jobs: Iterable[Job]) -> Generator[Result, None, None]:
    """One thread, as in any other worker: some sums depend on how many there are."""
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    work = None
    try:
        for job in jobs:
            if work is None:  # nothing to do needs no encoders
                _limit_threads()
                work = task.start()
            yield work(job)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _in_processes(task: Task[Job, Result], jobs: Iterable[Job], workers: int) -> Generator[Result, None, None]:
    left = iter(jobs)
    first = list(islice(left, workers))
    if not first:
        return
    pool = ProcessPoolExecutor(len(first), get_context("spawn"), initializer=_start_worker, initargs=(task,))
    with single_threads("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), pool:
        try:
            # One job per worker at a time: leaving the pool waits for the jobs that are in it, and can't cancel those
            # that it has handed to its queue.
            running = {pool.submit(_do, job) for job in first}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                results = [future.result() for future in finished]
                running |= {pool.submit(_do, job) for job in islice(left, len(finished))}
                yield from results
        except BrokenProcessPool as error:
            raise OutputError(
                "a worker was killed (out of memory?): run again, it resumes; or use fewer --workers"
            ) from error


#: Set in each worker: does a job, or says why nothing can be done.
_work: Callable[[Any], Any] | FaceSnapError | None = None


def _start_worker(task: Task[Any, Any]) -> None:
    global _work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_threads()
    try:
        _work = task.start()
    except FaceSnapError as error:  # raised here it would only break the pool
        _work = error


def _end_with_parent() -> None:
    """Workers of a process that was killed would wait for their next job for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit_threads() -> None:
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _do(job: Any) -> Any:
    if isinstance(_work, FaceSnapError):
        raise _work
    assert _work is not None
    return _work(job)


class _Actor:
    """A worker on Ray: a job and its result travel pickled, as one column each, and the task with every job (Ray warns
    of constructor arguments, which a restarted actor may miss).
    """

    def __init__(self) -> None:
        self._do: Callable[[Any], Any] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._do is None:
            _limit_threads()
            self._do = pickle.loads(batch["task"][0]).start()
        return {"result": [pickle.dumps(self._do(pickle.loads(job))) for job in batch["job"]]}


@contextmanager
def session(backend: Backend) -> Iterator[None]:
    """Ray, if it is started meanwhile, serves all passes and ends with them."""
    if not backend.ray:
        yield
        return
    ray = require("ray", "ray")
    before = ray.is_initialized()
    try:
        yield
    finally:
        if not before and ray.is_initialized():
            ray.shutdown()


def _on_ray(task: Task[Job, Result], jobs: Iterable[Job], backend: Backend) -> Generator[Result, None, None]:
    ray, data = require("ray", "ray"), require("ray.data", "ray")
    packed = pickle.dumps(task)
    rows = [{"job": pickle.dumps(job), "task": packed} for job in jobs]  # names and paths only
    if not rows:
        return
    if not ray.is_initialized():
        _connect(ray, backend)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    results = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Actor,
        batch_size=1,
        compute=data.ActorPoolStrategy(size=min(backend.workers, len(rows))),
        num_cpus=1,
        num_gpus=1 if backend.device.startswith("cuda") else 0,
    )
    try:
        for row in results.iter_rows():
            yield pickle.loads(row["result"])
    except ray.exceptions.RayError as error:
        raise _reason(error) from error


def _connect(ray: Any, backend: Backend) -> None:
    import logging

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    common = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    try:
        if backend.address:
            ray.init(address=backend.address, **common)
        else:
            ray.init(num_cpus=backend.workers, include_dashboard=False, **common)
    except Exception as error:  # Ray's errors here share no base class
        where = f" at {backend.address}" if backend.address else ""
        raise UsageError(f"Ray can't be reached{where}: {one_line(error)}") from error


def _reason(error: BaseException) -> FaceSnapError:
    """What went wrong in a worker, without Ray's wrapping."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, FaceSnapError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return OutputError(
        f"a worker on Ray failed: {one_line(Exception(str(error).strip().splitlines()[-1]))}; run again, it resumes"
    )
