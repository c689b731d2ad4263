"""``/v1/generations``: ask for portraits, watch them being made, fetch them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import StreamingResponse

from facesnap.serving.requests import GenerationRequest, JobStatus
from facesnap.serving.routes.common import Client, Here, JobId, Loaded, faults
from facesnap.serving.routes.stream import EVENT, MEDIA_TYPE, Stream

router = APIRouter(prefix="/v1/generations", tags=["generations"])

Index = Annotated[int, Path(ge=0, le=1000, description="which of its pictures, from 0", examples=[0])]
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=80, description="the id of the last event that arrived")
]


@router.post("", status_code=202, responses=faults(404, 422))
def create_generation(desk: Loaded, client: Client, wanted: GenerationRequest, response: Response) -> JobStatus:
    """Ask for portraits of a person. The answer comes at once; `Location` is where the job is then found."""
    job = desk.service.submit(wanted, client)
    response.headers["Location"] = f"/v1/generations/{job.id}"
    return job


@router.get("/{job_id}", responses=faults(404, 422))
def get_generation(desk: Here, job_id: JobId) -> JobStatus:
    """Where a job is, and what came of it."""
    return desk.service.job(job_id)


@router.get(
    "/{job_id}/events",
    response_class=Response,
    responses={
        **faults(404, 422),
        200: {
            "description": "Server-sent events: `progress`, and `end` as the last one. Their data is JSON with `state`,"
            " `step`, `steps`, `preview` (a small JPEG in base64, or null) and `error`.",
            "content": {MEDIA_TYPE: {"itemSchema": EVENT}},
        },
        204: {"description": "The job is finished, and its last event has arrived: there is nothing more to wait for."},
    },
)
async def watch_generation(desk: Here, job_id: JobId, last_event_id: LastEventId = None) -> Response:
    """Follow a job. The stream ends with the job; one that broke off goes on after `Last-Event-ID`."""
    stream = Stream(desk, job_id, last_event_id)
    if await stream.seen_to_the_end():
        return Response(status_code=204)
    return StreamingResponse(stream.lines(), media_type=MEDIA_TYPE)


@router.get(
    "/{job_id}/pictures/{index}",
    response_class=Response,
    responses={
        **faults(404, 422),
        200: {
            "description": "The picture, its settings inside.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
def get_picture(desk: Here, job_id: JobId, index: Index) -> Response:
    """Fetch a finished picture."""
    named = {"Content-Disposition": f'inline; filename="{job_id}-{index}.png"'}
    return Response(desk.service.picture(job_id, index), media_type="image/png", headers=named)


@router.post("/{job_id}/cancel", responses=faults(404, 422))
def cancel_generation(desk: Here, job_id: JobId) -> JobStatus:
    """Stop a job before its next step; a finished one stays as it is."""
    return desk.service.cancel(job_id)


@router.delete("/{job_id}", status_code=204, responses=faults(404, 422))
def delete_generation(desk: Here, job_id: JobId) -> None:
    """Delete a job and its pictures for good; one that isn't finished is cancelled first."""
    desk.service.delete_job(job_id)
