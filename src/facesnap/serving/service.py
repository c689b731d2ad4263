"""The service: all that the API and the studio call. Everything blocks, and may be called from any thread."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from facesnap import __version__
from facesnap.core.errors import FaceSnapError, InputError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import png_bytes, write_atomic
from facesnap.serving.config import DEFAULT_MODEL, ServeConfig, first_problem
from facesnap.serving.engine import Engine
from facesnap.serving.local import LocalPainter
from facesnap.serving.painter import Enrolment, Painter
from facesnap.serving.queue import FairQueue
from facesnap.serving.requests import (
    GenerationRequest,
    IdentityInfo,
    JobStatus,
    LoadedModelInfo,
    ModelInfo,
    PoseRequest,
    PreviewRequest,
)
from facesnap.serving.store import Store
from facesnap.serving.uploads import UploadTooLargeError, decode

if TYPE_CHECKING:
    import numpy as np

#: Characters of a person's label.
NAME_CHARS: Final = 80

_CONSENT: Final = (
    "consent is missing: enrol only people who agreed to it, and say so with consent=true (it is written into every"
    " picture of them)"
)


@dataclass(frozen=True)
class Preview:
    """A landmark map as PNG, and the (72, 2) points it shows, in pixels of its ``width`` and ``height``."""

    map: bytes
    landmarks: list[list[float]]
    width: int
    height: int


class Service:
    """People, jobs and results behind the API and the studio.

    Args:
        config: all settings.
        painter: who makes the pictures; None is this process, in a thread.

    Raises:
        UsageError: settings that the models at hand can't follow.
        OutputError: the data folder can't be written.
    """

    def __init__(self, config: ServeConfig, painter: Painter | None = None) -> None:
        self.config = config
        self.painter = painter or LocalPainter(config)
        self.store = Store(config.data, config.expiry)
        limits = config.limits
        self.engine = Engine(self.painter, self.store, FairQueue(limits.queue, limits.queue_per_client), config)
        self._started = time.time()

    def start(self) -> None:
        """Load the default model, take up the queued jobs of the last run, and begin to paint.

        Raises:
            AdapterError: a model is missing or damaged. UsageError: a safety checker is asked for and there is none.
        """
        self.painter.model(DEFAULT_MODEL)
        if self.config.safety_checker:  # every base must have one, and this is when to say so
            for name in self.config.models:
                self.painter.model(name)
        self.engine.start()

    def stop(self, grace: float = 10.0) -> None:
        """Take nothing more, give what runs ``grace`` seconds to finish, then interrupt it. What waits stays queued."""
        self.engine.stop(grace)
        self.painter.close()
        self.store.close()

    def create_identity(
        self,
        photos: Sequence[bytes],
        *,
        face: int | None = None,
        name: str = "",
        consent: bool = False,
        client: str = "",
        model: str = DEFAULT_MODEL,
    ) -> IdentityInfo:
        """Get to know a person from photos (files' bytes); the photos aren't kept.

        Raises:
            UsageError: no consent, no photo or too many, a name of more than 80 characters, no such model or face.
            ImageError, NoFaceError, FaceTooSmallError: a photo can't be used.
        """
        name = _label(name)
        limits = self.config.limits
        if not consent:
            raise UsageError(_CONSENT)
        if not 1 <= len(photos) <= limits.photos:
            raise UsageError(f"{len(photos)} photos given: send from 1 to {limits.photos} of the same person")
        self.painter.model(model)
        seen = [decode(photo, limits) for photo in photos]
        return self.store.add_identity(self.painter.enroll(seen, face, model), name, consent, client, model)

    def import_identity(
        self, data: bytes, *, name: str = "", consent: bool = False, client: str = "", model: str = DEFAULT_MODEL
    ) -> IdentityInfo:
        """The same from an identity file's bytes.

        Raises:
            UsageError: as above. InputError: damaged, too large, or made with other encoders than the model's.
        """
        name = _label(name)
        if not consent:
            raise UsageError(_CONSENT)
        if len(data) > (most := self.config.limits.upload_bytes):
            raise UploadTooLargeError(f"the identity file has {len(data):,} bytes: at most {most:,} are taken")
        identity = self._read_identity(data)
        try:
            self.painter.check(identity, model)
        except FaceSnapError:
            raise
        except (RuntimeError, ValueError) as error:  # arrays of other sizes than their encoders make
            raise InputError("the identity file is damaged: it doesn't fit the encoders that it names") from error
        return self.store.add_identity(Enrolment(identity), name, consent, client, model)

    def identity(self, identity_id: str) -> IdentityInfo:
        """What is known of a person. MissingError without one of that id."""
        return self.store.identity_info(identity_id)

    def identities(self, client: str | None = None) -> list[IdentityInfo]:
        """Everyone that a client brought, the newest first; None is everyone's."""
        return self.store.identities(client)

    def identity_file(self, identity_id: str) -> bytes:
        """The identity file (``*.identity.safetensors``). MissingError without one of that id."""
        return self.store.identity_file(identity_id)

    def delete_identity(self, identity_id: str) -> None:
        """Forget a person for good, and cancel their unfinished jobs. MissingError without one of that id."""
        self.engine.forget_identity(identity_id)

    def preview(self, request: PreviewRequest) -> Preview:
        """The landmark map of a person in a pose.

        Raises:
            MissingError: no such identity. UsageError: a size that can't be. EncoderMismatchError: another model's.
        """
        request.check(self.config.limits)
        person, info = self.store.identity(request.identity), self.painter.model(request.model)
        size = (request.width or info.width, request.height or info.height)
        _check_multiple(size, info)
        pose = person.pose if request.pose is None else request.pose.pose()
        drawn, landmarks = self.painter.preview(person.identity, pose, size, request.model)
        return Preview(png_bytes(drawn), landmarks.round(2).tolist(), *size)

    def pose_from(self, photo: bytes, keep_framing: bool = False) -> PoseRequest:
        """Pose and expression of the largest face of a photo. ImageError, NoFaceError, FaceTooSmallError."""
        pose = self.painter.pose_from(self._decode(photo), keep_framing)
        try:
            return PoseRequest.of(pose)
        except ValidationError as error:
            raise InputError(f"the face's framing can't be taken over: {first_problem(error)}") from None

    def faces(self, photo: bytes) -> list[tuple[float, float, float, float]]:
        """Boxes x0, y0, x1, y1 in pixels of a photo's faces, the largest first. ImageError if it can't be used."""
        return self.painter.faces(self._decode(photo))

    def compare(self, first: bytes, second: bytes) -> dict[str, Any]:
        """``likeness`` of two photos' largest faces in [-1, 1], and the ``judge``. Errors as :meth:`pose_from`."""
        return self.painter.compare(self._decode(first), self._decode(second))

    def submit(self, request: GenerationRequest, client: str = "") -> JobStatus:
        """Put a job into the queue.

        Raises:
            UsageError: more than the limits allow (named), a size or model that can't be.
            MissingError: no such identity. BusyError: the queue is full, or the server stops.
        """
        request.check(self.config.limits)
        info = self.painter.model(request.model)
        _check_multiple((request.width or info.width, request.height or info.height), info)
        if request.pose is not None and not info.has_pose:
            raise UsageError(f"model {info.name} follows no pose: leave it out")
        if request.speed != "exact" and not info.has_pose:
            raise UsageError(f"model {info.name} has no FFRNet, and nothing to save: leave out speed")
        self.store.identity_info(request.identity)
        first = secrets.randbelow(2**31) if request.seed is None else request.seed
        return self.engine.submit(request, range(first, first + request.num_images), client)

    def job(self, job_id: str) -> JobStatus:
        """Where a job is. MissingError without one of that id."""
        return self.engine.status(job_id)

    def jobs(self, client: str | None = None) -> list[JobStatus]:
        """A client's jobs, the newest first; None is everyone's."""
        return self.engine.jobs(client)

    def cancel(self, job_id: str) -> JobStatus:
        """Stop a job before its next step; a finished one stays as it is. MissingError without one of that id."""
        return self.engine.cancel(job_id)

    def delete_job(self, job_id: str) -> None:
        """Cancel a job if it isn't finished, and delete it with its pictures. MissingError without one of that id."""
        self.engine.delete(job_id)

    def picture(self, job_id: str, index: int) -> bytes:
        """A finished job's picture as PNG, from 0. MissingError without such a job or picture."""
        return self.store.picture(job_id, index)

    def wait(self, job_id: str, seq: int = 0, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Events of a job after number ``seq``, as soon as there are any; empty after ``timeout`` seconds.

        An event has ``seq``, ``state``, ``step``, ``steps`` and ``preview`` (a JPEG in base64, or None). Old ones may
        be left out; after the one with a final state there are no more. MissingError without a job of that id.
        """
        return self.engine.wait(job_id, seq, timeout)

    def models(self) -> list[ModelInfo]:
        """Every model, the default one first; of one that isn't loaded, only what the settings say."""
        return self.painter.models()

    def model(self, name: str) -> LoadedModelInfo:
        """All about one of them, which is loaded if it isn't yet. UsageError for a name that isn't known."""
        return self.painter.model(name)

    def health(self) -> dict[str, Any]:
        """``status`` (``ok`` or ``stopping``), ``version``, ``uptime`` in seconds, ``queue`` and ``running`` (jobs),
        ``jobs`` (state -> count), ``identities`` (count), ``result_bytes``.
        """
        return {
            "status": "stopping" if self.engine.stopping else "ok",
            "version": __version__,
            "uptime": round(time.time() - self._started, 3),
            "queue": len(self.engine.queue),
            "running": self.engine.running,
            **self.store.counts(),
        }

    def on_finish(self, listener: Callable[[JobStatus], None]) -> None:
        """Call a function with every job that reaches a final state; it should be quick, and not raise."""
        self.engine.listeners.append(listener)

    def _decode(self, photo: bytes) -> np.ndarray:
        return decode(photo, self.config.limits)

    def _read_identity(self, data: bytes) -> Identity:
        """An identity file's content. InputError that doesn't tell where on this machine it was read."""
        path = self.config.data / "identities" / f".{secrets.token_hex(8)}.identity.safetensors"  # swept at the start
        write_atomic(path, data)
        try:
            return Identity.load(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "the identity file")) from None
        finally:
            path.unlink(missing_ok=True)


def _label(name: str) -> str:
    """A person's label without what doesn't print. UsageError if it is too long."""
    label = " ".join("".join(char if char.isprintable() else " " for char in name).split())
    if len(label) > NAME_CHARS:
        raise UsageError(f"the name has {len(label)} characters: use at most {NAME_CHARS}")
    return label


def _check_multiple(size: tuple[int, int], info: LoadedModelInfo) -> None:
    """UsageError for a size that the model can't paint."""
    step = info.multiple
    if any(side < 8 * step or side % step for side in size):
        raise UsageError(f"width and height must be multiples of {step}, from {8 * step} on, not {size[0]} x {size[1]}")
