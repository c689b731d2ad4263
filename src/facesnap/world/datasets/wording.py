"""How numbers of things are written in reports."""

from __future__ import annotations

PLURALS = {"person": "people"}


def number_of(count: int, thing: str) -> str:
    """``1 picture``, ``2 pictures``, ``2 people``."""
    return f"{count} {thing if count == 1 else PLURALS.get(thing, f'{thing}s')}"
