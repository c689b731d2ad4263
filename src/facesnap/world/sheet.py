"""Contact sheets: people down, conditions across."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facesnap.landmarks.layout import COLOURS, GROUPS


def contact_sheet(
    people: int = 8,
    conditions: int = 6,
    size: int = 128,
    seed: int = 0,
    first: int = 0,
    preset: str = "cpu",
    overlay: bool = False,
) -> np.ndarray:
    """Render a sheet (people * size, conditions * size, 3) uint8; ``overlay`` draws the 72 landmarks."""
    from facesnap.world.characters import sample_conditions, sample_person
    from facesnap.world.render import Renderer

    renderer = Renderer(size)
    rows = []
    for person_id in range(first, first + people):
        person = sample_person(seed, person_id)
        row = []
        for index in range(conditions):
            made = renderer.render(person, sample_conditions(seed, person, index, preset))
            row.append(with_landmarks(made.image, np.array(made.labels["landmarks2d"])) if overlay else made.image)
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def with_landmarks(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A copy of a picture (S, S, 3) with landmarks (72, 2) as coloured dots."""
    drawn = image.copy()
    radius = max(1, round(0.006 * image.shape[0]))
    for name, part in GROUPS.items():
        for x, y in points[part]:
            centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))  # fixed point with 4 binary places
            cv2.circle(drawn, centre, radius * 16, COLOURS[name], -1, cv2.LINE_AA, 4)
    return drawn


def save_sheet(path: str | Path, sheet: np.ndarray) -> None:
    """Write a sheet as PNG (temporary name, then renamed)."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    temporary.replace(path)
