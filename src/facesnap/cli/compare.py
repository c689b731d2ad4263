"""``facesnap compare``: how alike the faces of two photos are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console, options


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A photo.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another photo.")],
    as_json: options.Json = False,
) -> None:
    """Say how alike the largest faces of two photos are, by a judge that took no part in making pictures."""
    options.check_photos(first, second)
    from facesnap.core.weights import mini_folder
    from facesnap.faces.encode import FaceEncoder
    from facesnap.pipelines.analyser import Analyser

    judge = FaceEncoder.from_pretrained(mini_folder() / "judge_face")
    analyser = Analyser.from_pretrained()
    a, b = judge.encode([analyser.read(photo).crop() for photo in (first, second)])
    likeness = float(a @ b)
    data = {"likeness": round(likeness, 4), "judge": judge.identifier, "photos": [str(first), str(second)]}
    text = f"likeness {likeness:.3f} (cosine, from -1 to 1: higher is more alike; judge {judge.identifier})"
    console.result(data, text, as_json)
