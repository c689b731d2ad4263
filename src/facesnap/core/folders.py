"""The user's folders: where FaceSnap keeps what it can fetch or make again, and what it is told to read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facesnap.core.errors import InputError, OutputError, one_line


def cache_folder() -> Path:
    """``facesnap`` in the user's cache: ``$XDG_CACHE_HOME``, else ``~/.cache``. It may not exist yet."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification wants relative paths ignored.
    base = named if os.path.isabs(named) else os.path.expanduser("~/.cache")
    return Path(base) / "facesnap"


def check_readable(folder: Path) -> None:
    """Refuse to read from what is no folder.

    Raises:
        InputError: there is no such folder, or it is a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder" if folder.exists() else f"no such folder: {folder}")


@contextmanager
def only_run(folder: Path, lock: Path) -> Iterator[None]:
    """Only one run at a time in a folder; the lock ends with the process, however that ends.

    Args:
        folder: that is worked in.
        lock: a file in it, which stays; its folder is made.

    Raises:
        OutputError: another run is at work there, or nothing can be written.
    """
    import fcntl  # there is none on Windows, where the rest of this module works

    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"can't write to {folder}: {one_line(error)}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"another run is at work in {folder}: wait for it, or use another folder") from error
        yield
