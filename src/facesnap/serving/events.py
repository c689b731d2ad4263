"""What happens to jobs, for those who watch: a short memory per job, and waiting for news."""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict, deque
from typing import Any, Final

from facesnap.serving.requests import JobState

#: Events kept of a running job; who was away for longer misses some steps.
RING: Final = 64

#: Finished jobs whose last event is kept; those of older ones are told from the store.
FINISHED: Final = 256


class Events:
    """Events of jobs, numbered from 1 each. Safe for threads.

    An event: ``seq``, ``state``, ``step``, ``steps``, ``preview`` (a JPEG in base64, or None). Only the newest keeps
    its preview, and a finished job keeps only its last event, so that memory stays flat.
    """

    def __init__(self) -> None:
        self._rings: dict[str, deque[dict[str, Any]]] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._news = threading.Condition()

    def add(self, job_id: str, state: JobState, step: int = 0, steps: int = 0, preview: bytes | None = None) -> None:
        """Tell something of a job; nothing follows its final state."""
        with self._news:
            ring = self._rings.setdefault(job_id, deque(maxlen=RING))
            last: dict[str, Any] = ring[-1] if ring else {"seq": 0, "state": JobState.queued.value}
            if JobState(last["state"]).final:
                return
            if ring:
                ring[-1] = {**last, "preview": None}
            if state.final:
                ring.clear()
                self._keep_last_of(job_id)
            shown = None if preview is None else base64.b64encode(preview).decode()
            ring.append({"seq": last["seq"] + 1, "state": state.value, "step": step, "steps": steps, "preview": shown})
            self._news.notify_all()

    def since(self, job_id: str, seq: int) -> list[dict[str, Any]] | None:
        """Events after number ``seq``, the oldest first; None for a job of which nothing is remembered."""
        with self._news:
            return self._since(job_id, seq)

    def wait(self, job_id: str, seq: int, timeout: float) -> list[dict[str, Any]] | None:
        """The same, as soon as there are any; empty after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        with self._news:
            while True:
                found = self._since(job_id, seq)
                left = end - time.monotonic()
                if found or found is None or left <= 0:
                    return found
                self._news.wait(left)

    def drop(self, job_id: str) -> None:
        """Forget a job; who waits for its news is woken."""
        with self._news:
            self._rings.pop(job_id, None)
            self._finished.pop(job_id, None)
            self._news.notify_all()

    def __len__(self) -> int:
        with self._news:
            return sum(map(len, self._rings.values()))

    def _since(self, job_id: str, seq: int) -> list[dict[str, Any]] | None:
        ring = self._rings.get(job_id)
        return None if ring is None else [event for event in ring if event["seq"] > seq]

    def _keep_last_of(self, job_id: str) -> None:
        self._finished[job_id] = None
        while len(self._finished) > FINISHED:
            oldest, _ = self._finished.popitem(last=False)
            self._rings.pop(oldest, None)
