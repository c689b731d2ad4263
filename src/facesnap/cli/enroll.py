"""``facesnap enroll``: photos of one person become an identity file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console, options


def enroll(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="One or several photos of one person.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The identity file, NAME.identity.safetensors.")],
    face: options.Face = None,
    as_json: options.Json = False,
) -> None:
    """Turn photos of one person into an identity file; from then on, no photo is needed."""
    options.check_photos(*photos)
    console.check_file(output)
    from facesnap.pipelines.conditions import Analyser

    identity = Analyser.from_pretrained().enroll(list(photos), face)
    identity.save(output)
    data = {"identity": str(output), "photos": identity.photos, "encoders": dict(identity.encoders)}
    console.result(data, str(output), as_json)
