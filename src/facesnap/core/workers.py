"""Who does the work: this process, processes beside it, or Ray on a machine or a cluster; the outcome is the same.

A :class:`Task` is what each worker starts once, with a device; jobs and their results are pickled. Workers on other
machines need the same FaceSnap, and whatever a task names by its path.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import Any, Final, Protocol, TypeVar

from facesnap.core.errors import FaceSnapError, OutputError, UsageError, one_line
from facesnap.core.lazy import require
from facesnap.core.machine import started_threads

Job = TypeVar("Job", contravariant=True)
Result = TypeVar("Result", covariant=True)

#: Seconds that a cluster may take until its first worker is there; it may have to start machines.
PATIENCE: Final = 600
#: How often Ray starts a worker anew that was lost with its machine, and gives it its job again.
_RESTARTS: Final = 2


class LostWorkerError(OutputError):
    """A worker was killed from outside, usually for its memory; what it had not handed over is not there."""


class Task(Protocol[Job, Result]):
    """What workers do: picklable, started once in each."""

    def start(self, device: str) -> Callable[[Job], Result]:
        """Load what is needed onto a device; what is returned does one job."""


@dataclass(frozen=True)
class Backend:
    """Where jobs run.

    Attributes:
        workers: how many at a time; 1 without Ray is this process itself.
        ray: whether on Ray.
        address: of the cluster ("auto": the one this machine belongs to); empty starts Ray here.
        devices: of the workers, in turn.
        threads: of each worker. With 1, sums don't depend on how many workers there are. None: torch's own number in
            this process, 1 elsewhere.
        gpus: that Ray keeps for each worker; None is 1 with CUDA, else 0.
    """

    workers: int = 1
    ray: bool = False
    address: str = ""
    devices: Sequence[str] = ("cpu",)
    threads: int | None = 1
    gpus: float | None = None

    @property
    def gpus_each(self) -> float:
        """GPUs that Ray keeps for each worker."""
        return float(self.devices[0].startswith("cuda")) if self.gpus is None else self.gpus


def run(
    task: Task[Job, Result], jobs: Iterable[Job], backend: Backend, *, heavy: bool = False
) -> Generator[Result, None, None]:
    """Do jobs, yielding results as they come, in any order; after an exception no other job is started.

    Whoever closes the generator waits for the jobs that are being done; ``KeyboardInterrupt`` (also one thrown into it)
    ends them at once.

    Args:
        task: what workers do.
        jobs: taken as workers get free, so that few of them are in memory; but for Ray Data, which takes all of them.
        backend: who works.
        heavy: jobs carry contents, not names alone. On Ray they then go to actors one by one, instead of to Ray Data.

    Raises:
        LostWorkerError: a worker was killed. UsageError: Ray can't be reached, or has no room for a worker.
        MissingExtraError: Ray isn't installed. And what ``Task.start`` or a job raises.
    """
    if backend.ray:
        yield from (_on_actors if heavy else _on_ray_data)(task, jobs, backend)
    elif backend.workers <= 1:
        yield from _here(task, jobs, backend)
    else:
        yield from _in_processes(task, jobs, backend)


def _here(task: Task[Job, Result], jobs: Iterable[Job], backend: Backend) -> Generator[Result, None, None]:
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    work = None
    try:
        for job in jobs:
            if work is None:  # nothing to do needs nothing loaded
                if backend.threads is not None:
                    _limit_threads(backend.threads)
                work = task.start(backend.devices[0])
            yield work(job)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


# --- processes ---


def _in_processes(task: Task[Job, Result], jobs: Iterable[Job], backend: Backend) -> Generator[Result, None, None]:
    left = iter(jobs)
    first = list(islice(left, backend.workers))
    if not first:
        return
    context, threads = get_context("spawn"), backend.threads or 1
    places = context.SimpleQueue()
    for number in range(len(first)):
        places.put(backend.devices[number % len(backend.devices)])
    ends, end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(len(first), context, _start_worker, (task, places, threads, ends))
    with started_threads(threads, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), pool:
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
            raise LostWorkerError(
                "a worker was killed (out of memory?): run again, it resumes; or use fewer --workers"
            ) from error
        except KeyboardInterrupt:
            end.close()
            raise


#: Set in each worker: does a job, or says why nothing can be done.
_work: Callable[[Any], Any] | FaceSnapError | None = None


def _start_worker(task: Task[Any, Any], places: Any, threads: int, ends: connection.Connection) -> None:
    global _work
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches everyone: the first process decides
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which would outlive a worker that ends at once
    threading.Thread(target=_end_when_told, args=(ends,), daemon=True).start()
    _limit_threads(threads)
    try:
        _work = task.start(places.get())
    except FaceSnapError as error:  # raised here it would only break the pool
        _work = error
    except Exception as error:
        _work = OutputError(f"a worker can't be started: {one_line(error)}")


def _end_when_told(ends: connection.Connection) -> None:
    """Workers of a process that was killed would wait for their next job for ever. ``ends``: says so while it lives."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel, ends])
        os._exit(1)


def _limit_threads(threads: int) -> None:
    import cv2
    import torch

    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)


def _do(job: Any) -> Any:
    if isinstance(_work, FaceSnapError):
        raise _work
    assert _work is not None
    return _work(job)


# --- Ray ---


class _Row:
    """A worker of Ray Data. A job, its result and the task travel pickled, as a column each (Ray warns of constructor
    arguments, which a restarted worker may miss).
    """

    def __init__(self) -> None:
        self._do: Callable[[Any], Any] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._do is None:
            task, device, threads = pickle.loads(batch["task"][0])
            _limit_threads(threads)
            self._do = task.start(device)
        return {"result": [pickle.dumps(self._do(pickle.loads(job))) for job in batch["job"]]}


class _Actor:
    """A worker on Ray that is given one job after the other; they travel pickled by us, as between processes."""

    def __init__(self, task: bytes, device: str, threads: int) -> None:
        self._task, self._device, self._threads = task, device, threads
        self._do: Callable[[Any], Any] | None = None

    def is_there(self) -> None:
        """Ray has found it a place."""

    def do(self, job: bytes) -> bytes:
        """One job; the first one starts the task, whose errors are then those of a job."""
        if self._do is None:
            _limit_threads(self._threads)
            self._do = pickle.loads(self._task).start(self._device)
        return pickle.dumps(self._do(pickle.loads(job)))


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


def _on_ray_data(task: Task[Job, Result], jobs: Iterable[Job], backend: Backend) -> Generator[Result, None, None]:
    ray, data = require("ray", "ray"), require("ray.data", "ray")
    packed = pickle.dumps((task, backend.devices[0], backend.threads or 1))
    rows = [{"job": pickle.dumps(job), "task": packed} for job in jobs]
    if not rows:
        return
    if not ray.is_initialized():
        _connect(ray, backend)
    data.DataContext.get_current().enable_progress_bars = False
    results = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Row,
        batch_size=1,
        compute=data.ActorPoolStrategy(size=min(backend.workers, len(rows))),
        num_cpus=backend.threads or 1,
        num_gpus=backend.gpus_each,
    )
    try:
        for row in results.iter_rows():
            yield pickle.loads(row["result"])
    except ray.exceptions.RayError as error:
        raise _reason(error) from error


def _on_actors(task: Task[Job, Result], jobs: Iterable[Job], backend: Backend) -> Generator[Result, None, None]:
    ray = require("ray", "ray")
    left = iter(jobs)
    waiting = list(islice(left, 1))
    if not waiting:
        return
    if not ray.is_initialized():
        _connect(ray, backend)
    crew = _crew(ray, task, backend)
    # Who has no place yet gets no job: it would wait there, though others are free.
    coming = {worker.is_there.remote(): worker for worker in crew}
    running: dict[Any, Any] = {}
    deadline = time.monotonic() + PATIENCE
    try:
        while running or waiting:
            finished, _ = ray.wait(
                [*running, *coming], timeout=None if running else max(0, deadline - time.monotonic())
            )
            if not finished:
                raise UsageError(f"Ray has had no room for a worker in {PATIENCE} s: ask for fewer GPUs or threads")
            ref = finished[0]
            worker = coming.pop(ref, None)
            results = [] if worker is not None else [pickle.loads(ray.get(ref))]
            worker = worker or running.pop(ref)
            if waiting:
                running[worker.do.remote(pickle.dumps(waiting.pop()))] = worker
                waiting += islice(left, 1)
            yield from results
    except ray.exceptions.RayError as error:
        raise _reason(error) from error
    finally:
        for worker in crew:
            ray.kill(worker)


def _crew(ray: Any, task: Task[Any, Any], backend: Backend) -> list[Any]:
    """Handles of the workers; Ray finds places for them meanwhile."""
    packed, threads = pickle.dumps(task), backend.threads or 1
    device = backend.devices[0]
    kept = {
        "num_cpus": threads,
        "num_gpus": backend.gpus_each,
        "max_restarts": _RESTARTS,
        "max_task_retries": _RESTARTS,
    }
    actor = ray.remote(_Actor).options(**kept)
    return [actor.remote(packed, device, threads) for _ in range(backend.workers)]


def _connect(ray: Any, backend: Backend) -> None:
    import logging

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    common = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    try:
        if backend.address:
            ray.init(address=backend.address, **common)
        else:
            ray.init(num_cpus=backend.workers * (backend.threads or 1), include_dashboard=False, **common)
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
    kind = OutputError if type(error).__name__.startswith("RayTaskError") else LostWorkerError  # a fault of the job's
    return kind(
        f"a worker on Ray failed: {one_line(Exception(str(error).strip().splitlines()[-1]))}; run again, it resumes"
    )
