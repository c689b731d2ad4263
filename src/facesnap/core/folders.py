"""The user's folders: where FaceSnap keeps what it can fetch or make again, and what it is told to read."""

from __future__ import annotations

import os
from pathlib import Path

from facesnap.core.errors import InputError


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
