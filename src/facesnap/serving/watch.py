"""What the engine knows of a batch that is being painted: who is wanted no more, and why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping


class BatchWatch:
    """The engine's side of a :class:`~facesnap.serving.painter.Watch`. Safe for threads.

    Args:
        ids: of the batch.
        seconds: how long it may take.
        tell: called with (id, step, steps, preview) for every job that is still wanted.
        clock: seconds, from anywhere.
    """

    def __init__(
        self,
        ids: Collection[str],
        seconds: float,
        tell: Callable[[str, int, int, bytes | None], None],
        clock: Callable[[], float],
    ) -> None:
        self.ids = frozenset(ids)
        self.late, self.aborted = False, False
        self._seconds, self._tell, self._clock = seconds, tell, clock
        self._end = clock() + seconds
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()

    def step(self, step: int, steps: int, previews: Mapping[str, bytes] | None) -> None:
        """See :class:`Watch`."""
        for job in sorted(self.ids - set(self.stopped())):
            if previews is None or job in previews:  # of a batch that is painted one by one, only that one
                self._tell(job, step, steps, None if previews is None else previews[job])

    def stopped(self) -> Collection[str]:
        """See :class:`Watch`."""
        with self._lock:
            self.late = self.late or self._clock() > self._end
            return self.ids if self.late or self.aborted else frozenset(self._cancelled)

    def cancel(self, job: str) -> None:
        """One of them is wanted no more."""
        with self._lock:
            self._cancelled.add(job)

    def abort(self) -> None:
        """None of them is: the server stops."""
        with self._lock:
            self.aborted = True

    def restart(self) -> None:
        """The time begins anew."""
        with self._lock:
            self.late, self._end = False, self._clock() + self._seconds
