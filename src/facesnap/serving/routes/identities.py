"""``/v1/identities``: people, from photos or identity files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Response, UploadFile

from facesnap.core.errors import UsageError
from facesnap.serving.config import DEFAULT_MODEL
from facesnap.serving.requests import IdentityInfo
from facesnap.serving.routes.common import Client, FormRoute, Here, IdentityId, Loaded, faults, read

router = APIRouter(prefix="/v1/identities", tags=["identities"], route_class=FormRoute)

Photos = Annotated[list[UploadFile], File(description="one or several photos of one person: JPEG, PNG or WebP")]
Face = Annotated[int | None, Form(ge=0, le=1000, description="which face of each photo; 0 is the largest")]


@router.post("", status_code=201, responses=faults(415, 422))
async def create_identity(
    desk: Loaded,
    client: Client,
    response: Response,
    photos: Photos = [],  # noqa: B006  # FastAPI copies it
    file: Annotated[UploadFile | None, File(description="an identity file, instead of photos")] = None,
    name: Annotated[str, Form(max_length=80, description="a label of your own")] = "",
    consent: Annotated[bool, Form(description="the person agrees; photos aren't taken without it")] = False,
    face: Face = None,
    model: Annotated[str, Form(min_length=1, max_length=80, description="whose encoders look")] = DEFAULT_MODEL,
) -> IdentityInfo:
    """Get to know a person. Photos are looked at and not kept; what is kept is what an identity file holds."""
    if bool(photos) == (file is not None):
        raise UsageError("send either photos, or one identity file as file")
    limits = desk.config.limits
    if len(photos) > limits.photos:
        raise UsageError(f"photos: {len(photos)} are more than the {limits.photos} that this server takes of a person")

    def work() -> IdentityInfo:
        about = {"name": name, "consent": consent, "client": client, "model": model}
        if file is not None:
            return desk.service.import_identity(read(file, limits), **about)  # type: ignore[arg-type]
        shown = [read(photo, limits) for photo in photos]
        return desk.service.create_identity(shown, face=face, **about)  # type: ignore[arg-type]

    made = await desk.with_photos(work, *photos)
    response.headers["Location"] = f"/v1/identities/{made.id}"
    return made


@router.get("/{identity_id}", responses=faults(404, 422))
def get_identity(desk: Here, identity_id: IdentityId) -> IdentityInfo:
    """What may be told of a person."""
    return desk.service.identity(identity_id)


@router.get(
    "/{identity_id}/file",
    response_class=Response,
    responses={
        **faults(404, 422),
        200: {
            "description": "NAME.identity.safetensors",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
def get_identity_file(desk: Here, identity_id: IdentityId) -> Response:
    """The identity file, as `facesnap enroll` writes it."""
    data = desk.service.identity_file(identity_id)
    named = {"Content-Disposition": f'attachment; filename="{identity_id}.identity.safetensors"'}
    return Response(data, media_type="application/octet-stream", headers=named)


@router.delete("/{identity_id}", status_code=204, responses=faults(404, 422))
def delete_identity(desk: Here, identity_id: IdentityId) -> None:
    """Forget a person for good, and cancel what is still to be made of them."""
    desk.service.delete_identity(identity_id)
