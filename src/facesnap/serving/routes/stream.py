"""A job's events as server-sent events (the EventSource of browsers)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from anyio import to_thread

from facesnap.core.errors import BusyError, MissingError
from facesnap.serving.requests import JobState
from facesnap.serving.routes.common import Desk, Phase

MEDIA_TYPE: Final = "text/event-stream"

#: An event, as a schema.
EVENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["progress", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}

#: Seconds: how long a thread waits for an event before it looks whether the client is still there; and how long nothing
#: may be sent, before a comment tells proxies that the stream lives.
TURN: Final = 0.5
HEARTBEAT: Final = 15.0


class Stream:
    """Events of one job for one client.

    Args:
        desk: where the service is.
        job_id: of the job.
        last_event_id: as the client got it, ``RUN-NUMBER``; one of an earlier run of the service counts as none.
    """

    def __init__(self, desk: Desk, job_id: str, last_event_id: str | None) -> None:
        self.desk, self.job_id = desk, job_id
        run, _, number = (last_event_id or "").partition("-")
        self.seen = int(number) if run == desk.run and number.isascii() and number[:9].isdecimal() else 0

    async def seen_to_the_end(self) -> bool:
        """Whether the client has had the last event of a finished job.

        Raises:
            MissingError: there is no such job.
            BusyError: too many streams are open.
        """
        if self.desk.streams.available_tokens < 1:
            raise BusyError("too many event streams are open: ask for the job's state instead")
        job = await to_thread.run_sync(self.desk.service.job, self.job_id)
        if self.seen == 0:
            return False
        known = await to_thread.run_sync(self.desk.service.wait, self.job_id, 0, 0.0)
        newest = max((event["seq"] for event in known), default=0)
        if self.seen > newest:  # a number from nowhere
            self.seen = newest
        return job.state.final and self.seen == newest

    async def lines(self) -> AsyncIterator[str]:
        """The stream, in pieces; it ends with the job, or when the service stops (clients then come again)."""
        yield "retry: 2000\n\n"
        spoken = time.monotonic()
        while self.desk.phase is not Phase.stopping:
            try:
                events = await self._wait(TURN)
            except MissingError:  # deleted while somebody watched
                yield _event("end", None, {"state": JobState.cancelled.value, "error": "the job was deleted"})
                return
            for event in events:
                self.seen = event["seq"]
                final = JobState(event["state"]).final
                yield _event("end" if final else "progress", f"{self.desk.run}-{self.seen}", await self._told(event))
                if final:
                    return
            if events:
                spoken = time.monotonic()
            elif time.monotonic() - spoken >= HEARTBEAT:
                spoken = time.monotonic()
                yield ": still here\n\n"

    async def _wait(self, seconds: float) -> list[dict[str, Any]]:
        wait = self.desk.service.wait
        return await to_thread.run_sync(wait, self.job_id, self.seen, seconds, limiter=self.desk.streams)

    async def _told(self, event: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: event[name] for name in ("state", "step", "steps", "preview")}
        if event["state"] in (JobState.failed, JobState.interrupted):
            told["error"] = (await to_thread.run_sync(self.desk.service.job, self.job_id)).error
        return told


def _event(name: str, number: str | None, told: Mapping[str, Any]) -> str:
    plain = {"state": None, "step": 0, "steps": 0, "preview": None, "error": None, **told}
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {json.dumps(plain, separators=(',', ':'))}\n\n"
