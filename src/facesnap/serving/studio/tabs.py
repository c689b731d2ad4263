"""Tabs come, are loaded anew, and go. What a tab made is there again when it comes back, and goes when it stays away.

A tab carries a secret of its own in its ``sessionStorage``, which lives as long as the tab does: it survives a reload,
and a restart of the server, but no other tab has it, unless the browser duplicates the tab or opens it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

import gradio as gr

from facesnap.core.errors import FaceSnapError
from facesnap.serving.service import Service
from facesnap.serving.studio.visit import Visit

#: Seconds that a closed tab's job goes on: a tab that is loaded anew is back much sooner.
PATIENCE: Final = 20.0

_KEY: Final = re.compile(r"[0-9a-f]{32}")

#: Run in the browser when the page is there: the tab's secret, drawn by itself when it first comes.
SAY_KEY: Final = """(visit, key) => {
  try {
    key = sessionStorage.getItem("facesnap-visit");
    if (!key) {
      key = [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, "0")).join("");
      sessionStorage.setItem("facesnap-visit", key);
    }
  } catch { key = ""; }
  return [visit, key];
}"""


class Tabs:
    """Which visits are open.

    Args:
        service: that keeps their people and jobs.
        patience: see :data:`PATIENCE`.
    """

    def __init__(self, service: Service, patience: float = PATIENCE) -> None:
        self.service, self.patience = service, patience
        self._lock = threading.Lock()
        self._open: defaultdict[str, set[str]] = defaultdict(set)  # client -> sessions of pages that are open
        self._states: Counter[str] = Counter()  # client -> pages that Gradio remembers, open or closed
        self._clients: dict[str, str] = {}  # session -> client

    def arrive(self, request: gr.Request, visit: Visit, key: str) -> None:
        """A page was opened, or loaded anew. ``key``: what it says, which may be anything."""
        visit.key = key if _KEY.fullmatch(key or "") else secrets.token_hex(16)
        # The key gives access to what the tab made, so what is stored is a hash.
        visit.client = "studio-" + hashlib.sha256(visit.key.encode()).hexdigest()[:16]
        session = str(request.session_hash)
        with self._lock:
            self._open[visit.client].add(session)
            self._clients[session] = visit.client
            self._states[visit.client] += 1

    def leave(self, request: gr.Request) -> None:
        """A page was closed, perhaps to be loaded anew: if it isn't, nobody waits for its jobs any more."""
        with self._lock:
            session = str(request.session_hash)
            client = self._clients.pop(session, "")
            if client:
                self._open[client].discard(session)
        if client:
            timer = threading.Timer(self.patience, self._cancel, [client])
            timer.daemon = True
            timer.start()

    def end(self, visit: Visit) -> None:
        """Gradio forgets a page that was closed long ago. With the last one of a visit, all that it made goes."""
        visit.leave()
        with self._lock:
            self._states[visit.client] -= 1
            last = bool(visit.key) and self._states[visit.client] <= 0
            if last:
                del self._states[visit.client]
                self._open.pop(visit.client, None)
        if last:
            clear(self.service, visit.client)

    def _cancel(self, client: str) -> None:
        with self._lock:
            if self._open.get(client) or self.service.engine.stopping:  # what waits is painted after the next start
                return
        for job in self.service.jobs(client):
            if not job.state.final:
                _do(self.service.cancel, job.id)


def clear(service: Service, client: str) -> None:
    """Delete all jobs with their pictures, and all people, of a client."""
    for job in service.jobs(client):
        _do(service.delete_job, job.id)
    for person in service.identities(client):
        _do(service.delete_identity, person.id)


def _do(work: Callable[[str], object], key: str) -> None:
    with contextlib.suppress(FaceSnapError):  # it has expired, or someone deletes it at the same moment
        work(key)
