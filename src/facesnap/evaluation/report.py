"""The report: docs/RESULTS.md, results.json beside it, and a contact sheet of the first and the worst people."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from facesnap.core.images import write_atomic
from facesnap.evaluation.metrics import COSINE_FLOOR, LEVEL, RESAMPLES, Interval
from facesnap.evaluation.summary import BASE, CHANCE, REAL, Row

CELL = 128  # pixels a picture takes on the contact sheet

HEADINGS = {
    "facesnap": "FaceSnap",
    BASE: "base without identity (lower bound)",
    REAL: "another real render (upper bound)",
    CHANCE: "chance",
}

HOW_TO_READ = f"""\
Every number is a mean over people with its {LEVEL:.0%} interval: for shares of people the score interval (Wilson,
1927), otherwise a percentile bootstrap ({RESAMPLES} resamples of people, seeded). No person here was seen in training.
Reference, target and gallery are different renders of one person; the target's caption is the prompt; its pose,
expression and framing with the reference's face shape are the requested landmark map.
All methods get the same prompts, seeds, steps and guidance. A picture is measured the way a user's photo is read: the
detector finds the face, E_3d reads it. A face that is not found scores as a miss, and never drops out.

- **rank-1 identification**: share of portraits whose nearest face is the right person's, in a gallery of the mean
  embedding of each person's other real renders. A miss is a failure. The interval is over the portraits; the gallery
  stays.
- **verified**: share of portraits whose cosine with that mean exceeds what one in a thousand pairs of strangers' real
  pictures does.
- **FaceSim**: cosine of the face judge's embeddings; a miss counts {COSINE_FLOOR:g}. Its chance: renders of two people.
- **landmark NME**: mean distance of the 72 landmarks that E_3d finds from the requested ones, in percent of the
  requested outer eye corners' distance. E_3d also drove the request, so its own error on real renders stands below it.
- **yaw, pitch, roll, expression error**: mean absolute difference from the requested angles and ARKit weights.
- **attributes**: share of what the prompt says (hair, glasses, clothes, style ...) that the judge of attributes, a
  classifier trained on other people's renders, reads in the picture.
- **CLIP-T**: cosine of the CLIP judge's features of picture and prompt. Its chance: real renders with another's prompt.
"""


@dataclass(frozen=True)
class About:
    """What a report is called (``NAME.md``, ``name.json``, ``name.png``) and says: ``title``, ``how_to_read``, and
    ``headings`` of columns where they differ from :data:`HEADINGS`.
    """

    name: str = "RESULTS"
    title: str = "Results"
    how_to_read: str = HOW_TO_READ
    headings: Mapping[str, str] = field(default_factory=dict)

    def file(self, suffix: str) -> str:
        """Of what lies beside the text."""
        return f"{self.name.lower()}.{suffix}"


@dataclass(frozen=True)
class Strip:
    """One line of the contact sheet: ``pictures`` in the sheet's order (None leaves a gap) and a ``note``."""

    pictures: Sequence[np.ndarray | None]
    note: str


def write_report(
    folder: Path,
    facts: Mapping[str, Any],
    rows: Sequence[Row],
    sheet: np.ndarray,
    protocol: Mapping[str, Any],
    about: About | None = None,
) -> Path:
    """Write RESULTS.md, results.json and results.png into a folder, each whole or not at all.

    Args:
        folder: usually ``docs``.
        facts: how the numbers were made, name -> text or number, in the order of printing; ``command`` among them.
        rows: the table.
        sheet: (H, W, 3) uint8 contact sheet.
        protocol: what was asked, as plain values.
        about: names of the files, and their words; None: as said here.

    Returns:
        The path of RESULTS.md, which is written last.

    Raises:
        OutputError: a file can't be written.
    """
    about, buffer = about or About(), io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    write_atomic(folder / about.file("png"), buffer.getvalue())
    plain = {"facts": dict(facts), "rows": [row_to_json(row) for row in rows], "protocol": protocol}
    write_atomic(folder / about.file("json"), (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode())
    write_atomic(folder / f"{about.name}.md", markdown(facts, rows, about).encode())
    return folder / f"{about.name}.md"


def markdown(facts: Mapping[str, Any], rows: Sequence[Row], about: About | None = None) -> str:
    """The text of RESULTS.md."""
    about = about or About()
    lines = [f"# {about.title}", "", f"Written by `{facts['command']}`; edits are lost with its next run.", ""]
    lines += table(rows, about.headings)
    lines += ["", f"![The first people, then the worst by FaceSim]({about.file('png')})", ""]
    lines += [
        "Reference, requested map, FaceSnap, base without identity, real target; the first people, then the worst.",
        "",
    ]
    lines += ["## How to read this", "", about.how_to_read, "## How it was made", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_escape(value)} |" for name, value in facts.items()]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row], headings: Mapping[str, str] | None = None) -> list[str]:
    """Markdown, a line per row; a column per method, the bounds last. ``headings``: of some columns, others' own."""
    columns, headings = _columns(rows), {**HEADINGS, **(headings or {})}
    lines = [f"| metric | {' | '.join(headings.get(column, column) for column in columns)} |"]
    lines += ["|---" * (len(columns) + 1) + "|"]
    for row in rows:
        arrow = "↑" if row.better == "higher" else "↓"
        lines.append(f"| {row.title} {arrow} | {' | '.join(cell_of(row, column) for column in columns)} |")
    return lines


def contact_sheet(strips: Sequence[Strip], headings: Sequence[str], cell: int = CELL) -> np.ndarray:
    """Lay strips out below their headings: (H, W, 3) uint8, one picture per heading, each strip below its note."""
    text = 16
    width, height = cell * len(headings), text + len(strips) * (cell + text)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((column * cell + 3, 2), heading, fill="black")
    for line, strip in enumerate(strips):
        top = text + line * (cell + text)
        for column, picture in enumerate(strip.pictures):
            if picture is not None:
                small = ImageOps.fit(Image.fromarray(picture), (cell, cell), Image.Resampling.LANCZOS)
                sheet.paste(small, (column * cell, top + text))
        draw.text((3, top + 2), _fit(strip.note, width - 6, draw), fill="black")
    return np.asarray(sheet)


def _columns(rows: Sequence[Row]) -> list[str]:
    """Methods in the order of their first appearance; the bounds come last."""
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    last = [name for name in (BASE, REAL, CHANCE) if name in names]
    return [name for name in names if name not in last] + last


def cell_of(row: Row, column: str) -> str:
    """A number with its interval, as it is printed."""
    interval = row.cells.get(column)
    if interval is None or interval.count == 0:
        return "–"
    scale, digits, unit = {"%": (100, 1, "%"), "deg": (1, 1, "°"), "x": (1, 1, "×"), "": (1, 3, "")}[row.unit]
    value, low, high = (f"{scale * number:.{digits}f}" for number in (interval.value, interval.low, interval.high))
    return f"{value}{unit}" if low == high == value else f"{value}{unit} [{low}, {high}]"


def row_to_json(row: Row) -> dict[str, Any]:
    """Plain values for JSON."""
    cells = {name: _interval_to_json(interval) for name, interval in row.cells.items()}
    return {"key": row.key, "title": row.title, "unit": row.unit, "better": row.better, "cells": cells}


def _interval_to_json(interval: Interval) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(interval).items()}


def _escape(value: Any) -> str:
    return str(value).replace("|", "\\|")


def _fit(text: str, width: float, draw: ImageDraw.ImageDraw) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` pixels; what the font lacks as '?'."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    if draw.textlength(text) <= width:
        return text
    while text and draw.textlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
