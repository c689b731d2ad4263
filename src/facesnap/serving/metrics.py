"""What a monitor reads: Prometheus metrics of requests, jobs and memory, and one log line per request.

Neither holds an address of a client, a token, an id, or anything that was sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facesnap.serving.requests import JobStatus

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Those that are counted by name.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_JOB_SECONDS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_HTTP_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """A registry of its own for one service.

    Args:
        health: what :meth:`Service.health` answers; asked whenever the metrics are read.
    """

    def __init__(self, health: Callable[[], Mapping[str, Any]]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # process_resident_memory_bytes, process_cpu_seconds_total ...
        self.registry.register(_Now(health))
        self.requests = Counter(
            "facesnap_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "facesnap_http_request_seconds",
            "From a request's head to its answer's end.",
            ["route"],
            registry=self.registry,
            buckets=_HTTP_SECONDS,
        )
        self.finished = Counter("facesnap_jobs_finished", "Jobs that ended.", ["state"], registry=self.registry)
        self.pictures = Counter("facesnap_pictures", "Pictures made.", registry=self.registry)
        self.waiting = self._job_seconds("waiting", "From asked to begun.")
        self.painting = self._job_seconds("painting", "From begun to done.")

    def _job_seconds(self, phase: str, what: str) -> Histogram:
        return Histogram(f"facesnap_job_{phase}_seconds", what, registry=self.registry, buckets=_JOB_SECONDS)

    def job_finished(self, job: JobStatus) -> None:
        """Count a job that reached a final state; given to :meth:`Service.on_finish`."""
        self.finished.labels(job.state.value).inc()
        self.pictures.inc(job.pictures)
        if job.started is not None:
            self.waiting.observe(max(0.0, job.started - job.created))
            if job.finished is not None:
                self.painting.observe(max(0.0, job.finished - job.started))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Now(Collector):
    """What is so at the moment, read when it is asked for."""

    def __init__(self, health: Callable[[], Mapping[str, Any]]) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        """Gauges of queue and store."""
        now = self._health()
        yield GaugeMetricFamily("facesnap_queue_length", "Jobs that wait.", now["queue"])
        yield GaugeMetricFamily("facesnap_running_jobs", "Jobs that are painted.", now["running"])
        yield GaugeMetricFamily("facesnap_identities", "People that are kept.", now["identities"])
        yield GaugeMetricFamily("facesnap_result_bytes", "Size of all kept pictures.", now["result_bytes"])
        jobs = GaugeMetricFamily("facesnap_jobs", "Jobs that are kept, by state.", labels=["state"])
        for state, count in now["jobs"].items():
            jobs.add_metric([str(state)], count)
        yield jobs

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask for health."""
        return []


class Observed:
    """ASGI middleware around everything: counts each request, and logs it (INFO) by its route, not its address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and look at its status."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = time.perf_counter()
        try:
            await self.app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - begun
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            route = _route(scope)
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            log.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)


def _route(scope: Scope) -> str:
    """The route's pattern, such as ``/v1/generations/{job_id}``: few values, none of them private."""
    if "route" not in scope:  # refused at the door, or nothing is there
        return "other"
    pattern = str(getattr(scope["route"], "path", ""))
    if pattern.startswith("/v1/{"):
        return "other"
    return pattern if pattern.startswith(("/v1/", "/metrics", "/docs", "/openapi.json")) else "studio"
