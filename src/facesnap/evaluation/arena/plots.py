"""Two drawings: likeness against prompt-following as methods act more strongly, and landmark error by yaw."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from facesnap.evaluation import metrics
from facesnap.evaluation.arena.summary import AT, TRAINED
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.evaluation.records import Record
from facesnap.evaluation.summary import Columns, nme_of

#: Degrees of the driver's yaw, from and to.
YAWS: Final = ((0, 10), (10, 20), (20, 90))


def strength_curves(
    records: Sequence[Record], texts: np.ndarray, names: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """Method -> points of rising ``strength``: ``clip_t`` and ``facesim`` to other pictures, of the same people."""
    found: dict[str, list[dict[str, float]]] = {}
    for name in names:
        pictures = {picture for record in records for picture in record.seen if picture.startswith(f"{name}{AT}")}
        strengths = {float(picture.split(AT)[1]): picture for picture in pictures}
        rows = [i for i, record in enumerate(records) if all(p in record.seen for p in (name, *strengths.values()))]
        if not strengths or len(rows) < 2:
            continue
        columns = Columns([records[i] for i in rows], 0)
        found[name] = [
            {
                "strength": strength,
                "clip_t": float(metrics.floored(metrics.cosine(columns.take(picture, "clip"), texts[rows])).mean()),
                "facesim": float(metrics.floored(columns.similarity(picture, columns.gallery_names)).mean()),
            }
            for strength, picture in sorted({**strengths, 1.0: name}.items())
        ]
    return found


def draw_strength(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """PNG of :func:`strength_curves`; each method's last point is full strength."""
    plt, figure, axes = _figure()
    for name, points in curves.items():
        x, y = ([point[key] for point in points] for key in ("clip_t", "facesim"))
        axes.plot(x, y, marker=".", label=name, **_line(name))
        axes.plot(x[-1:], y[-1:], marker="o", color=axes.lines[-1].get_color())
    axes.set_xlabel("CLIP-T")
    axes.set_ylabel("FaceSim to other pictures")
    return _png(plt, figure, axes)


def draw_yaw(records: Sequence[Record], names: Sequence[str]) -> bytes:
    """PNG: mean landmark NME, a miss counting 100%, by the driver's yaw, of methods that are told the pose."""
    plt, figure, axes = _figure()
    columns = Columns(records, 0)
    yaw = np.abs(columns.angles[:, 0])
    bins = {f"{low}° to {high}°": (yaw >= low) & (yaw < high) for low, high in YAWS}
    bins = {name: chosen for name, chosen in bins.items() if chosen.any()}
    for name in (each for each in names if TRAINED not in each and told_the_pose(each)):
        error = 100 * metrics.capped(nme_of(columns, name))
        axes.plot(list(bins), [error[chosen].mean() for chosen in bins.values()], marker="o", label=name, **_line(name))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("yaw of the driver")
    axes.set_ylabel("landmark NME, %")
    return _png(plt, figure, axes)


def told_the_pose(name: str) -> bool:
    """Whether a method sees landmarks."""
    return name in CONTESTANTS and CONTESTANTS[name].wants_map


def _line(name: str) -> dict[str, Any]:
    """FaceSnap stands out; its ablations are dashed."""
    if name == "facesnap":
        return {"linewidth": 2.5, "color": "black"}
    return {"linestyle": "--", "alpha": 0.6} if name.startswith("facesnap") else {}


def _figure() -> tuple[Any, Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4), dpi=110)
    return plt, figure, axes


def _png(plt: Any, figure: Any, axes: Any) -> bytes:
    if axes.lines:
        axes.legend(fontsize="x-small", frameon=False)
    axes.grid(alpha=0.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()
