"""The service from Python: the same calls over HTTP, with FaceSnap's own errors.

::

    client = Client("http://127.0.0.1:7860")
    me = client.enroll("me.jpg", consent=True)
    client.generate(me, "a pencil sketch of a person", pose={"yaw": 20})[0].save("out.png")
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import httpx

from facesnap.core import errors
from facesnap.core.errors import FaceSnapError, InputError, MissingError, UsageError
from facesnap.core.pose import Pose
from facesnap.serving.config import DEFAULT_MODEL
from facesnap.serving.requests import IdentityInfo, JobState, JobStatus, LoadedModelInfo, ModelInfo, PoseRequest

if TYPE_CHECKING:
    from PIL import Image

    Photo = str | os.PathLike[str] | bytes
    Person = str | IdentityInfo
    PoseLike = Pose | PoseRequest | Mapping[str, Any]

#: Busy answers that are waited for before one is an error, and the longest wait in seconds.
TRIES: Final = 5
LONGEST_WAIT: Final = 30.0

_URN: Final = "urn:facesnap:error:"


class Client:
    """One service. Safe for threads; a context manager that closes its connections.

    Args:
        url: such as ``http://127.0.0.1:7860``.
        token: of the service, if it has one.
        timeout: seconds that an answer may take; a generation takes as long as it takes.
        transport: of httpx, for what isn't reached by a plain connection.

    All methods raise what the service says as the error that a local call would raise (``facesnap.core.errors``):
    UsageError, NoFaceError, MissingError, BusyError ...; FaceSnapError where it can't be reached or refuses the token.
    """

    def __init__(
        self, url: str, token: str | None = None, timeout: float = 90.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        shown = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=shown, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # --- people ---

    def enroll(
        self, *photos: Photo, consent: bool = False, name: str = "", face: int | None = None, model: str = "default"
    ) -> IdentityInfo:
        """Get to know a person from photos (paths, or files' bytes). ``consent``: that they agree; needed."""
        files = [("photos", (f"{i}", _bytes(photo))) for i, photo in enumerate(photos)]
        about = {"name": name, "consent": str(consent).lower(), "model": model}
        about |= {} if face is None else {"face": str(face)}
        return IdentityInfo.model_validate(self._json("POST", "/v1/identities", data=about, files=files))

    def import_identity(
        self, file: Photo, *, consent: bool = False, name: str = "", model: str = "default"
    ) -> IdentityInfo:
        """The same from an identity file."""
        about = {"name": name, "consent": str(consent).lower(), "model": model}
        files = [("file", ("identity", _bytes(file)))]
        return IdentityInfo.model_validate(self._json("POST", "/v1/identities", data=about, files=files))

    def identity(self, identity: Person) -> IdentityInfo:
        """What may be told of a person."""
        return IdentityInfo.model_validate(self._json("GET", f"/v1/identities/{_id(identity)}"))

    def identity_file(self, identity: Person) -> bytes:
        """A person's identity file."""
        return self._ask("GET", f"/v1/identities/{_id(identity)}/file").content

    def forget(self, identity: Person) -> None:
        """Delete a person for good."""
        self._ask("DELETE", f"/v1/identities/{_id(identity)}")

    # --- photos ---

    def faces(self, photo: Photo) -> list[tuple[float, float, float, float]]:
        """Boxes x0, y0, x1, y1 in pixels of a photo's faces, the largest first."""
        found = self._json("POST", "/v1/faces", files={"photo": ("0", _bytes(photo))})["faces"]
        return [(x0, y0, x1, y1) for x0, y0, x1, y1 in found]

    def pose_from(self, photo: Photo, keep_framing: bool = False) -> Pose:
        """Pose and expression of a photo's largest face."""
        asked = {"keep_framing": str(keep_framing).lower()}
        found = self._json("POST", "/v1/poses", data=asked, files={"photo": ("0", _bytes(photo))})
        return PoseRequest.model_validate(found).pose()

    def compare(self, first: Photo, second: Photo) -> dict[str, Any]:
        """``likeness`` in [-1, 1] of two photos' largest faces, and the ``judge``."""
        files = {"first": ("0", _bytes(first)), "second": ("1", _bytes(second))}
        return dict(self._json("POST", "/v1/comparisons", files=files))

    def preview(self, identity: Person, pose: PoseLike | None = None, **size: int) -> Image.Image:
        """The landmark map of a person in a pose; ``size``: ``width`` and ``height`` in pixels."""
        wanted = {"identity": _id(identity), "pose": _pose(pose), **size}
        return _image(self._ask("POST", "/v1/landmarks", json=wanted, headers={"Accept": "image/png"}).content)

    # --- generations ---

    def generate(
        self,
        identity: Person,
        prompt: str,
        *,
        progress: Callable[[dict[str, Any]], None] | None = None,
        output: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> list[Image.Image]:
        """Ask for portraits, wait, and fetch them.

        Args:
            identity: who, as :meth:`enroll` answered, or the id alone.
            prompt: what the portrait shows.
            progress: called with each event (``state``, ``step``, ``steps``, ``preview``).
            output: a folder to save them in, as ``0.png`` and so on, their settings inside.
            settings: all else of a generation: ``pose``, ``seed``, ``num_images``, ``num_inference_steps`` ...

        Raises:
            FaceSnapError: the job failed, or was cancelled.
        """
        job = self.submit(identity, prompt, **settings)
        try:
            for event in self.events(job.id):
                if progress is not None:
                    progress(event)
        except BaseException:  # an interrupt too: nobody waits for the pictures any more
            with suppress(FaceSnapError):
                self.cancel(job.id)
            raise
        job = self.status(job.id)
        if job.state is not JobState.done:
            raise FaceSnapError(job.error or f"the job was {job.state}")
        files = [self.picture(job.id, index) for index in range(job.pictures)]
        if output is not None:
            for index, file in enumerate(files):
                _save(Path(output) / f"{index}.png", file)
        return [_image(file) for file in files]

    def submit(self, identity: Person, prompt: str, **settings: Any) -> JobStatus:
        """Ask for portraits and don't wait; BusyError if the queue stays full."""
        if "pose" in settings:
            settings["pose"] = _pose(settings["pose"])
        wanted = {"identity": _id(identity), "prompt": prompt, **settings}
        return JobStatus.model_validate(self._json("POST", "/v1/generations", json=wanted))

    def status(self, job_id: str) -> JobStatus:
        """Where a job is."""
        return JobStatus.model_validate(self._json("GET", f"/v1/generations/{job_id}"))

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """Everything that happens to a job, until it ends; a connection that breaks is taken up again."""
        last, failures = "", 0
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                with self._http.stream("GET", f"/v1/generations/{job_id}/events", headers=headers) as answer:
                    if answer.is_error:
                        answer.read()
                        raise _error(answer)
                    if answer.status_code == 204:
                        return
                    for number, name, data in _events(answer.iter_lines()):
                        last, failures = number or last, 0
                        yield json.loads(data)
                        if name == "end":
                            return
            except httpx.TransportError as error:
                failures += 1
                if failures >= TRIES:
                    raise _unreachable(error) from None
            time.sleep(0.2 * 2**failures)

    def cancel(self, job_id: str) -> JobStatus:
        """Stop a job before its next step."""
        return JobStatus.model_validate(self._json("POST", f"/v1/generations/{job_id}/cancel"))

    def picture(self, job_id: str, index: int = 0) -> bytes:
        """A finished picture, as PNG."""
        return self._ask("GET", f"/v1/generations/{job_id}/pictures/{index}").content

    def delete(self, job_id: str) -> None:
        """Delete a job and its pictures for good."""
        self._ask("DELETE", f"/v1/generations/{job_id}")

    # --- the service ---

    def models(self) -> list[ModelInfo]:
        """The models that can be named, the default one first; what isn't loaded yet tells little of itself."""
        told = self._json("GET", "/v1/models")
        return [(LoadedModelInfo if each["loaded"] else ModelInfo).model_validate(each) for each in told]

    def model(self, name: str = DEFAULT_MODEL) -> LoadedModelInfo:
        """All about one of them, which the service loads if it isn't loaded yet (give ``timeout`` minutes then)."""
        return LoadedModelInfo.model_validate(self._json("GET", f"/v1/models/{quote(name)}"))

    def health(self) -> dict[str, Any]:
        """``status`` (loading, ready, failed, stopping), ``version``, ``uptime``, ``queue``, ``running``."""
        return dict(self._json("GET", "/v1/health"))

    def _json(self, method: str, path: str, **request: Any) -> Any:
        return self._ask(method, path, **request).json()

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        for tries in range(1, TRIES + 1):
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                raise _unreachable(error) from None
            if answer.status_code != 429 or tries == TRIES:
                break
            time.sleep(min(LONGEST_WAIT, float(answer.headers.get("Retry-After", 1))))
        if answer.is_error:
            raise _error(answer)
        return answer


def _error(answer: httpx.Response) -> FaceSnapError:
    """The error that an answer stands for."""
    try:
        problem = answer.json()
        kind, detail = str(problem["type"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return FaceSnapError(f"the service answered {answer.status_code}; is this FaceSnap's address?")
    named = kind.removeprefix(_URN) if kind.startswith(_URN) else ""
    known = {each.__name__: each for each in _all_kinds(FaceSnapError)}.get(named)
    if known is not None:
        return known(detail)
    by_status: dict[int, type[FaceSnapError]] = {404: MissingError, 422: UsageError, 429: errors.BusyError}
    return by_status.get(answer.status_code, FaceSnapError)(detail)


def _all_kinds(kind: type[FaceSnapError]) -> Iterator[type[FaceSnapError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all_kinds(below)


def _unreachable(error: httpx.TransportError) -> FaceSnapError:
    return FaceSnapError(f"the service can't be reached: {errors.one_line(error)}")


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """(id, event, data) of server-sent events; comments are left out."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            event[name] = value.removeprefix(" ")
        elif "data" in event:
            yield event.get("id", ""), event.get("event", "message"), event["data"]
            event = {}


def _id(identity: Person) -> str:
    return identity.id if isinstance(identity, IdentityInfo) else identity


def _pose(pose: PoseLike | None) -> dict[str, Any] | None:
    if isinstance(pose, Pose):
        return pose.to_json()
    return pose.model_dump() if isinstance(pose, PoseRequest) else None if pose is None else dict(pose)


def _bytes(photo: Photo) -> bytes:
    if isinstance(photo, bytes):
        return photo
    try:
        return Path(photo).read_bytes()
    except OSError as error:
        raise InputError(f"can't read {photo}: {errors.one_line(error)}") from None


def _image(data: bytes) -> Image.Image:
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=("PNG",))
    image.load()
    return image


def _save(path: Path, data: bytes) -> None:
    from facesnap.core.images import write_atomic

    write_atomic(path, data)
