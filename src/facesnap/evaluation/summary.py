"""From what was seen to the numbers of the table: pure arithmetic on records, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facesnap.evaluation import metrics
from facesnap.evaluation.attributes import accuracies, agreement
from facesnap.evaluation.metrics import Interval
from facesnap.evaluation.recognise import FAR
from facesnap.evaluation.records import Record, Seen
from facesnap.landmarks.layout import nme

#: Names of the columns that every table has beside the methods'.
BASE, REAL, CHANCE = "base", "real", "chance"


@dataclass(frozen=True)
class Row:
    """One metric. ``unit``: "" for a cosine, "%" (cells are fractions), "deg" or "x"; ``cells``: column -> number."""

    key: str
    title: str
    unit: str
    better: str
    cells: Mapping[str, Interval]


class Columns:
    """The records as arrays over people, NaN where nothing was found."""

    def __init__(self, records: Sequence[Record], seed: int) -> None:
        self.records, self.seed = records, seed
        self.others = metrics.derangement(len(records), seed)
        self.gallery_names = [f"gallery_{i}" for i in range(len(records[0].trial.gallery))]
        self.requested = np.stack([record.requested for record in records])
        self.labels = np.stack([record.labels for record in records])
        poses = [record.trial.pose for record in records]
        self.angles = np.array([[pose.yaw, pose.pitch, pose.roll] for pose in poses])
        self.expression = np.stack([pose.weights() for pose in poses])

    def take(self, picture: str, part: str) -> np.ndarray:
        """(N, ...) one part of what was seen in everybody's picture of that name."""
        values = [_part(record.seen.get(picture), part) for record in self.records]
        present = [value for value in values if value is not None]
        if not present:
            return np.full((len(values), *_EMPTY[part]), np.nan)
        missing = np.full(present[0].shape, np.nan)
        return np.stack([missing if value is None else value for value in values])

    def gallery(self) -> np.ndarray:
        """(N, D) unit mean of the embeddings of each person's gallery pictures in which a face was found."""
        faces = [self.take(name, "embedding") for name in self.gallery_names]
        width = max(found.shape[1] for found in faces)  # a column without any face is one wide
        mean = metrics.mean_of_finite(np.stack([found for found in faces if found.shape[1] == width]))
        return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12))

    def similarity(self, picture: str, others: Sequence[str]) -> np.ndarray:
        """(N,) mean cosine of a picture's embedding with those of the other pictures that show a face."""
        face = self.take(picture, "embedding")
        cosines = [_cosine(face, self.take(other, "embedding")) for other in others]
        return metrics.mean_of_finite(np.stack(cosines))

    def interval(self, values: np.ndarray) -> Interval:
        """Mean over people with its interval."""
        return metrics.bootstrap_mean(values, self.seed)


_EMPTY: Mapping[str, tuple[int, ...]] = {
    "embedding": (1,),
    "clip": (1,),
    "landmarks": (72, 2),
    "angles": (3,),
    "expression": (53,),
}


def summarise(records: Sequence[Record], texts: np.ndarray, methods: Sequence[str], seed: int) -> list[Row]:
    """All rows of the table.

    Args:
        records: one per person.
        texts: (N, C) the CLIP judge's feature of each person's prompt, in their order.
        methods: names of the pictures that methods made (``base`` among them, as the lower bound).
        seed: of the bootstrap and of whose prompt (or face) is borrowed for the chance column.
    """
    columns = Columns(records, seed)
    pictures = {**{name: name for name in methods}, REAL: "target"}
    return [
        *identity_rows(columns, pictures),
        *landmark_rows(columns, pictures),
        *pose_rows(columns, pictures),
        prompt_row(columns, pictures, texts),
        *attribute_rows(columns, pictures),
        *failure_rows(columns, pictures, methods),
        *_ratio_rows(columns, methods),
    ]


def identity_rows(columns: Columns, pictures: Mapping[str, str]) -> list[Row]:
    """Rank-1 and FaceSim; column -> picture, :data:`REAL` among them: another render of the person."""
    gallery, count = columns.gallery(), len(columns.records)
    hits = {name: metrics.wilson(rank1_hits(columns, picture, gallery)) for name, picture in pictures.items()}
    chance = Interval(1 / count, 1 / count, 1 / count, count)
    rows = [Row("rank1", "rank-1 identification", "%", "higher", {**hits, CHANCE: chance})]
    rows += _verification_row(columns, pictures, gallery)
    reference, real = columns.take("reference", "embedding"), columns.take(pictures[REAL], "embedding")
    strangers = columns.interval(_cosine(real[columns.others], reference))
    to = {"reference": ["reference"], "other": columns.gallery_names}
    for key, others in to.items():
        title = f"FaceSim to {'the reference' if key == 'reference' else 'other pictures of the person'}"
        values = {name: columns.similarity(picture, others) for name, picture in pictures.items()}
        over_all = {name: columns.interval(metrics.floored(value)) for name, value in values.items()}
        found = {name: columns.interval(value) for name, value in values.items()}
        rows.append(Row(f"facesim_{key}", title, "", "higher", {**over_all, CHANCE: strangers}))
        rows.append(Row(f"facesim_{key}_found", f"{title}, faces found only", "", "higher", found))
    return rows


def _verification_row(columns: Columns, pictures: Mapping[str, str], gallery: np.ndarray) -> list[Row]:
    """TAR at a FAR that is set on real pictures; none where there are too few people for it."""
    probes = {name: columns.take(picture, "embedding") for name, picture in pictures.items()}
    if probes[REAL].shape != gallery.shape:
        return []
    threshold = metrics.impostor_threshold(probes[REAL], gallery, FAR)
    if np.isnan(threshold):
        return []
    known = {
        name: each if each.shape == gallery.shape else np.full(gallery.shape, np.nan) for name, each in probes.items()
    }
    cells = {name: metrics.wilson(metrics.verified(each, gallery, threshold)) for name, each in known.items()}
    count = len(columns.records)
    chance = Interval(FAR, FAR, FAR, count)
    return [
        Row("verified", f"verified (TAR at FAR {FAR:.1%} of real pictures)", "%", "higher", {**cells, CHANCE: chance})
    ]


def rank1_hits(columns: Columns, picture: str, gallery: np.ndarray) -> np.ndarray:
    """(N,) 1.0 where the picture is identified (:func:`metrics.rank1`)."""
    probes = columns.take(picture, "embedding")
    if probes.shape != gallery.shape:  # no face at all in one of them
        return np.zeros(len(probes))
    return metrics.rank1(probes, gallery)


def landmark_rows(columns: Columns, pictures: Mapping[str, str]) -> list[Row]:
    """NME to the requested map, and what E_3d's own error and the request's are."""
    errors = {name: nme_of(columns, picture) for name, picture in pictures.items()}
    over_all = {name: columns.interval(metrics.capped(error)) for name, error in errors.items()}
    found = {name: columns.interval(error) for name, error in errors.items()}
    own = nme(columns.take("target", "landmarks"), columns.labels)
    asked = nme(columns.requested, columns.labels)
    cap = f"{metrics.NME_CAP:.0%}"
    return [
        Row("nme", f"landmark NME (a miss, or more than {cap}, counts {cap})", "%", "lower", over_all),
        Row("nme_found", "landmark NME, faces found only", "%", "lower", found),
        Row("nme_labels", "E_3d against the target's exact labels", "%", "lower", {REAL: columns.interval(own)}),
        Row("nme_request", "requested points against those labels", "%", "lower", {REAL: columns.interval(asked)}),
    ]


def nme_of(columns: Columns, picture: str) -> np.ndarray:
    """(N,) NME of the landmarks found in a picture against the requested ones; NaN where no face was found."""
    return nme(columns.take(picture, "landmarks"), columns.requested)


def pose_rows(columns: Columns, pictures: Mapping[str, str]) -> list[Row]:
    """Degrees from the requested angles, and how far the expression is from the requested one."""
    errors = {
        name: metrics.pose_error(columns.take(picture, "angles"), columns.angles) for name, picture in pictures.items()
    }
    rows = [
        Row(
            angle,
            f"{angle} error, faces found only",
            "deg",
            "lower",
            {n: columns.interval(e[:, i]) for n, e in errors.items()},
        )
        for i, angle in enumerate(("yaw", "pitch", "roll"))
    ]
    weights = {name: columns.take(picture, "expression") for name, picture in pictures.items()}
    cells = {n: columns.interval(np.abs(each - columns.expression).mean(axis=1)) for n, each in weights.items()}
    if not any(cell.count for cell in cells.values()):
        return rows
    title = "expression error, mean over 53 weights, faces found only"
    return [*rows, Row("expression", title, "", "lower", cells)]


def prompt_row(columns: Columns, pictures: Mapping[str, str], texts: np.ndarray) -> Row:
    """CLIP-T; ``texts`` (N, C) are the prompts' features."""
    values = {name: _cosine(columns.take(picture, "clip"), texts) for name, picture in pictures.items()}
    cells = {name: columns.interval(metrics.floored(value)) for name, value in values.items()}
    shuffled = _cosine(columns.take("target", "clip"), texts[columns.others])
    return Row(
        "clip_t",
        "CLIP-T (chance: the real render with another's prompt)",
        "",
        "higher",
        {**cells, CHANCE: columns.interval(shuffled)},
    )


def attribute_rows(columns: Columns, pictures: Mapping[str, str]) -> list[Row]:
    """Whether the judge of attributes reads what the prompt says: all of it, then one by one; none without a judge."""
    asked = [record.trial.asked for record in columns.records]
    hits = {name: _agreements(columns, picture, asked) for name, picture in pictures.items()}
    hits[CHANCE] = _agreements(columns, "target", [asked[i] for i in columns.others])
    if not any(any(rows) for rows in hits.values()):
        return []
    means = {n: np.array([np.mean(list(row.values())) if row else np.nan for row in rows]) for n, rows in hits.items()}
    cells = {name: columns.interval(values) for name, values in means.items()}
    first = Row("attributes", "attributes as the prompt says (chance: real, another's prompt)", "%", "higher", cells)
    each = {name: accuracies(rows) for name, rows in hits.items()}
    return [first, *(
        Row(f"attribute_{name}", f"... {name.replace('_', ' ')}", "%", "higher",
            {of: found[name] for of, found in each.items() if name in found})
        for name in each[REAL] if name != "all"
    )]  # fmt: skip


def _agreements(columns: Columns, picture: str, asked: Sequence[Mapping[str, str]]) -> list[dict[str, float]]:
    """Per person: attribute -> 1.0 or 0.0; empty where there is no picture, or no judge of attributes."""
    seen = [record.seen.get(picture) for record in columns.records]
    read = [None if one is None else one.attributes for one in seen]
    return [{} if words is None else agreement(wanted, words) for wanted, words in zip(asked, read, strict=True)]


def failure_rows(columns: Columns, pictures: Mapping[str, str], methods: Sequence[str]) -> list[Row]:
    """Pictures without a face, and pictures that weren't made."""

    def share(flags: Sequence[bool]) -> Interval:
        return metrics.wilson(np.array(flags, dtype=np.float64))

    no_face = {
        name: share([picture in r.seen and not r.seen[picture].found for r in columns.records])
        for name, picture in pictures.items()
    }
    refused = {name: share([name in record.failures for record in columns.records]) for name in methods}
    return [
        Row("no_face", "no face found in the picture", "%", "lower", no_face),
        Row("refused", "no picture made (no face found in the reference)", "%", "lower", refused),
    ]


def _ratio_rows(columns: Columns, methods: Sequence[str]) -> list[Row]:
    """How far above chance, and how far below the base without FFRNet: the two numbers first asked for."""
    gallery, count = columns.gallery(), len(columns.records)
    times, below = {}, {}
    for name in methods:
        hits = metrics.wilson(rank1_hits(columns, name, gallery))
        times[name] = Interval(hits.value * count, hits.low * count, hits.high * count, hits.count)
        if name != BASE and BASE in methods:
            errors = [metrics.capped(nme_of(columns, method)) for method in (BASE, name)]
            below[name] = metrics.bootstrap_ratio(errors[0], errors[1], columns.seed)
    return [
        Row("rank1_over_chance", "rank-1 as a multiple of chance", "x", "higher", times),
        Row("nme_ratio", "landmark NME: base without identity / method", "x", "higher", below),
    ]


def _part(seen: Seen | None, part: str) -> np.ndarray | None:
    return None if seen is None else getattr(seen, part)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape != b.shape:  # nothing was found in any picture of one of them
        return np.full(len(a), np.nan)
    return metrics.cosine(a, b)
