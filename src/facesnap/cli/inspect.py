"""``facesnap inspect``: what pictures say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facesnap.cli import console, options
from facesnap.core.errors import ImageError

if TYPE_CHECKING:
    from facesnap.serving.inspection import Inspection

#: Characters of a value that is no text, such as a pose with all its weights.
_MOST: Final = 100

#: Settings that have lines of their own.
_SAID: Final = frozenset({"generated", "consent", "watermark"})


def inspect(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Pictures of any kind.")],
    job: Annotated[
        str | None, typer.Option("--job", metavar="ID", help="Say whether the watermark is that of this job, too.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say what pictures say of themselves: settings, that they are generated, consent, and the invisible watermark.

    None of it is signed. What has no metadata may have lost it, and what has no watermark may still be generated. Exit
    code 3 if a picture can't be read; the others are shown.
    """
    from facesnap.serving.inspection import inspect as look

    told: list[dict[str, Any]] = []
    texts: list[str] = []
    for picture in pictures:
        try:
            found = look(picture)
        except ImageError as error:  # the others are shown all the same
            console.error(error)
            told.append({"picture": str(picture), "error": console.one_line(error)})
        else:
            told.append({**found.to_dict(), **({} if job is None else {"of_job": found.is_of(job)})})
            texts.append(_text(found, job))
    if texts or as_json:
        console.result({"pictures": told}, "\n\n".join(texts), as_json)
    if len(texts) < len(pictures):
        raise typer.Exit(ImageError.exit_code)


def _text(found: Inspection, job: str | None) -> str:
    lines = [
        f"{found.picture}: {found.format}, {found.width} x {found.height} pixels",
        f"  generated: {_generated(found)}",
        f"  consent of the person: {_CONSENT[found.consent]}",
        f"  watermark: {_watermark(found, job)}",
    ]
    settings = {name: value for name, value in (found.settings or {}).items() if name not in _SAID}
    lines += [f"  {_shown(name)}: {_shown(value)}" for name, value in settings.items()]
    return "\n".join(lines if settings else [*lines, "  settings: none"])


_CONSENT: Final[dict[bool | None, str]] = {True: "declared", False: "not declared", None: "nothing is said of it"}


def _generated(found: Inspection) -> str:
    if not found.generated:
        return "nothing says so"
    sources = {
        "its settings": found.settings,
        "a c2pa claim": found.claim,
        "XMP": found.source_type,
        "the watermark": found.mark,
    }
    by = [name for name, value in sources.items() if value is not None]
    return f"yes, say {', '.join(by)} (not signed)"


def _watermark(found: Inspection, job: str | None) -> str:
    from facesnap.serving.watermark import BELIEVED

    agreement = f"score {found.agreement:g}; a mark has {BELIEVED:g} or more"
    if found.mark is None:
        return f"none found ({agreement})"
    said = f"{found.mark} ({agreement})"
    if found.as_told is False:
        said += ", another than its settings name"
    if job is not None:
        said += f", {'' if found.is_of(job) else 'not '}of that job"
    return said


def _shown(value: Any) -> str:
    """A stranger's text on one line, without what could drive a terminal; of long values only the beginning."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = console.one_line("".join(char if char.isprintable() else " " for char in text))
    return line if isinstance(value, str) or len(line) <= _MOST else f"{line[:_MOST]} ... (--json shows all)"
