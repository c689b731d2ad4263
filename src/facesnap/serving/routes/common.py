"""What all routes share: the service, who asks, bounded work in threads, files of a form, and what errors look like."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path, Request, UploadFile
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from facesnap.core.errors import BusyError, UsageError
from facesnap.serving.config import Limits, ServeConfig
from facesnap.serving.metrics import Metrics
from facesnap.serving.problems import MEDIA_TYPE
from facesnap.serving.requests import ID_PATTERN
from facesnap.serving.service import Service
from facesnap.serving.uploads import UploadTooLargeError, kind_of

T = TypeVar("T")

#: Calls that may look at photos at once (a decoded one is up to 120 MB); that may ask how the service is, whatever all
#: other threads are busy with; and that may wait for events of jobs.
PHOTO_CALLS: Final = 2
MONITORS: Final = 2
STREAMS: Final = 128

#: Seconds between two looks whether the model is loaded.
_GLANCE: Final = 0.05


class Phase(StrEnum):
    """How far the service is."""

    loading = "loading"
    ready = "ready"
    failed = "failed"
    stopping = "stopping"


@dataclass
class Desk:
    """What routes work with; one for an app.

    Attributes:
        service: everything that isn't HTTP.
        config: its settings.
        metrics: what is counted.
        phase: how far it is.
        failure: why it is ``failed``.
        on_failure: called then.
        run: told apart from earlier runs of the service, in the ids of events.
    """

    service: Service
    config: ServeConfig
    metrics: Metrics
    phase: Phase = Phase.loading
    failure: Exception | None = None
    on_failure: Callable[[], None] = lambda: None
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    photo_calls: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PHOTO_CALLS))
    monitors: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MONITORS))
    streams: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STREAMS))

    async def with_photos(self, call: Callable[[], T], *photos: UploadFile) -> T:
        """Run something that reads photos in a thread, only a few at once. What their sizes and first bytes tell to be
        no photos is refused without waiting for a turn.

        Raises:
            BusyError: there was no turn within ``limits.request_seconds``.
            UploadTooLargeError, UploadTypeError, ImageError: see :func:`facesnap.serving.uploads.decode`.
        """
        for photo in photos:
            _check_size(photo, self.config.limits)
            kind_of(photo.file.read(12))
            photo.file.seek(0)
        borrower = object()
        try:
            with anyio.fail_after(self.config.limits.request_seconds):
                await self.photo_calls.acquire_on_behalf_of(borrower)
        except TimeoutError:
            raise BusyError("too many photos are being looked at: try again in a while") from None
        try:
            return await to_thread.run_sync(call)
        finally:
            self.photo_calls.release_on_behalf_of(borrower)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def _loaded(desk: Annotated[Desk, Depends(_desk)]) -> Desk:
    """The same, once its model is there.

    Raises:
        BusyError: it isn't within ``limits.request_seconds``.
    """
    try:
        with anyio.fail_after(desk.config.limits.request_seconds):
            while desk.phase is Phase.loading:
                await anyio.sleep(_GLANCE)
    except TimeoutError:
        raise BusyError("the model is still being loaded: try again in a while", retry_after=10) from None
    return desk


def _client(request: Request) -> str:
    return str(request.state.client)


Here = Annotated[Desk, Depends(_desk)]
Loaded = Annotated[Desk, Depends(_loaded)]
Client = Annotated[str, Depends(_client)]
IdentityId = Annotated[str, Path(pattern=ID_PATTERN, description="of an identity", examples=["q3mG0fJx7Zk2Vb1c"])]
JobId = Annotated[str, Path(pattern=ID_PATTERN, description="of a generation", examples=["Zk2Vb1cq3mG0fJx7"])]


class FormRoute(APIRoute):
    """A route whose form has few parts: those beyond are refused while they arrive.

    Files of a form lie in memory up to 1 MB each, and then in an unnamed temporary file until the request is answered.
    """

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The stock handler, given a request that counts."""
        stock = super().get_route_handler()

        async def handler(request: Request) -> Any:
            return await stock(_FormRequest(request.scope, request.receive))

        return handler


class _FormRequest(Request):
    async def _get_form(self, **_: Any) -> FormData:
        photos = self.app.state.desk.config.limits.photos
        return await super()._get_form(max_files=photos + 1, max_fields=16, max_part_size=16 * 1024)


def read(file: UploadFile | None, limits: Limits) -> bytes:
    """A file of a form, whole; to be called in a thread.

    Raises:
        UploadTooLargeError: it has more bytes than are taken; nothing was read then.
        UsageError: there is none.
    """
    if file is None:
        raise UsageError("a file is missing in the form")
    _check_size(file, limits)
    return file.file.read()


def _check_size(file: UploadFile, limits: Limits) -> None:
    if (file.size or 0) > limits.upload_bytes:
        raise UploadTooLargeError(f"the file has {file.size:,} bytes: at most {limits.upload_bytes:,} are taken")


_MEANINGS: Final = {
    400: "The request can't be read.",
    401: "The token is missing or wrong.",
    403: "The request comes from another site's page.",
    404: "There is no such thing (any more): it may have expired.",
    408: "The request took too long to arrive.",
    413: "More bytes or pixels than are taken.",
    415: "Not a kind of file that is taken.",
    421: "The service isn't known under that host name.",
    422: "A value is out of its range, or an input can't be used; `detail` says which and why.",
    429: "Too many requests, or the queue is full: `Retry-After` says when to come again.",
}
#: What any request may be answered by.
_ALWAYS: Final = (400, 401, 403, 408, 413, 421, 429)


def faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of a route's errors: its own, and those that every route has."""
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": schema} for status in sorted({*_ALWAYS, *statuses})}
