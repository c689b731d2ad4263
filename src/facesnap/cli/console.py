"""What the command line says: results on stdout; notes, progress and errors on stderr, one line each."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facesnap.core import errors

#: Seconds between lines that tell how far the work is, where there is no terminal for a bar.
TELL_EVERY = 30


def one_line(text: object) -> str:
    """Any message on a single line."""
    return " ".join(str(text).split())


def say(message: object) -> None:
    """Tell how long work goes on."""
    print(message, file=sys.stderr, flush=True)


def note(message: object) -> None:
    """Tell the user something that is worth knowing, but no error."""
    print(f"note: {one_line(message)}", file=sys.stderr)


def error(message: object) -> None:
    """Tell the user why the command failed and what to do."""
    print(f"error: {one_line(message)}", file=sys.stderr)


def result(data: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print a command's result: ``text`` for people, or ``data`` as JSON for programs."""
    print(json.dumps(data, indent=2, ensure_ascii=False) if as_json else text)


class _Notes(logging.Handler):
    """Prints what FaceSnap's own loggers have to say."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def only_our_voice() -> Iterator[None]:
    """Show what FaceSnap logs as notes, and keep other libraries from printing their warnings and progress."""
    for library in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(library, "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    handlers = (("facesnap", _Notes(logging.WARNING)), ("", logging.NullHandler()))
    for name, handler in handlers:  # the root's stands for "somebody listens": else logging prints by itself
        logging.getLogger(name).addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, handler in handlers:
            logging.getLogger(name).removeHandler(handler)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on stderr while ``total`` steps are done; yields what to call after each.

    Without a terminal nothing is shown, so that logs stay readable.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def counted(unit: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how long work goes on, and how fast: a bar on a terminal, a line now and then elsewhere.

    Yields what is told: what is being done, how many more are done, and (if known) of how many.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        *(TextColumn("{task.description}"), BarColumn(), TextColumn(f"{{task.completed:.0f}} {unit}")),
        *(TextColumn("{task.fields[rate]}"), TimeRemainingColumn()),
    )
    tasks: dict[str, Any] = {}
    started: dict[str, float] = {}
    counts: dict[str, int] = {}
    began = time.monotonic()
    told = [began]
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:

        def progress(what: str, more: int, of: int | None) -> None:
            now = time.monotonic()
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of, rate="")
                started[what], counts[what] = began if len(tasks) == 1 else now, 0
            counts[what] += more
            rate = f"{counts[what] / max(now - started[what], 1e-3):.1f} {unit}/s"
            bar.update(tasks[what], advance=more, rate=rate)
            if bar.disable and now - told[0] >= TELL_EVERY:
                told[0] = now
                say(f"{what}: {counts[what]} {unit}, {rate}")

        yield progress


def check_folder(folder: Path, option: str = "--output") -> None:
    """Make sure, before any long work, that files can be written to a folder (it may not exist yet).

    Nothing is left behind: folders made for the trial are removed again. ``option``: what names another folder.

    Raises:
        OutputError: it can't be made or written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as problem:
        reason = "it is a file, not a folder" if folder.is_file() else errors.one_line(problem)
        raise errors.OutputError(f"can't write to {folder}: {reason}; choose another {option}") from problem
    finally:
        for path in missing:
            with suppress(OSError, ValueError):
                path.rmdir()


def check_file(path: Path, option: str = "--output", endings: Sequence[str] = ()) -> None:
    """Like :func:`check_folder`, for a single result file, whose name ends in one of ``endings`` if there are any.

    Raises:
        UsageError: the name has another ending.
        OutputError: it is a folder, or its folder can't be made or written.
    """
    if path.is_dir():
        raise errors.OutputError(f"can't write {path}: it is a folder; give a file name with {option}")
    if endings and path.suffix.lower() not in endings:
        raise errors.UsageError(f"{option} {path}: give a name that ends in {' or '.join(endings)}")
    check_folder(path.parent, option)
