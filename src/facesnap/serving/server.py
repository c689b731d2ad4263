"""The process around the app: a socket, uvicorn, signals, and connections that don't dawdle."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from facesnap.core.errors import UsageError, one_line
from facesnap.serving.config import ServeConfig
from facesnap.serving.routes.common import Desk, Phase

#: Connections and requests at once; those beyond are told 503.
CONNECTIONS: Final = 512
#: Seconds that open answers get to end when the service stops. The engine has its own grace afterwards.
GOODBYE: Final = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address; port 0 takes a free one.

    Raises:
        UsageError: there is no such address here, the port is taken, or one may not have it.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host}: {one_line(error)}") from None
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is taken: choose another with --port (0 takes a free one)") from None
        raise UsageError(f"can't listen at {host}, port {port}: {one_line(error)}") from None
    return bound


def url_of(config: ServeConfig) -> str:
    """The address to type into a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host.strip("[]"), config.host.strip("[]"))
    return f"http://[{host}]:{config.port}" if ":" in host else f"http://{host}:{config.port}"


class Server(uvicorn.Server):
    """uvicorn that ends event streams when it is told to stop, and stops when the service can't start.

    SIGTERM and Ctrl+C end it as it should be ended; a second Ctrl+C doesn't wait.
    """

    def __init__(self, app: FastAPI, config: ServeConfig) -> None:
        self._desk: Desk = app.state.desk
        self._desk.on_failure = self.stop
        super().__init__(
            uvicorn.Config(
                app,
                http=_hurried(config.limits.request_seconds),
                ws="none",
                log_config=None,
                access_log=False,  # its lines would show ?token=
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=GOODBYE,
            )
        )

    def stop(self) -> None:
        """Take no more requests, end the streams, stop the service. May be called from any thread."""
        if self._desk.phase is not Phase.failed:
            self._desk.phase = Phase.stopping
        self.should_exit = True

    def handle_exit(self, sig: int, frame: Any) -> None:
        """What a signal does."""
        super().handle_exit(sig, frame)
        self.stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; unlike uvicorn's own, don't raise them again afterwards: to be stopped is no failure."""
        if threading.current_thread() is not threading.main_thread():  # who else can't be signalled
            yield
            return
        kept = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in kept.items():
                signal.signal(each, handler)


def _hurried(seconds: float) -> type[H11Protocol]:
    """HTTP/1.1 whose connections are cut when a request's head, or taking an answer, takes longer than ``seconds``.

    (The body is watched by :class:`facesnap.serving.exchange.Exchange`.)
    """

    class Hurried(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _answer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._unset_head()
            elif self._head is None and not self.transport.is_closing():
                self._expect_head()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._answer = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._unset_answer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unset_head()
            self._unset_answer()
            super().connection_lost(exc)

        def _expect_head(self) -> None:
            self._head = self.loop.call_later(seconds, self.transport.abort)

        def _unset_head(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _unset_answer(self) -> None:
            if self._answer is not None:
                self._answer.cancel()
                self._answer = None

    return Hurried
