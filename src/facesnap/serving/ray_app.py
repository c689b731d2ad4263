"""The service on a Ray cluster: jobs, people and the API stay in one process, and replicas of Ray Serve paint.

Either ``facesnap serve --ray`` is that process (:class:`Cluster` starts or joins the cluster); or it is a replica of
Ray Serve, too, behind Ray's own HTTP proxy: ``serve run facesnap.serving.ray_app:app`` (:func:`app`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
from pydantic import ValidationError
from ray import serve
from ray.serve.config import AutoscalingConfig

from facesnap.core.errors import BusyError, FaceSnapError, UsageError, one_line
from facesnap.serving.config import MEBI, RaySettings, ServeConfig, first_problem
from facesnap.serving.ray_painter import Handles, RayPainter
from facesnap.serving.ray_replica import Replica

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

LOOKERS: Final = "lookers"
PAINTERS: Final = "painters"

#: Seconds between two looks whether a replica lives: one that died is replaced after the next.
_HEALTH: Final = 2

#: Calls that one looker answers at once; it looks at one photo at a time.
LOOKS: Final = 8

#: Of a cluster that is started here: photos and pictures pass through it, and nothing stays.
_OBJECT_STORE: Final = 256 * MEBI

#: Requests at once that Ray lets through to the service: those that watch a job are open for as long as it takes.
_CONNECTIONS: Final = 512


class Cluster:
    """The replicas of one service, started when they are first needed. Safe for threads.

    Args:
        config: what they load, and the cluster.

    Raises:
        UsageError: settings that Ray doesn't take.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._config, self._settings = config, config.ray or RaySettings()
        most_painters(self._settings)
        self._name = f"facesnap-{hashlib.sha256(str(config.data.resolve()).encode()).hexdigest()[:8]}"
        # Linux ends the processes that Ray starts with the thread that started them: this one lives as long as we do.
        self._thread = ThreadPoolExecutor(1, "ray")
        self._lock = threading.Lock()
        self._handles: Handles | None = None
        self._started = self._closed = False

    def painter(self) -> RayPainter:
        """Whose replicas these are; closing it closes the cluster."""
        return RayPainter(most_painters(self._settings), self.handles, self.close)

    def handles(self) -> Handles:
        """Start what isn't started.

        Raises:
            FaceSnapError: there is no such cluster, or the replicas don't start. BusyError: it is closed.
        """
        if self._handles is not None and not self._closed:
            return self._handles
        with self._lock:
            if self._closed:
                raise BusyError("the server is stopping: try again later", retry_after=30)
            if self._handles is None:
                self._handles = self._thread.submit(self._deploy).result()
            return self._handles

    def close(self) -> None:
        """End the replicas; and the cluster, if it was started here."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._thread.submit(self._end).result()
                self._thread.shutdown()

    def _end(self) -> None:
        if self._started:
            ray.shutdown()
        elif self._handles is not None:
            serve.delete(self._name)

    def _deploy(self) -> Handles:
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            if not ray.is_initialized():
                self._join(self._settings.address) if self._settings.address else self._start()
            serve.start(proxy_location="Disabled")
            lookers, painters = _deployments(self._config)
            serve.run(painters.bind(_plain(self._config), lookers), name=self._name, route_prefix=None)
        except FaceSnapError:
            raise
        except Exception as error:
            raise FaceSnapError(f"the replicas don't start: {one_line(error)}") from error
        return _handles_of(self._name)

    def _start(self) -> None:
        settings = self._settings
        self._started = True
        ray.init(
            # As many as were asked for are started, whether or not each has a core of its own.
            num_cpus=max(os.cpu_count() or 1, int(most_painters(settings) * max(settings.num_cpus, 1))),
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    def _join(self, address: str) -> None:
        try:
            if address != "auto":
                _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"no Ray cluster is at {address}: {one_line(error)}") from error


def app(arguments: Mapping[str, Any]) -> Application:
    """The whole service as an application of Ray Serve: the API and the studio behind Ray's proxy.

    Args:
        arguments: settings as in a file of ``facesnap serve --config``, the table ``ray`` for the replicas; ``names``:
            host names under which the proxy is reached. The token is that of the variable ``FACESNAP_TOKEN``.

    Raises:
        UsageError: a wrong setting, or no token.
    """
    values = dict(arguments)
    names = values.pop("names", [])
    if "token" in values:
        raise UsageError("Ray logs the arguments of its applications: give the token by the variable FACESNAP_TOKEN")
    values["token"] = os.environ.get("FACESNAP_TOKEN")
    if not values["token"]:  # Ray's proxy may listen anywhere
        raise UsageError("give a token that clients must show, by the variable FACESNAP_TOKEN")
    config = ServeConfig.of(values)
    slots = most_painters(config.ray or RaySettings())

    def build() -> FastAPI:
        from facesnap.serving.api import create_app
        from facesnap.serving.service import Service

        here = serve.get_replica_context().app_name
        painter = RayPainter(slots, cache(lambda: _handles_of(here)), lambda: None)
        return create_app(Service(config, painter), config, names)

    lookers, painters = _deployments(config)
    desk = serve.deployment(
        name="desk",
        num_replicas=1,  # SQLite and files are one process' own
        max_ongoing_requests=_CONNECTIONS,
        ray_actor_options={"num_cpus": 0},
        logging_config={"enable_access_log": False},  # its lines would show ?token=
    )(serve.ingress(build)())
    return desk.bind(painters.bind(_plain(config), lookers))


def most_painters(settings: RaySettings) -> int:
    """How many replicas there may be. UsageError for what Ray doesn't take as autoscaling."""
    if settings.autoscaling is None:
        return settings.replicas
    try:
        return AutoscalingConfig.model_validate(settings.autoscaling).max_replicas
    except ValidationError as error:
        raise UsageError(f"setting ray.autoscaling.{first_problem(error)}") from None


def _knock(address: str) -> None:
    """ValueError for what is no ``host:port``, OSError if nobody listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is host:port, or auto")
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _deployments(config: ServeConfig) -> tuple[Application, serve.Deployment]:
    """Who looks, ready to be started; and who paints."""
    settings = config.ray or RaySettings()
    number: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.autoscaling is not None:
        number = {"autoscaling_config": {"target_ongoing_requests": 1, **settings.autoscaling}}
    gpus = _gpus_at_hand(config.device) if settings.num_gpus is None else settings.num_gpus
    painters = serve.deployment(
        name=PAINTERS,
        max_ongoing_requests=1,  # what a busy one can't take waits for whichever is free first
        ray_actor_options={"num_cpus": settings.num_cpus, "num_gpus": gpus},
        health_check_period_s=_HEALTH,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=config.limits.job_seconds,
        **number,
    )(Replica)
    lookers = serve.deployment(
        name=LOOKERS,
        num_replicas=settings.lookers,
        max_ongoing_requests=LOOKS,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=_HEALTH,
        graceful_shutdown_wait_loop_s=0.5,
    )(Replica)
    on_cpu = _plain(config).model_copy(update={"device": "cpu", "dtype": "auto"})
    return lookers.bind(on_cpu), painters


def _gpus_at_hand(device: str) -> float:
    """1 where there is a GPU in the cluster, and it may be used."""
    found = ray.cluster_resources() if ray.is_initialized() else {}  # type: ignore[no-untyped-call]
    return float(device != "cpu" and found.get("GPU", 0) >= 1)


def _plain(config: ServeConfig) -> ServeConfig:
    """What replicas need to know; no secrets."""
    return config.model_copy(update={"host": "127.0.0.1", "token": None, "data": Path(), "ray": None})


def _handles_of(name: str) -> Handles:
    lookers, painters = (serve.get_deployment_handle(each, name) for each in (LOOKERS, PAINTERS))
    # Making the options connects the handle, so that the first batch is counted for autoscaling already.
    return Handles(lookers, painters.options(stream=True))
