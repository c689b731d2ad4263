"""A painter whose every step is in the test's hands, and people who need no photograph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from facesnap.core.identity import Identity
from facesnap.core.images import png_bytes
from facesnap.core.pose import Pose
from facesnap.serving.painter import Enrolment, Order, Painted, Watch
from facesnap.serving.requests import GenerationRequest, JobState, LoadedModelInfo, ModelInfo

SIDE = 64


def person(seed: int = 0, pose: Pose | None = None) -> Enrolment:
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=8)
    identity = Identity(
        vector / np.linalg.norm(vector), rng.normal(size=(3, 12)), rng.normal(size=4), {"face": "tiny@0"}, photos=2
    )
    return Enrolment(identity, pose, np.full(8, 0.25, np.float32), "judge@0")


def request(identity: str = "a" * 16, **values: Any) -> GenerationRequest:
    return GenerationRequest(identity=identity, **{"prompt": "a person", **values})


def png(seed: int = 0, side: int = SIDE) -> bytes:
    return png_bytes(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


class Scripted:
    """Paints noise in ``steps`` steps; ``before`` is called with (order ids, step) before each; it may block."""

    slots = 1

    def __init__(self, steps: int = 4, before: Callable[[list[str], int], None] | None = None) -> None:
        self.steps, self.before = steps, before
        self.batches: list[list[str]] = []
        self.steps_done: list[int] = []
        self.closed = False

    def models(self) -> list[ModelInfo]:
        return [self.model("default")]

    def model(self, name: str) -> LoadedModelInfo:
        return LoadedModelInfo(
            name=name, base="tiny", adapter=None, width=SIDE, height=SIDE, multiple=8, default_steps=self.steps,
            default_guidance=3.0, has_pose=True, hashes={},
        )  # fmt: skip

    def enroll(self, photos: Sequence[np.ndarray], face: int | None, model: str) -> Enrolment:
        del face, model
        return person(len(photos), Pose(yaw=7))

    def faces(self, photo: np.ndarray) -> list[tuple[float, float, float, float]]:
        return [(0.0, 0.0, float(photo.shape[1]), float(photo.shape[0]))]

    def pose_from(self, photo: np.ndarray, keep_framing: bool) -> Pose:
        del photo, keep_framing
        return Pose(yaw=12)

    def preview(
        self, identity: Identity, pose: Pose | None, size: tuple[int, int] | None, model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        del identity, model
        width, height = size or (SIDE, SIDE)
        turned = 0.0 if pose is None else pose.yaw
        return np.zeros((height, width, 3), np.uint8), np.full((72, 2), turned)

    def check(self, identity: Identity, model: str) -> None:
        del identity, model

    def compare(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        return {"likeness": float(np.array_equal(first, second)), "judge": "tiny"}

    def paint(self, orders: Sequence[Order], watch: Watch) -> list[Painted]:
        ids = [order.id for order in orders]
        self.batches.append(ids)
        for step in range(self.steps):
            if set(ids) <= set(watch.stopped()):
                return []
            if self.before is not None:
                self.before(ids, step)
            self.steps_done.append(step)
            watch.step(step + 1, self.steps, dict.fromkeys(ids, b"jpeg"))
        if set(ids) <= set(watch.stopped()):
            return []
        return [Painted(o.id, tuple(map(png, o.seeds)), o.seeds, tuple({"seed": s} for s in o.seeds)) for o in orders]

    def close(self) -> None:
        self.closed = True


class Gate:
    """Holds a painter before its steps until the test lets it go on."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, ids: list[str], step: int) -> None:
        del ids, step
        self.reached.set()
        assert self.open.wait(20), "nobody opened the gate"


def finished(engine: Any, job_id: str, seconds: float = 20.0) -> Any:
    """Wait for a job's end by its events, as clients do."""
    seq = 0
    while True:
        events: list[Mapping[str, Any]] = engine.wait(job_id, seq, seconds)
        assert events, f"nothing happened to {job_id} for {seconds} s"
        seq = events[-1]["seq"]
        if JobState(events[-1]["state"]).final:
            return engine.store.job(job_id)
