"""What runs in a replica of a Ray cluster: a painter of that process, and the way back to who asks.

Errors that are meant for people travel as values: raised, Ray would wrap them in the replica's traceback.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from facesnap.core.errors import FaceSnapError
from facesnap.core.machine import out_of_memory
from facesnap.serving.config import DEFAULT_MODEL, ServeConfig
from facesnap.serving.local import LocalPainter
from facesnap.serving.painter import Order


@dataclass(frozen=True)
class Begun:
    """A replica has the batch: what happens to it from now on may be the batch's fault."""


@dataclass(frozen=True)
class Step:
    """What :meth:`Watch.step` is told."""

    step: int
    steps: int
    previews: Mapping[str, bytes] | None


@dataclass(frozen=True)
class Outcome:
    """What a call came to: its value, or the error that it raised."""

    value: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Replica:
    """One process of a deployment. Paints one batch at a time; looks at photos meanwhile.

    Args:
        config: models, device, watermark, safety checker.
        others: handles of deployments that belong to the same application, so that Ray starts them with this one.
    """

    def __init__(self, config: ServeConfig, *others: Any) -> None:
        del others
        self._painter = LocalPainter(config)
        self._easel = ThreadPoolExecutor(1, "painting")
        # Ready is who has the model. One that can't be loaded is told to who asks for it.
        with suppress(FaceSnapError):
            self._painter.model(DEFAULT_MODEL)

    async def look(self, what: str, *given: Any) -> Outcome:
        """Call the painter's method of that name."""
        return await asyncio.to_thread(_outcome, lambda: getattr(self._painter, what)(*given))

    async def paint(self, orders: Sequence[Order]) -> AsyncIterator[Begun | Step | Outcome]:
        """:class:`Begun`, every :class:`Step`, :class:`Outcome`. A cancelled call stops before its next step."""
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[Step | Outcome] = asyncio.Queue()

        def tell(message: Step | Outcome) -> None:
            with suppress(RuntimeError):  # the loop is closed: the replica is being shut down
                loop.call_soon_threadsafe(news.put_nowait, message)

        watch = _Wire([order.id for order in orders], tell)
        self._easel.submit(lambda: tell(_outcome(lambda: self._painter.paint(orders, watch))))
        try:
            yield Begun()
            while True:
                message = await news.get()
                yield message
                if isinstance(message, Outcome):
                    return
        finally:
            watch.hung_up.set()


class _Wire:
    """A :class:`Watch` whose other end is in another process. ``hung_up``: nobody is there any more."""

    def __init__(self, ids: Collection[str], tell: Callable[[Step], None]) -> None:
        self.hung_up = threading.Event()
        self._ids, self._tell = frozenset(ids), tell

    def step(self, step: int, steps: int, previews: Mapping[str, bytes] | None) -> None:
        """See :class:`Watch`."""
        self._tell(Step(step, steps, previews))

    def stopped(self) -> Collection[str]:
        """See :class:`Watch`."""
        return self._ids if self.hung_up.is_set() else frozenset()


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(call())
    except FaceSnapError as error:
        return Outcome(error=error)
    except Exception as error:
        if out_of_memory(error):
            return Outcome(error=MemoryError("not enough memory"))
        raise
