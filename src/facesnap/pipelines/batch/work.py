"""One worker: a model that is loaded once, people and driving photos that are looked at once, batches of portraits."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from facesnap.core.errors import FaceSnapError, one_line
from facesnap.core.images import png_bytes
from facesnap.core.machine import free_memory, out_of_memory
from facesnap.core.pose import Pose
from facesnap.pipelines.batch.jobs import Shared
from facesnap.pipelines.batch.looking import Files, Looker
from facesnap.pipelines.batch.plan import STAMP
from facesnap.pipelines.loading.choice import ModelChoice

if TYPE_CHECKING:
    from facesnap.pipelines.call.result import Result
    from facesnap.pipelines.facade import FaceSnap
    from facesnap.pipelines.passes.many import Portrait


@dataclass(frozen=True)
class Order:
    """One portrait as a worker needs it; files are named by their prints, which are keys of :attr:`Batch.files`.

    Attributes:
        number: which of the plan's.
        settings: its hash, written into the picture.
        person: photos, or an identity file.
        known: whether it is the latter.
        pose: a pose, the print of a driving photo, or None.
        prompt: what it shows. ``negative_prompt``: what not. ``seed``: of its noise.
    """

    number: int
    settings: str
    person: tuple[str, ...]
    known: bool
    pose: Pose | str | None
    prompt: str
    negative_prompt: str
    seed: int


@dataclass(frozen=True)
class Batch:
    """Portraits that are made together. ``files``: print -> name and content, or why there is none."""

    shared: Shared
    orders: tuple[Order, ...]
    files: Files


@dataclass(frozen=True)
class Painted:
    """What became of an order: ``png``, its file with all settings inside; or None, and an ``error`` of one line.

    ``report``: likeness, as plain values. ``seconds``: its share of the batch's time.
    """

    number: int
    png: bytes | None = None
    report: Mapping[str, Any] | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Paint:
    """The task of workers."""

    model: ModelChoice

    def start(self, device: str) -> Painter:
        """Load the model onto a device."""
        snap = self.model.load(device)
        snap.pipeline.set_progress_bar_config(disable=True)
        return Painter(snap)


class Painter:
    """Makes batches. What fails for one portrait fails for it alone."""

    def __init__(self, snap: FaceSnap) -> None:
        self.snap = snap
        self._looker = Looker(snap)
        self._most: dict[Shared, int] = {}

    def __call__(self, batch: Batch) -> list[Painted]:
        """The outcome of every order."""
        from facesnap.pipelines.passes.many import Portrait

        ready: list[tuple[Order, Portrait]] = []
        painted = []
        for order in batch.orders:
            try:
                who = self._looker.person(order.person, order.known, batch.files)
                pose = self._looker.pose(order.pose, batch.files)
            except Exception as error:
                painted.append(_failed(order, error))
            else:
                ready.append((order, Portrait(order.prompt, who, pose, order.negative_prompt, [order.seed])))
        size = self._most.get(batch.shared, len(ready)) or 1
        for start in range(0, len(ready), size):
            painted += self._paint(ready[start : start + size], batch.shared)
        return painted

    def _paint(self, some: Sequence[tuple[Order, Portrait]], shared: Shared) -> list[Painted]:
        """All at once; where that fails, in halves, down to the one that is to blame."""
        try:
            return self._made(some, shared)
        except Exception as error:
            full = out_of_memory(error)
            if len(some) == 1:
                return [_failed(some[0][0], error)]
        # Outside of the handler, whose traceback holds every tensor of the batch.
        half = (len(some) + 1) // 2
        if full:
            free_memory()
            self._most[shared] = min(half, self._most.get(shared, half))
        return self._paint(some[:half], shared) + self._paint(some[half:], shared)

    def _made(self, some: Sequence[tuple[Order, Portrait]], shared: Shared) -> list[Painted]:
        began = time.monotonic()
        given = {name: getattr(shared, name) for name in Shared.__dataclass_fields__ if name != "controls"}
        results = self.snap.many([portrait for _, portrait in some], **given, **asdict(shared.controls))
        painted = [_finished(order, result) for (order, _), result in zip(some, results, strict=True)]
        seconds = round((time.monotonic() - began) / len(some), 3)
        return [Painted(number, png, report, seconds) for number, png, report in painted]


def _finished(order: Order, result: Result) -> tuple[int, bytes, dict[str, Any]]:
    """The picture's file as ``Result.save`` writes it, and beside that its stamp."""
    from facesnap.pipelines.call.result import as_bytes, metadata

    settings = {**result.settings, **result.provenance(), "seed": order.seed}
    (report,) = result.report.to_dicts()
    stamp = json.dumps({"settings": order.settings, "report": report}, sort_keys=True)
    return order.number, png_bytes(as_bytes(result.images[0]), {**metadata(settings), STAMP: stamp}), report


def _failed(order: Order, error: Exception) -> Painted:
    if isinstance(error, FaceSnapError):
        why = " ".join(str(error).split())
    elif out_of_memory(error):
        why = "not enough memory for one picture of this size"
    else:
        why = f"internal error: {type(error).__name__}: {one_line(error)}"
    return Painted(order.number, error=why)
