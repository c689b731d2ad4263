"""The engine: takes jobs from the queue, has them painted, keeps what comes of it, and tells who watches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from facesnap.core.errors import BusyError, FaceSnapError, MissingError, OutputError
from facesnap.core.machine import out_of_memory
from facesnap.serving.config import ServeConfig
from facesnap.serving.events import Events
from facesnap.serving.painter import Order, Painted, Painter
from facesnap.serving.queue import FairQueue, Ticket
from facesnap.serving.requests import GenerationRequest, JobState, JobStatus
from facesnap.serving.store import Store
from facesnap.serving.watch import BatchWatch

NO_MEMORY: Final = "not enough memory: ask for fewer or smaller pictures"
INTERNAL: Final = "internal error: the server's log says more"
STOPPED: Final = "the server stopped while it ran: ask again"
NOT_KEPT: Final = "the server can't keep the pictures: its disk may be full"

#: Seconds between two looks for what has expired, if nothing finishes meanwhile.
HOUSEKEEPING: Final = 60.0

#: Seconds that an interrupted batch is given to notice it: about one step.
_ABORT: Final = 30.0

logger = logging.getLogger(__name__)


class Engine:
    """Runs jobs in threads of its own. Safe for threads.

    Args:
        painter: makes the pictures; as many batches at once as it has slots.
        store: keeps jobs and pictures.
        queue: whose turn it is.
        config: limits.
        clock: seconds, from anywhere; measures how long a job takes.
    """

    def __init__(
        self,
        painter: Painter,
        store: Store,
        queue: FairQueue,
        config: ServeConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.painter, self.store, self.queue, self.config = painter, store, queue, config
        self.events = Events()
        self.listeners: list[Callable[[JobStatus], None]] = []
        self._clock = clock
        self._running: dict[str, BatchWatch] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._tidy = threading.Event()
        self._threads: list[threading.Thread] = []
        for job in self.store.recover():  # before anybody can add to the folder
            self.events.add(job.id, JobState.queued)
            self.queue.put(_ticket(job), force=True)

    def start(self) -> None:
        """Begin, with what the last run left first."""
        loops = [self._dispatch] * self.painter.slots + [self._keep_house]
        for number, loop in enumerate(loops):
            thread = threading.Thread(target=loop, name=f"facesnap-engine-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)  # not before: who stops us meanwhile can't join a thread that hasn't begun

    def stop(self, grace: float) -> None:
        """Take nothing more, give what runs ``grace`` seconds, then interrupt it. What waits stays queued."""
        self._stopping.set()
        self.queue.close()
        self._tidy.set()
        self._join(grace)
        with self._lock:
            for watch in self._running.values():
                watch.abort()
        self._join(_ABORT)
        with self._lock:
            stuck = list(self._running)
        for job in stuck:  # in a step that doesn't end: the process won't wait for its thread
            self._end(job, JobState.interrupted, STOPPED)

    def submit(self, request: GenerationRequest, seeds: Sequence[int], client: str) -> JobStatus:
        """Queue a job. BusyError if the queue is full, or the engine stops."""
        if self._stopping.is_set():
            raise BusyError("the server is stopping: try again later", retry_after=30)
        job = self.store.add_job(request, seeds, client)
        self.events.add(job.id, JobState.queued)
        try:
            self.queue.put(_ticket(job))
        except BusyError:
            self.delete(job.id)
            raise
        return self.status(job.id)

    def status(self, job_id: str) -> JobStatus:
        """Where a job is, with its place in the queue. MissingError without one of that id."""
        return self._placed(self.store.job(job_id), self.queue.order())

    def jobs(self, client: str | None) -> list[JobStatus]:
        """Those of a client, or everyone's, the newest first."""
        order = self.queue.order()
        return [self._placed(job, order) for job in self.store.jobs(client)]

    def cancel(self, job_id: str) -> JobStatus:
        """Stop a job before its next step; what is finished stays as it is. MissingError without one of that id."""
        self.store.job(job_id)
        self.queue.remove(job_id)
        with self._lock:
            watch = self._running.get(job_id)
        if watch is not None:
            watch.cancel(job_id)
        self._end(job_id, JobState.cancelled)
        return self.status(job_id)

    def delete(self, job_id: str) -> None:
        """Cancel a job if it isn't finished, and forget it with its pictures. MissingError without one of that id."""
        self.cancel(job_id)
        self.store.delete_job(job_id)
        self.events.drop(job_id)

    def wait(self, job_id: str, seq: int, timeout: float) -> list[dict[str, Any]]:
        """Events of a job after number ``seq``, see :class:`Events`; empty after ``timeout`` seconds.

        Raises:
            MissingError: no such job, or it is deleted meanwhile.
        """
        found = self.events.wait(job_id, seq, timeout)
        if found is not None:
            return found
        job = self.store.job(job_id)  # finished so long ago that only the store knows
        return [{"seq": seq + 1, "state": job.state.value, "step": job.step, "steps": job.steps, "preview": None}]

    @property
    def running(self) -> int:
        """How many jobs are being painted."""
        with self._lock:
            return len(self._running)

    @property
    def stopping(self) -> bool:
        """Whether it takes nothing more."""
        return self._stopping.is_set()

    # --- one batch ---

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            tickets = self.queue.take(self.config.limits.batch)
            if tickets:
                self._run([ticket.id for ticket in tickets])

    def _run(self, jobs: Sequence[str]) -> None:
        watch = BatchWatch(jobs, self.config.limits.job_seconds, self._progress, self._clock)
        with self._lock:
            self._running.update(dict.fromkeys(jobs, watch))
        try:
            orders = [order for order in map(self._order, jobs) if order is not None]
            if orders:
                self._paint(orders, watch)
        except Exception:  # whatever happens to a batch, the next one is painted
            logger.exception("a batch failed")
            self._give_up(jobs)
        finally:
            with self._lock:
                for job in jobs:
                    del self._running[job]
            self._forget_deleted(jobs)
            self._tidy.set()

    def _forget_deleted(self, jobs: Sequence[str]) -> None:
        """Drop what was told of jobs at the moment in which they were deleted."""
        for job in jobs:
            try:
                self.store.job(job)
            except MissingError:
                self.events.drop(job)
            except Exception:
                logger.exception("job %s can't be looked up", job)

    def _give_up(self, jobs: Sequence[str]) -> None:
        """End what is left of a batch; where not even that can be kept, who watches is told."""
        for job in jobs:
            try:
                self._end(job, JobState.failed, INTERNAL)
            except Exception:
                logger.exception("the end of job %s can't be kept", job)
                self.events.add(job, JobState.failed)

    def _order(self, job_id: str) -> Order | None:
        """A job that runs from now on; None if it was cancelled, or its person is gone."""
        if not self.store.start(job_id):
            return None
        try:
            job = self.store.job(job_id)
            person, info = self.store.identity(job.request.identity), self.store.identity_info(job.request.identity)
        except MissingError as error:
            self._end(job_id, JobState.failed, str(error))
            return None
        self.events.add(job_id, JobState.running)
        return Order(job_id, person, job.request, tuple(job.seeds), info.consent)

    def _paint(self, orders: Sequence[Order], watch: BatchWatch) -> None:
        """Paint and keep; where a batch fails, each job is tried by itself, so that only those fail that must."""
        try:
            painted = self.painter.paint(orders, watch)
        except Exception as error:
            reason = _reason(error)
        else:
            self._keep(orders, painted, watch)
            return
        if len(orders) == 1:
            self._end(orders[0].id, JobState.failed, reason)
            return
        for order in orders:
            watch.restart()
            self._paint([order], watch)

    def _keep(self, orders: Sequence[Order], painted: Sequence[Painted], watch: BatchWatch) -> None:
        made = {each.id: each for each in painted}
        for order in orders:
            if order.id not in made:
                self._end_unpainted(order.id, watch)
            elif (error := made[order.id].error) is not None:
                self._end(order.id, JobState.failed, error)
            else:
                self._finish(made[order.id])

    def _finish(self, painted: Painted) -> None:
        try:
            if self.store.finish(painted.id, painted.pictures, painted.reports):
                self._tell_end(painted.id)
        except OutputError as error:
            logger.error("job %s: %s", painted.id, error)
            self._end(painted.id, JobState.failed, NOT_KEPT)

    def _end_unpainted(self, job_id: str, watch: BatchWatch) -> None:
        if watch.aborted:
            self._end(job_id, JobState.interrupted, STOPPED)
        elif watch.late:
            most = self.config.limits.job_seconds
            late = f"it took longer than the {most:g} seconds that this server allows: ask for fewer pictures or steps"
            self._end(job_id, JobState.failed, late)
        else:  # it was cancelled and has ended already, or the painter forgot it
            self._end(job_id, JobState.failed, INTERNAL)

    def _end(self, job_id: str, state: JobState, error: str | None = None) -> None:
        """End a job that hasn't ended yet."""
        if self.store.end(job_id, state, error):
            self._tell_end(job_id)

    def _tell_end(self, job_id: str) -> None:
        try:
            job = self.store.job(job_id)
        except MissingError:  # it was deleted at this moment
            self.events.drop(job_id)
            return
        self.events.add(job_id, job.state, job.step, job.steps)
        for listener in self.listeners:
            try:
                listener(job)
            except Exception:  # who counts jobs must not lose them
                logger.exception("a listener failed")

    def _progress(self, job_id: str, step: int, steps: int, preview: bytes | None) -> None:
        self.store.progress(job_id, step, steps)
        self.events.add(job_id, JobState.running, step, steps, preview)

    # --- besides ---

    def forget_identity(self, identity_id: str) -> None:
        """Delete a person for good, and cancel their unfinished jobs. MissingError without one of that id."""
        for job in self.store.delete_identity(identity_id):
            self.queue.remove(job)
            with self._lock:
                watch = self._running.get(job)
            if watch is not None:
                watch.cancel(job)
            self._tell_end(job)

    def _keep_house(self) -> None:
        while not self._stopping.is_set():
            self._tidy.wait(HOUSEKEEPING)
            self._tidy.clear()
            try:
                for job in self.store.expire():
                    self.events.drop(job)
            except Exception:
                logger.exception("housekeeping failed")

    def _placed(self, job: JobStatus, order: Sequence[str]) -> JobStatus:
        return job.model_copy(update={"position": order.index(job.id)}) if job.id in order else job

    def _join(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))


def _ticket(job: JobStatus) -> Ticket:
    return Ticket(job.id, job.client, job.request.shared_key(), len(job.seeds))


def _reason(error: Exception) -> str:
    """What a job's client is told of an error; the whole of it goes to the log alone."""
    if out_of_memory(error):
        logger.warning("out of memory: %s", type(error).__name__)
        return NO_MEMORY
    if isinstance(error, FaceSnapError):
        return str(error)
    logger.exception("painting failed", exc_info=error)
    return INTERNAL
