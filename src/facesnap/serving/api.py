"""The service over HTTP: REST under ``/v1``, its reference at ``/docs``, and the studio at ``/``."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, Final

from anyio import to_thread
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from starlette.routing import Match

from facesnap import __version__
from facesnap.serving import problems
from facesnap.serving.access import Access
from facesnap.serving.config import ServeConfig
from facesnap.serving.metrics import METHODS, Metrics, Observed
from facesnap.serving.routes import about, generations, identities, photos, reference
from facesnap.serving.routes.common import Desk, Phase
from facesnap.serving.service import Service

_ABOUT: Final = (
    "One photo of a person and a prompt in, portraits of that person out: identity, pose and expression without tuning."
    "\n\nSend photos to /v1/identities, ask for portraits of the id that it answers at /v1/generations, follow them by"
    " their events, and fetch the pictures. Errors are problem details (RFC 9457). Where the service has a token, every"
    " request shows it: Authorization: Bearer TOKEN."
)
#: Seconds for the thread that starts the service to see that it stops; closing the painter waits for a model's loading.
_LEAVING: Final = 5.0
_NO_STUDIO: Final = "FaceSnap is here. The API's reference is at /docs; the studio isn't served.\n"


def create_app(service: Service, config: ServeConfig, names: Iterable[str] = ()) -> FastAPI:
    """The app of a service; it starts the service with its own lifespan, in the background, and stops it at its end.

    Args:
        service: not started yet.
        config: its settings.
        names: further host names under which it is reached, such as a proxy's.
    """
    app = FastAPI(
        title="FaceSnap",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # they load their scripts from elsewhere; ours is routes.reference
        redoc_url=None,
        lifespan=_lifespan,
    )
    desk = app.state.desk = Desk(service, config, Metrics(service.health))
    service.on_finish(desk.metrics.job_finished)
    for each in (identities, photos, generations, about, reference):
        app.include_router(each.router)
    app.add_route("/v1/{rest:path}", _nothing_there, list(METHODS), include_in_schema=False)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    problems.install(app)
    if config.ui and find_spec("gradio") is not None:
        from facesnap.serving.studio import mount

        mount(app, service, config)
    else:
        app.add_api_route("/", _say_where, include_in_schema=False)
    app.add_middleware(Access, config=config, names=tuple(names))
    app.add_middleware(Observed, metrics=desk.metrics)
    return app


async def _nothing_there(request: Request) -> Response:
    """What no route answers; without this, the studio would."""
    partial = any(route.matches(dict(request.scope))[0] is Match.PARTIAL for route in request.app.routes)
    raise HTTPException(405 if partial else 404)


def _say_where() -> PlainTextResponse:
    return PlainTextResponse(_NO_STUDIO)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    desk: Desk = app.state.desk
    starting = threading.Thread(target=_start, args=(desk,), name="facesnap-start", daemon=True)
    starting.start()
    yield
    desk.phase = Phase.stopping
    await to_thread.run_sync(desk.service.stop)
    await to_thread.run_sync(starting.join, _LEAVING)


def _start(desk: Desk) -> None:
    """Load the models, while requests are answered already."""
    try:
        desk.service.start()
    except Exception as error:
        desk.failure = error
        desk.phase = Phase.failed
        desk.on_failure()
    else:
        if desk.phase is Phase.loading:
            desk.phase = Phase.ready


def _schema(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with problems as errors, and the token."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = problems.Problem.model_json_schema()
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}, {}]
        app.openapi_schema = _without_prefix_items(schema)
    return app.openapi_schema


def _without_prefix_items(schema: Any) -> Any:
    """The same with tuples of one type written as arrays: many readers don't know ``prefixItems``."""
    if isinstance(schema, list):
        return [_without_prefix_items(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_prefix_items(each) for name, each in schema.items()}
    parts = plain.get("prefixItems")
    if isinstance(parts, list) and parts and parts.count(parts[0]) == len(parts):
        plain["items"] = parts[0]
        del plain["prefixItems"]
    return plain
