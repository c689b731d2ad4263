"""``results.jsonl``: one line per portrait, in the order of the jobs, always whole."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facesnap.core.images import write_atomic
from facesnap.pipelines.batch.plan import Asked
from facesnap.pipelines.batch.values import RESULTS
from facesnap.pipelines.batch.work import Painted

#: Seconds between writings, and how much longer than writing itself that must be.
_EVERY, _SHARE = 10.0, 20


class Results:
    """What is known of all portraits of a batch.

    Args:
        out: the batch's folder.
        asked: all portraits.
    """

    def __init__(self, out: Path, asked: Sequence[Asked]) -> None:
        self._path, self._asked = out / RESULTS, asked
        self._before = _seconds_before(self._path)
        self._known: dict[int, dict[str, Any]] = {}
        self._due = 0.0

    def kept(self, number: int, told: Mapping[str, Any]) -> None:
        """A portrait is there; ``told``: what its file says of it."""
        one = self._asked[number]
        seconds = self._before.get((one.file, one.settings))
        self._known[number] = {"report": told.get("report"), "seconds": seconds, "error": None}

    def became(self, painted: Painted) -> None:
        """A portrait was made, or failed."""
        told = {"report": painted.report, "seconds": painted.seconds, "error": painted.error}
        self._known[painted.number] = told

    @property
    def missing(self) -> list[int]:
        """Numbers of the portraits of which nothing is known."""
        return [number for number in range(len(self._asked)) if number not in self._known]

    @property
    def failed(self) -> int:
        """How many can't be made."""
        return sum(told["error"] is not None for told in self._known.values())

    def write(self, *, now: bool = True) -> None:
        """Write the file; ``now``: even if that was done a moment ago. Raises OutputError."""
        began = time.monotonic()
        if not now and began < self._due:
            return
        lines = [json.dumps(self._line(number), ensure_ascii=False) for number in range(len(self._asked))]
        write_atomic(self._path, "".join(f"{line}\n" for line in lines).encode())
        ended = time.monotonic()
        self._due = ended + max(_EVERY, _SHARE * (ended - began))

    def _line(self, number: int) -> dict[str, Any]:
        one = self._asked[number]
        told = self._known.get(number, {"report": None, "seconds": None, "error": "not made yet"})
        return {
            "job": one.job.line,
            "name": one.job.name,
            "index": one.index,
            **dict(zip(("person", "prompt", "pose"), one.at, strict=False)),
            "seed": one.seed,
            "file": one.file if told["error"] is None else None,
            "settings": one.settings,
            **told,
        }


def _seconds_before(path: Path) -> dict[tuple[str, str], float]:
    """File and settings -> seconds, of an earlier run; nothing of a file that can't be read."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return {(line["file"], line["settings"]): line["seconds"] for line in lines if line["file"] is not None}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
