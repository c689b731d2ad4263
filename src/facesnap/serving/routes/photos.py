"""``/v1/faces``, ``/poses``, ``/comparisons``, ``/landmarks``: what is seen in photos, and what would be drawn."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from pydantic import BaseModel, Field

from facesnap.serving.requests import PoseRequest, PreviewRequest
from facesnap.serving.routes.common import FormRoute, Loaded, faults, read

router = APIRouter(prefix="/v1", tags=["photos"], route_class=FormRoute)

Photo = Annotated[UploadFile, File(description="a JPEG, PNG or WebP picture")]


class Faces(BaseModel):
    """Where faces are in a photo."""

    faces: list[tuple[float, float, float, float]] = Field(
        description="x0, y0, x1, y1 in pixels of the upright photo, the largest first", examples=[[[80, 60, 300, 310]]]
    )


class Comparison(BaseModel):
    """How alike two faces are."""

    likeness: float = Field(description="cosine in [-1, 1]; higher is more alike", examples=[0.71])
    judge: str = Field(description="the network that says so; it takes no part in making pictures")


class Landmarks(BaseModel):
    """The landmark map that a generation would follow."""

    landmarks: list[tuple[float, float]] = Field(description="72 points x, y in pixels of the map")
    width: int
    height: int
    map: str = Field(description="the map as a PNG, in a data URL", examples=["data:image/png;base64,iVBORw0KGgo="])


@router.post("/faces", responses=faults(415, 422))
async def find_faces(desk: Loaded, photo: Photo) -> Faces:
    """Find the faces of a photo, to choose one by its place in the list."""
    limits = desk.config.limits
    return Faces(faces=await desk.with_photos(lambda: desk.service.faces(read(photo, limits)), photo))


@router.post("/poses", responses=faults(415, 422), response_model_exclude_none=True)
async def read_pose(
    desk: Loaded,
    photo: Photo,
    keep_framing: Annotated[bool, Form(description="also the face's size and place in the photo")] = False,
) -> PoseRequest:
    """Read pose and expression of a driving photo's largest face; the answer is a generation's `pose`."""
    limits = desk.config.limits
    return await desk.with_photos(lambda: desk.service.pose_from(read(photo, limits), keep_framing), photo)


@router.post("/comparisons", responses=faults(415, 422))
async def compare(desk: Loaded, first: Photo, second: Photo) -> Comparison:
    """Say how alike the largest faces of two photos are."""
    limits = desk.config.limits
    found = await desk.with_photos(
        lambda: desk.service.compare(read(first, limits), read(second, limits)), first, second
    )
    return Comparison.model_validate(found)


@router.post(
    "/landmarks",
    response_model=Landmarks,
    responses={
        **faults(404, 422),
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
def draw_landmarks(desk: Loaded, request: Request, wanted: PreviewRequest) -> Landmarks | Response:
    """Draw the landmark map of a person in a pose: as JSON, or as a PNG if `Accept` asks for `image/png`."""
    preview = desk.service.preview(wanted)
    if request.headers.get("accept", "").startswith("image/png"):
        return Response(preview.map, media_type="image/png")
    url = "data:image/png;base64," + base64.b64encode(preview.map).decode()
    points = [(x, y) for x, y in preview.landmarks]
    return Landmarks(landmarks=points, width=preview.width, height=preview.height, map=url)
