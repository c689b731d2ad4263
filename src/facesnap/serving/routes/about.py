"""``/v1/models``, ``/v1/health``, ``/v1/metrics``: what the service is and how it is."""

from __future__ import annotations

from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from facesnap.serving import metrics
from facesnap.serving.config import DEFAULT_MODEL
from facesnap.serving.requests import LoadedModelInfo, ModelInfo
from facesnap.serving.routes.common import Here, Loaded, Phase, faults

router = APIRouter(tags=["service"])

_TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


ModelName = Annotated[str, Path(min_length=1, max_length=80, description="of a model", examples=[DEFAULT_MODEL])]


class Health(BaseModel):
    """Whether the service can do its work; anyone may ask."""

    status: Phase = Field(
        description="`loading` takes jobs already; `failed` couldn't load its model; `stopping` takes nothing more"
    )
    version: str
    uptime: float = Field(description="seconds")
    queue: int = Field(description="jobs that wait")
    running: int = Field(description="jobs that are painted")


@router.get("/v1/health", responses=faults())
async def get_health(desk: Here) -> Health:
    """Say whether the service is ready. The only thing that needs no token."""
    now = await to_thread.run_sync(desk.service.health, limiter=desk.monitors)
    stopping = now["status"] == "stopping"
    return Health.model_validate({**now, "status": Phase.stopping if stopping else desk.phase})


@router.get("/v1/models", responses=faults())
def list_models(desk: Loaded) -> list[ModelInfo]:
    """List the models that can be named, the default one first. What isn't loaded yet tells little of itself."""
    return desk.service.models()


@router.get("/v1/models/{name:path}", responses=faults(422))
def get_model(desk: Loaded, name: ModelName) -> LoadedModelInfo:
    """Tell all about a model. One that isn't loaded yet is loaded now, which may take minutes."""
    return desk.service.model(name)


@router.get("/v1/metrics", response_class=Response, responses={**faults(), **_TEXT})
@router.get("/metrics", response_class=Response, include_in_schema=False)
async def read_metrics(desk: Here) -> Response:
    """Metrics for Prometheus: requests, jobs, pictures, memory."""
    text = await to_thread.run_sync(desk.metrics.text, limiter=desk.monitors)
    return Response(text, media_type=metrics.CONTENT_TYPE)
