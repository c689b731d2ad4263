"""``facesnap enroll``: photos of one person become an identity file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console, options
from facesnap.cli.flatten import in_options
from facesnap.core.errors import UsageError


def enroll(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="One or several photos of one person.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The identity file, NAME.identity.safetensors.")],
    face: options.Face = None,
    adapter: options.Adapter = None,
    face_encoder: options.FaceEncoder = None,
    image_encoder: options.ImageEncoder = None,
    as_json: options.Json = False,
) -> None:
    """Turn photos of one person into an identity file; from then on, no photo is needed.

    The file holds what the encoders of one adapter see: for another adapter than mini's, name it and its encoders as
    `generate` will be told them.
    """
    if image_encoder is not None and adapter is None:
        raise UsageError("--image-encoder needs --adapter, which says how much of a face it is shown")
    if adapter is not None:
        options.check_model("mini", adapter)
    options.check_photos(*photos)
    console.check_file(output)
    from facesnap.pipelines.loading.assembly import load_encoders

    with in_options({"face_encoder": "--face-encoder", "image_encoder": "--image-encoder"}):
        identity = load_encoders(adapter, face_encoder, image_encoder).enroll(list(photos), face)
    identity.save(output)
    data = {"identity": str(output), "photos": identity.photos, "encoders": dict(identity.encoders)}
    console.result(data, str(output), as_json)
