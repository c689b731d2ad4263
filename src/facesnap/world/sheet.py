"""Contact sheets: people down, conditions across."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facesnap.core.images import save_jpeg, save_png
from facesnap.landmarks.draw import overlay as draw_on

#: What the name of a sheet's file may end in.
JPEG = (".jpg", ".jpeg")
ENDINGS = (".png", *JPEG)


def contact_sheet(
    people: int = 8,
    conditions: int = 6,
    size: int = 128,
    seed: int = 0,
    first: int = 0,
    preset: str = "full",
    overlay: bool = False,
) -> np.ndarray:
    """Render a sheet (people * size, conditions * size, 3) uint8; ``overlay`` draws the 72 landmarks.

    Those that the head itself or something before it hides are rings, the others dots.
    """
    from facesnap.world.moments import sample_conditions
    from facesnap.world.people import sample_person
    from facesnap.world.render.renderer import Renderer

    renderer = Renderer(size)
    rows = []
    for person_id in range(first, first + people):
        person = sample_person(seed, person_id)
        row = []
        for index in range(conditions):
            made = renderer.render(person, sample_conditions(seed, person, index, preset))
            row.append(_with_landmarks(made.image, made.labels) if overlay else made.image)
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def _with_landmarks(image: np.ndarray, labels: dict[str, Any]) -> np.ndarray:
    hidden = ~np.array(labels["visible"]) | np.array(labels["occluded"])
    return draw_on(image, np.array(labels["landmarks2d"]), hidden=hidden)


def save_sheet(path: Path, sheet: np.ndarray, note: str) -> None:
    """Write a sheet (H, W, 3) uint8 as PNG with ``note`` inside, or, to ``*.jpg``, as JPEG of a fifth the size.

    Raises:
        OutputError: the file can't be written.
    """
    if path.suffix.lower() not in JPEG:
        save_png(path, sheet, {"world": note})
        return
    save_jpeg(path, sheet)
