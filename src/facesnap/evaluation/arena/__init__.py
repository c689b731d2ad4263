"""The arena: FaceSnap, its rivals and its ablations, trained on equal terms and asked the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def evaluate_arena(
    run: Path, output: Path, methods: Sequence[str], people: int, seed: int, device: str, **asked: Any
) -> Path:
    """Run the suite (see :func:`facesnap.evaluation.arena.suite.run_arena`) and write its report; its path."""
    from facesnap.core.machine import own_command
    from facesnap.evaluation.arena.report import write_report
    from facesnap.evaluation.arena.suite import run_arena

    return write_report(run_arena(run, methods, people, seed, device, **asked), output, own_command())
