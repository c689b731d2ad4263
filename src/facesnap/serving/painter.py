"""What makes the pictures, as the engine sees it: here in a thread, or elsewhere behind a handle."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.serving.requests import GenerationRequest, LoadedModelInfo, ModelInfo


@dataclass(frozen=True, eq=False)
class Enrolment:
    """A person as photos showed them, and what an identity file doesn't hold.

    Attributes:
        identity: what the model is conditioned on.
        pose: the first photo's, in the default composition; None for an imported file.
        judged: (D,) float32, the person as the judge of likeness sees them; None without a judge or photos.
        judge: who saw them so, ``name@hash``.
    """

    identity: Identity
    pose: Pose | None = None
    judged: np.ndarray | None = None
    judge: str = ""


@dataclass(frozen=True, eq=False)
class Order:
    """One job as a painter needs it; plain and picklable.

    Attributes:
        id: of the job.
        person: whom to paint.
        request: what was asked for.
        seeds: one per picture.
        consent: whether the person's consent was declared; written into the pictures.
    """

    id: str
    person: Enrolment
    request: GenerationRequest
    seeds: tuple[int, ...]
    consent: bool = False


class Watch(Protocol):
    """What a painter tells while it paints, and asks; called from the painter's thread."""

    def step(self, step: int, steps: int, previews: Mapping[str, bytes] | None) -> None:
        """So many of the denoising steps are done. ``previews``: job id -> small JPEG of its first picture."""

    def stopped(self) -> Collection[str]:
        """Ids of those jobs that are wanted no more."""


@dataclass(frozen=True)
class Painted:
    """What became of one order.

    Attributes:
        id: of the job.
        pictures: PNG files, their settings and the watermark inside.
        seeds: one per picture.
        reports: likeness of each, as plain values.
        error: one line, where there are no pictures to show; None otherwise.
    """

    id: str
    pictures: tuple[bytes, ...]
    seeds: tuple[int, ...]
    reports: tuple[dict[str, Any], ...]
    error: str | None = None


class Painter(Protocol):
    """Loads models, looks at photos, paints. Every method may be called from any thread.

    Errors are FaceSnap's own; a ``model`` that isn't known is a UsageError.
    """

    @property
    def slots(self) -> int:
        """How many batches it paints at once."""

    def models(self) -> list[ModelInfo]:
        """Every model, the default one first, as far as it is known: nothing is loaded for it."""

    def model(self, name: str) -> LoadedModelInfo:
        """One of them; loads it if it isn't loaded yet."""

    def enroll(self, photos: Sequence[np.ndarray], face: int | None, model: str) -> Enrolment:
        """Get to know a person from (H, W, 3) uint8 photos; ``face``: which of each, the largest is 0."""

    def faces(self, photo: np.ndarray) -> list[tuple[float, float, float, float]]:
        """Boxes x0, y0, x1, y1 in pixels of all faces of a photo, the largest first."""

    def pose_from(self, photo: np.ndarray, keep_framing: bool) -> Pose:
        """Pose and expression of the largest face, and its framing if asked for."""

    def preview(
        self, identity: Identity, pose: Pose | None, size: tuple[int, int] | None, model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Landmark map (H, W, 3) uint8 and landmarks (72, 2) in pixels; ``size`` is (width, height)."""

    def check(self, identity: Identity, model: str) -> None:
        """EncoderMismatchError, RuntimeError or ValueError for an identity that a model can't be told of."""

    def compare(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        """``likeness`` of two photos' largest faces in [-1, 1], and the ``judge`` who says so."""

    def paint(self, orders: Sequence[Order], watch: Watch) -> list[Painted]:
        """Paint orders of one :meth:`GenerationRequest.shared_key` at once.

        Orders that were stopped may be missing from the answer. One that can't be painted for a reason of its own has
        an ``error``; what concerns all of them is raised.

        Raises:
            MemoryError: they don't fit; fewer of them, or smaller ones, might.
        """

    def close(self) -> None:
        """Give everything back."""
