"""The contact sheet of a batch: the first portraits of every job, a line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from facesnap.pipelines.batch import Job

COLUMNS: Final = 8
CELL: Final = 160
#: Lines that a sheet has at most; larger pictures are hardly looked at.
MOST: Final = 100


def draw_sheet(path: Path, jobs: Sequence[Job], folder: Path, results: Path) -> None:
    """Draw what ``results`` says is in ``folder``, a gap for what is not. OutputError if it can't be written."""
    from facesnap.core.images import load_image, save_png
    from facesnap.evaluation.report import Strip, contact_sheet

    files: dict[str, list[str | None]] = {}
    for line in results.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        files.setdefault(told["name"], []).append(told["file"])
    strips = []
    for job in jobs[:MOST]:
        some = files[job.name][:COLUMNS]
        pictures = [None if file is None else load_image(folder / file) for file in some]
        more = len(files[job.name]) - len(some)
        note = f"{job.name}: {'; '.join(job.prompts)}" + (f" (and {more} more)" if more else "")
        strips.append(Strip(pictures, note))
    save_png(path, contact_sheet(strips, [""] * max(len(strip.pictures) for strip in strips), CELL))
