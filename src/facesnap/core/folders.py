"""Where FaceSnap keeps what it fetched or made once and can fetch or make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``facesnap`` in the user's cache: ``$XDG_CACHE_HOME``, else ``~/.cache``. It may not exist yet."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification wants relative paths ignored.
    base = named if os.path.isabs(named) else os.path.expanduser("~/.cache")
    return Path(base) / "facesnap"
