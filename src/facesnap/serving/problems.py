"""Errors as the service answers them: problem details (RFC 9457), one line that says what to do, nothing of the server.

No answer holds a traceback, a path of this machine, or what was sent.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from facesnap.core.errors import (
    AdapterError,
    BusyError,
    FaceSnapError,
    InputError,
    MissingError,
    UsageError,
    one_line,
)
from facesnap.serving.uploads import UploadTooLargeError, UploadTypeError

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
#: ``type`` of a problem is this and the name of one of ``facesnap.core.errors``, or ``about:blank``.
URN: Final = "urn:facesnap:error:"

#: The first that an error is an instance of, counts. All others are 500, and only the log says what happened: texts of
#: AdapterError and OutputError are for whoever runs the service, and name its folders.
STATUS: Final[tuple[tuple[type[FaceSnapError], int], ...]] = (
    (UploadTooLargeError, 413),
    (UploadTypeError, 415),
    (MissingError, 404),
    (BusyError, 429),
    (AdapterError, 500),
    (UsageError, 422),
    (InputError, 422),
)
#: Seconds after which to ask again where the queue is full.
RETRY_AFTER: Final = 5

_INTERNAL: Final = "something went wrong inside the service; its log says what"
_NOTHING: Final = "there is nothing here: /docs says what there is"
_SHOWN_FAULTS: Final = 5
_PATH: Final = re.compile(r"(?<![\w/.:<])(?:/[^\s/:;,'\"]+)+/([^\s/:;,'\"]*)")


class Problem(BaseModel):
    """What every error looks like (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="What kind of problem, as a URI.", examples=[URN + "NoFaceError"])
    title: str = Field(description="The status in words.", examples=["Unprocessable Content"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(description="One line that says what to do.", examples=["no face was found in the photo"])


def answer(
    status: int, detail: str, kind: str = "about:blank", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A problem as a response."""
    problem = Problem(type=kind, title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, headers, MEDIA_TYPE)


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to come again, in whole seconds."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def of_error(error: Exception) -> JSONResponse:
    """The answer for an exception that nobody else caught; an unknown one is logged with its traceback."""
    if isinstance(error, RequestValidationError):
        return answer(422, faults_in_words(error.errors()), URN + "UsageError")
    if isinstance(error, HTTPException):
        unsaid = error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase
        detail = _NOTHING if unsaid else " ".join(str(error.detail).split())
        return answer(error.status_code, detail, headers=error.headers)
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("internal error: %s", one_line(error), exc_info=error)
        return answer(500, _INTERNAL)
    headers = retry_after(getattr(error, "retry_after", None) or RETRY_AFTER) if status == 429 else None
    return answer(status, without_paths(one_line(error)), URN + _public_name(type(error)), headers)


def without_paths(text: str) -> str:
    """The same text with the folders of absolute paths left out: file names say enough."""
    return _PATH.sub(r"\1", text)


def install(app: FastAPI) -> None:
    """Let every error of an app be answered as a problem; to a browser that looks for a page, as one."""
    for kind in (FaceSnapError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    missing = isinstance(error, HTTPException) and error.status_code == 404
    if missing and not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_NO_PAGE, 404)
    return of_error(error)


def install_beside(app: FastAPI, own: str) -> None:
    """Let an app of somebody else's, mounted at ``/``, answer in our words what isn't there. Paths that begin with
    ``own`` are its own affair: its pages may read what it says there.
    """

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code in (404, 405) and not request.url.path.startswith(own):
            return await _handle(request, error)
        return await http_exception_handler(request, error)

    app.add_exception_handler(HTTPException, handle)


def faults_in_words(faults: Sequence[Any]) -> str:
    """Pydantic's list of errors as one line: where, and what; never the value, which may be long or private."""
    words = []
    for fault in faults[:_SHOWN_FAULTS]:
        place = ".".join(str(step) for step in fault["loc"] if step not in ("body", "path", "query", "header"))
        message = str(fault["msg"]).removeprefix("Value error, ")
        words.append(f"{place[:80]}: {message}" if place else message)
    more = [f"and {len(faults) - _SHOWN_FAULTS} more"] if len(faults) > _SHOWN_FAULTS else []
    return " ".join("; ".join(words + more).split())[:1000]


def _public_name(kind: type[Exception]) -> str:
    """The name of the class in ``core.errors`` that an error is, or is derived from."""
    return next(each.__name__ for each in kind.__mro__ if each.__module__ == FaceSnapError.__module__)


_NO_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>FaceSnap: nothing here</title>
<meta name="viewport" content="width=device-width"><style>body{font:16px/1.5 system-ui;margin:15vh auto;max-width:22em;
padding:0 1em;color-scheme:light dark}</style>
<h1>There is nothing here</h1><p><a href="/">To the start page</a>, or to <a href="/docs">the API's reference</a>.</p>
</html>"""
