"""A painter whose replicas are elsewhere in a Ray cluster."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ray import exceptions
from ray.serve.exceptions import ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from facesnap.core.errors import BusyError, FaceSnapError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.serving.painter import Enrolment, Order, Painted, Watch
from facesnap.serving.ray_replica import Begun, Outcome, Step
from facesnap.serving.requests import LoadedModelInfo, ModelInfo

#: Seconds that looking may take, and loading a model.
LOOKING: Final = 60.0
LOADING: Final = 900.0

#: Seconds between two looks whether a batch is still wanted, where nothing comes from its replica.
_GLANCE: Final = 0.2

#: Replicas that are gone already when they are given a batch, before it fails; that die of one look, or were gone;
#: and seconds between two of them.
MISSES: Final = 20
LOOKS: Final = 4
_PAUSE: Final = 0.5

#: What is raised where a replica, or the machine it is on, is gone.
_GONE: Final = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    ReplicaUnavailableError,
)

Message = Begun | Step | Outcome


@dataclass(frozen=True)
class Handles:
    """The deployments of :class:`~facesnap.serving.ray_replica.Replica`: who looks, and who paints (in streams)."""

    lookers: DeploymentHandle[Any]
    painters: DeploymentHandle[Any]


class RayPainter:
    """Hands everything on to replicas; holds no model itself.

    Args:
        slots: as many batches as may be painted at once; those beyond the replicas at hand wait for more of them.
        connect: called before every call; cheap but for the first time.
        disconnect: called when all is done.
    """

    def __init__(self, slots: int, connect: Callable[[], Handles], disconnect: Callable[[], None]) -> None:
        self._slots, self._connect, self._disconnect = slots, connect, disconnect
        self._known: dict[str, LoadedModelInfo] = {}

    @property
    def slots(self) -> int:
        """See :class:`Painter`."""
        return self._slots

    def models(self) -> list[ModelInfo]:
        """See :class:`Painter`."""
        found: list[ModelInfo] = self._look("models")
        self._known.update({each.name: each for each in found if isinstance(each, LoadedModelInfo)})
        # Each replica loads what it is asked for: what another one said counts, too.
        return [self._known.get(each.name, each) for each in found]

    def model(self, name: str) -> LoadedModelInfo:
        """See :class:`Painter`."""
        if name not in self._known:
            self._known[name] = self._look("model", name, seconds=LOADING)
        return self._known[name]

    def enroll(self, photos: Sequence[np.ndarray], face: int | None, model: str) -> Enrolment:
        """See :class:`Painter`."""
        found: Enrolment = self._look("enroll", list(photos), face, model)
        return found

    def faces(self, photo: np.ndarray) -> list[tuple[float, float, float, float]]:
        """See :class:`Painter`."""
        found: list[tuple[float, float, float, float]] = self._look("faces", photo)
        return found

    def pose_from(self, photo: np.ndarray, keep_framing: bool) -> Pose:
        """See :class:`Painter`."""
        found: Pose = self._look("pose_from", photo, keep_framing)
        return found

    def preview(
        self, identity: Identity, pose: Pose | None, size: tuple[int, int] | None, model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Painter`."""
        found: tuple[np.ndarray, np.ndarray] = self._look("preview", identity, pose, size, model)
        return found

    def check(self, identity: Identity, model: str) -> None:
        """See :class:`Painter`."""
        self._look("check", identity, model)

    def compare(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        """See :class:`Painter`."""
        found: dict[str, Any] = self._look("compare", first, second)
        return found

    def paint(self, orders: Sequence[Order], watch: Watch) -> list[Painted]:
        """See :class:`Painter`. A job whose replica dies is painted once more by another.

        Of a batch it isn't known whose fault it was: the engine gives each of its jobs again, by itself.
        """
        lost = missed = 0
        while True:
            begun = threading.Event()
            try:
                return self._paint(orders, watch, begun)
            except exceptions.OutOfMemoryError:  # the machine's, of which Ray took some back by ending the replica
                raise MemoryError("not enough memory for this batch") from None
            except _GONE as error:
                lost += begun.is_set()
                missed += not begun.is_set()
                if lost > (len(orders) == 1) or missed > MISSES:
                    raise FaceSnapError("the replica that painted it was lost: ask again") from error
            if not begun.is_set():  # its death hasn't got around yet
                time.sleep(_PAUSE)

    def close(self) -> None:
        """See :class:`Painter`."""
        self._disconnect()

    def _look(self, what: str, *given: Any, seconds: float = LOOKING) -> Any:
        """Call a method of a replica that looks; of another one, if it dies.

        Raises:
            BusyError: there is no answer within ``seconds``, or there are no replicas now. Whatever the method raises.
        """
        for _ in range(LOOKS):
            try:
                outcome: Outcome = self._connect().lookers.look.remote(what, *given).result(timeout_s=seconds)
            except TimeoutError:
                break
            except _GONE:
                time.sleep(_PAUSE)
                continue
            return outcome.get()
        raise BusyError("none of the cluster's replicas answers: try again in a while") from None

    def _paint(self, orders: Sequence[Order], watch: Watch, begun: threading.Event) -> list[Painted]:
        ids = {order.id for order in orders}
        stream = self._connect().painters.paint.remote(list(orders))
        inbox: queue.SimpleQueue[Message | BaseException] = queue.SimpleQueue()
        # Reading blocks for as long as a step takes, or until there is a replica; cancelling can't wait for that.
        threading.Thread(target=_read, args=(stream, inbox), name="facesnap-ray-stream", daemon=True).start()
        while True:
            if ids <= set(watch.stopped()):
                stream.cancel()  # type: ignore[no-untyped-call]
                return []
            try:
                message = inbox.get(timeout=_GLANCE)
            except queue.Empty:
                continue
            if isinstance(message, Step):
                watch.step(message.step, message.steps, message.previews)
            elif isinstance(message, Begun):
                begun.set()
            elif isinstance(message, Outcome):
                painted: list[Painted] = message.get()
                return painted
            else:
                raise message


def _read(stream: Any, inbox: queue.SimpleQueue[Message | BaseException]) -> None:
    try:
        for message in stream:
            inbox.put(message)
        inbox.put(exceptions.WorkerCrashedError())  # after an outcome nobody reads it; without one, it's true
    except BaseException as error:  # asyncio's CancelledError is none of the others
        inbox.put(error)
