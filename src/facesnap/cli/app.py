"""The ``facesnap`` command: one file per subcommand, one policy for errors.

Exit codes: 0 done, 1 an error inside FaceSnap, 2 wrong usage, 3 an input that can't be used, 4 an output that can't
be written, 130 interrupted. Every error is one line on stderr; ``--debug`` adds the traceback. Nothing heavy is
imported here or at the top of the command files: ``facesnap --help`` has to answer at once.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from facesnap import __version__
from facesnap.cli import (
    arena,
    batch,
    compare,
    console,
    data,
    demo,
    doctor,
    enroll,
    evaluate,
    generate,
    inspect,
    landmarks,
    mini,
    serve,
    train,
    world,
)
from facesnap.core.errors import FaceSnapError, OutputError

app = typer.Typer(
    name="facesnap",
    help="One photo of a person and a prompt in, portraits of that person out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("generate")(generate.generate)
app.command("batch")(batch.batch)
app.command("enroll")(enroll.enroll)
app.command("landmarks")(landmarks.landmarks)
app.command("compare")(compare.compare)
app.command("inspect")(inspect.inspect)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("evaluate")(evaluate.evaluate)
app.command("serve")(serve.serve)
app.command("train")(train.train)
app.add_typer(data.app, name="data")
app.add_typer(world.app, name="world")
app.add_typer(mini.app, name="mini")
app.add_typer(arena.app, name="arena")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"facesnap {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (works after any command).")] = False,
) -> None:
    """One photo of a person and a prompt in, portraits of that person out."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    code = run(list(sys.argv[1:] if arguments is None else arguments))
    if any(thread.name.startswith("facesnap-") for thread in threading.enumerate()):
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """Exit beside a thread that still works: Python torn down under one that is inside torch aborts the process."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Every exception ends here, as one line on stderr."""
    debug = "--debug" in arguments
    try:
        with console.only_our_voice():
            words = [word for word in arguments if word != "--debug"]
            code = get_command(app).main(words, prog_name="facesnap", standalone_mode=False)
        if code == 130:
            console.error("interrupted")
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as problem:
        if debug:
            traceback.print_exc()
        return _report(problem)


def _report(problem: BaseException) -> int:
    """Say what went wrong in one line, and return the exit code."""
    if isinstance(problem, FaceSnapError):
        console.error(problem)
        return problem.exit_code
    if isinstance(problem, KeyboardInterrupt):
        console.error("interrupted")
        return 130
    if hasattr(problem, "format_message"):  # typer's own errors: a wrong option, a missing argument
        return _report_usage(problem)
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        console.error("not enough memory: ask for fewer or smaller pictures, or use --device cpu")
        return 1
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:  # standard output is a full disk's file
        console.error("can't write: no space left on the device")
        return OutputError.exit_code
    console.error(f"internal error: {type(problem).__name__}: {problem} (run with --debug for the traceback)")
    return 1


def _report_usage(problem: BaseException) -> int:
    message = problem.format_message()  # type: ignore[attr-defined]
    if type(problem).__name__ == "NoArgsIsHelpError":
        print(message)
        return 0
    context = getattr(problem, "ctx", None)
    command = context.command_path if context is not None else "facesnap"
    console.error(f"{message.rstrip('.')} (see {command} --help)")
    return int(getattr(problem, "exit_code", 2))


if __name__ == "__main__":
    main()
