"""From what was seen in the arena to the numbers of its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from facesnap.evaluation import metrics
from facesnap.evaluation.arena import measures
from facesnap.evaluation.metrics import Interval
from facesnap.evaluation.records import Record
from facesnap.evaluation.summary import (
    BASE,
    REAL,
    Columns,
    Row,
    attribute_rows,
    failure_rows,
    identity_rows,
    landmark_rows,
    pose_rows,
    prompt_row,
)

#: A person's render that is neither reference nor gallery, by its name in a record.
OWN: Final = "own"
#: Names of one method's further pictures: other strengths, other noise, other training seeds, other guidance.
AT, NOISE, TRAINED, GUIDED = "@", "#", "~", "%"


def summarise(
    records: Sequence[Record], texts: np.ndarray, methods: Sequence[str], seed: int, sharp: Mapping[str, np.ndarray]
) -> list[Row]:
    """All rows of the table.

    Args:
        records: one per person.
        texts: (N, C) the CLIP judge's feature of each prompt.
        methods: names of the pictures to be told of, the base's among them.
        seed: of the bootstrap.
        sharp: picture -> (N,) sharpness of its face.
    """
    columns = Columns(records, seed)
    made = {name: name for name in methods}
    return [
        *identity_rows(columns, {**made, REAL: OWN}),
        copy_paste_row(columns, {**made, REAL: OWN}),
        *_landmark_rows(columns, made),
        *pose_rows(columns, {**made, REAL: "target"}),
        prompt_row(columns, {**made, REAL: "target"}, texts),
        *attribute_rows(columns, {**made, REAL: "target"}),
        disturbance_row(columns, made),
        *_distribution_rows(columns, made),
        _sharpness_row(columns, made, sharp),
        *failure_rows(columns, {**made, REAL: "target"}, [name for name in methods if name != BASE]),
    ]


def _landmark_rows(columns: Columns, made: Mapping[str, str]) -> list[Row]:
    """As everywhere; the request is exact here, and what the driver's own landmarks miss of it stands beside."""
    rows = landmark_rows(columns, made)
    titles = {"nme_request": "the driver's own landmarks against the request (what shape is worth)"}
    return [replace(row, title=titles.get(row.key, row.title)) for row in rows]


def copy_paste_row(columns: Columns, pictures: Mapping[str, str]) -> Row:
    """See :func:`measures.copy_paste`."""
    reference = columns.take("reference", "embedding")
    others = [
        found for name in columns.gallery_names if (found := columns.take(name, "embedding")).shape == reference.shape
    ]
    cells = {}
    for name, picture in pictures.items():
        found = columns.take(picture, "embedding")
        known = bool(others) and found.shape == reference.shape
        cells[name] = columns.interval(measures.copy_paste(found, reference, others) if known else _nothing(columns))
    title = "copy-paste, faces found only (1: repeats the reference; 0: as near to other pictures)"
    return Row("copy_paste", title, "", "lower", cells)


def disturbance_row(columns: Columns, made: Mapping[str, str]) -> Row:
    """CLIP-I of a picture with the one that the base alone makes of the same prompt and noise."""
    alone = columns.take(BASE, "clip")
    cells = {
        name: columns.interval(metrics.floored(metrics.cosine(columns.take(picture, "clip"), alone)))
        for name, picture in made.items()
        if name != BASE
    }
    return Row("clip_i", "CLIP-I to the base's picture without identity", "", "higher", cells)


def _distribution_rows(columns: Columns, made: Mapping[str, str]) -> list[Row]:
    """KID, and FID where there are enough pictures, of all pictures of a method and the drivers' renders."""
    real = columns.take("target", "clip")
    rows = []
    for key, title, distance, least in (
        ("kid", "KID x 1000", lambda a, b: 1000 * measures.kid(a, b), measures.KID_SAMPLES),
        ("fid", "FID", measures.fid, measures.FID_SAMPLES_PER_ENTRY * real.shape[1]),
    ):
        pictures = {name: columns.take(picture, "clip") for name, picture in made.items()}
        cells = {name: of_sets(distance, each, real, least, columns.seed) for name, each in pictures.items()}
        if any(cell.count for cell in cells.values()):
            rows.append(Row(key, f"{title}, by the CLIP judge's features", "", "lower", cells))
    return rows


def of_sets(
    distance: Callable[[np.ndarray, np.ndarray], float], features: np.ndarray, real: np.ndarray, least: int, seed: int
) -> Interval:
    """A distance of sets of rows (N, d), with the interval of 100 halves; NaN of fewer rows than ``least``.

    Halves are drawn without repeats, which would look like less variety. The variance between them, ``(2/n - 1/n) S^2``
    for means, is that of the whole.
    """
    known = np.isfinite(features).all(axis=1) & np.isfinite(real).all(axis=1)
    features, real = features[known], real[known]
    if len(features) < least:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    value, rng, half = distance(features, real), np.random.default_rng(seed), len(features) // 2
    draws = [rng.permutation(len(features))[:half] for _ in range(100)]
    spread = float(np.std([distance(features[rows], real[rows]) for rows in draws]))
    return Interval(value, value - 1.96 * spread, value + 1.96 * spread, len(features))


def _sharpness_row(columns: Columns, made: Mapping[str, str], sharp: Mapping[str, np.ndarray]) -> Row:
    cells = {name: columns.interval(np.abs(sharp[picture] - sharp["target"])) for name, picture in made.items()}
    title = "sharpness of the face, distance from the driver's render's (log10), faces found only"
    return Row("sharpness", title, "", "lower", cells)


def diversity_row(distances: Mapping[str, np.ndarray], seed: int) -> Row:
    """Distance between portraits of one person by the same prompt, map and different noise; method -> (N, pairs)."""
    cells = {name: metrics.bootstrap_mean(each.mean(axis=1), seed) for name, each in distances.items() if each.size}
    return Row("diversity", "distance between portraits of different seeds", "", "higher", cells)


def guidance_rows(records: Sequence[Record], texts: np.ndarray, guided: Mapping[str, Mapping[float, str]]) -> list[Row]:
    """Likeness and prompt-following with so much of the guidance on the face, of those people who were asked so.

    ``guided``: method -> share -> picture.
    """
    pictures = {picture for several in guided.values() for picture in several.values()}
    rows = [i for i, record in enumerate(records) if pictures <= set(record.seen)]
    if len(rows) < 2:
        return []
    columns, texts = Columns([records[i] for i in rows], 0), texts[rows]
    found = []
    for share in sorted({share for several in guided.values() for share in several}):
        asked = {name: several[share] for name, several in guided.items() if share in several}
        likeness = {name: columns.interval(columns.similarity(p, columns.gallery_names)) for name, p in asked.items()}
        prompts = {name: columns.interval(metrics.cosine(columns.take(p, "clip"), texts)) for name, p in asked.items()}
        how = f"the face guided by {share:.0%}"
        found.append(Row(f"facesim_other%{share}", f"FaceSim to other pictures, {how}", "", "higher", likeness))
        found.append(Row(f"clip_t%{share}", f"CLIP-T, {how}", "", "higher", prompts))
    return found


def over_trainings(rows: Sequence[Row], name: str) -> dict[str, Interval]:
    """Key -> a method's mean over its training seeds; the interval is of the seeds' values (Student's t, 95%).

    Columns ``name`` and ``name~1``, ``name~2`` ... are its trainings; only one of them gives no interval.
    """
    found = {}
    for row in rows:
        values = [c.value for key, c in row.cells.items() if key == name or key.startswith(f"{name}{TRAINED}")]
        if len(values) > 1 and np.isfinite(values).all():
            mean, half = (
                float(np.mean(values)),
                _T[min(len(values), 10)] * float(np.std(values, ddof=1)) / len(values) ** 0.5,
            )
            found[row.key] = Interval(mean, mean - half, mean + half, len(values))
    return found


#: Student's t, two-sided 95%, by the number of values (a wider one for more).
_T: Final = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def _nothing(columns: Columns) -> np.ndarray:
    return np.full(len(columns.records), np.nan)
