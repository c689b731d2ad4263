"""One request on its way in, its answer on its way out: bounded, hurried, with the headers that keep browsers safe."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from facesnap.serving.config import Limits

#: Bytes of a form beside its files, and of a JSON document: a pose with all of its expressions has about 3000.
FORM_BYTES: Final = 64 * 1024
JSON_BYTES: Final = 256 * 1024

#: What is still read (bytes, seconds) from who sends too much, so that they get to see the answer before the end.
LINGER: Final = (1024 * 1024, 2.0)

_NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#: Nothing from elsewhere; the studio's own code is inline in places, and compiles templates.
_STUDIO: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:;"
    " connect-src 'self' data: blob:; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


def body_limit(path: str, limits: Limits) -> int:
    """The most bytes that a request to a path may bring."""
    files = {"/v1/identities": limits.photos, "/v1/faces": 1, "/v1/poses": 1, "/v1/comparisons": 2}
    if path in files:
        return files[path] * limits.upload_bytes + FORM_BYTES
    return JSON_BYTES if path.startswith("/v1/") else limits.photos * limits.upload_bytes + FORM_BYTES


class Exchange:
    """The two ends of a request, as its application is given them.

    Attributes:
        status: of the answer, once it has begun.
        cut: whether the connection ends with this answer, because more may be coming than is wanted.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, most_bytes: int, seconds: float) -> None:
        self.status: int | None = None
        self.cut = False
        self._scope, self._receive, self._send = scope, receive, send
        self._most, self._seconds = most_bytes, seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._bytes = 0
        self._whole = False

    @property
    def too_large(self) -> str:
        """What to say of a body that is too large."""
        return f"the request is larger than the {self._most:,} bytes that are taken here"

    def declared_too_large(self) -> bool:
        """Whether the request says itself that it is too large."""
        length = Headers(scope=self._scope).get("content-length", "")
        return length.isdecimal() and int(length[:20]) > self._most

    async def receive(self) -> Message:
        """The next piece of the body.

        Raises:
            HTTPException: 413 for a body over the limit, as soon as it is; 408 for one that takes too long.
        """
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self.cut = True
            raise HTTPException(408, f"the request took more than {self._seconds:g} seconds to arrive") from None
        self._count(message)
        if self._bytes > self._most:
            self.cut = True
            raise HTTPException(413, self.too_large)
        return message

    async def send(self, message: Message) -> None:
        """A piece of the answer; TimeoutError for a client that doesn't take it in time."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers_of(message)}
        elif self.cut and self.status != 408 and not message.get("more_body", False):
            await self._pass_on({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        async with asyncio.timeout(self._seconds):
            await self._send(message)

    def _count(self, message: Message) -> None:
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)

    async def _linger(self) -> None:
        """Read on a little: a connection that is closed on somebody who writes loses them the answer."""
        most, seconds = LINGER
        most += self._bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._whole and self._bytes < most:
                    self._count(await self._receive())

    def _headers_of(self, message: Message) -> list[tuple[bytes, bytes]]:
        path = self._scope["path"]
        studio = not path.startswith("/v1/") and path not in ("/metrics", "/openapi.json")
        headers = MutableHeaders(raw=list(message.get("headers", [])))
        for name in {name for name in headers if name.startswith("access-control-")}:
            del headers[name]  # gradio's own; no other site may read anything here
        headers.update(_HEADERS)
        headers["Content-Security-Policy"] = _STUDIO if studio else _NOTHING
        if not studio:
            headers["Cache-Control"] = "no-store"
        if self.cut:
            headers["Connection"] = "close"
        return headers.raw
