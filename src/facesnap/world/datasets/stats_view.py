"""Statistics to look at: a table in text, and a figure of small panels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from facesnap.core.lazy import require
from facesnap.landmarks.layout import GROUPS
from facesnap.world.datasets.wording import number_of

COLUMNS = 6
PANEL = (3.3, 2.5)  #: inches
#: Values of an attribute that are shown one by one.
SHOWN = 18
BLUE, GREY, RED = "#4477aa", "#999999", "#cc3311"
NARROW, WIDE = 1, 3


def as_text(found: dict[str, Any]) -> str:
    """The summary as lines: attributes, numbers, expressions, what hangs together with the skin tone."""
    return "\n".join(_lines(found))


def _heading(found: dict[str, Any]) -> str:
    return f"{number_of(found['pictures'], 'picture')} of {number_of(found['people'], 'person')}"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield _heading(found)
    yield "\nattributes (evenness 1: all values equally frequent)"
    for name, counted in found["attributes"].items():
        shares = [f"{value} {each['share']:.1%}" for value, each in counted["values"].items()]
        more = f", {len(shares) - SHOWN} more" if len(shares) > SHOWN else ""
        yield f"  {name:20} {counted['evenness']:.2f}  {', '.join(shares[:SHOWN])}{more}"
    yield f"\n{'numbers':32}" + "".join(f"{head:>10}" for head in ("mean", "sd", "min", "5%", "median", "95%", "max"))
    for name, value in {**found["numbers"], **{f"person: {k}": v for k, v in found["people_numbers"].items()}}.items():
        parts = ("mean", "sd", "min", "q05", "median", "q95", "max")
        yield f"  {name:30}" + "".join(f"{value[part]:10.3g}" for part in parts)
    for kind, what in (("hidden", "turned away"), ("occluded", "covered by something")):
        if f"{kind}_landmarks" in found:
            yield f"\nlandmarks {what}: {found[f'{kind}_landmarks']['mean']:.1%}"
    if "expressions" in found:
        active = sorted(found["expressions"].items(), key=lambda item: -item[1]["active"])
        yield "\nexpressions, share of pictures that show them"
        words = [f"{name} {each['active']:.0%}" for name, each in active]
        yield from (f"  {', '.join(words[i : i + 8])}" for i in range(0, len(words), 8))
    if found["independence"]:
        yield "\nskin tone with ...: Cramer's V (99% of chance stays below the number in brackets; * above it)"
        for name, each in sorted(found["independence"].items(), key=lambda item: -item[1]["v"]):
            yield f"  {name:20} {each['v']:.3f} ({each['chance']:.3f}){' *' if each['v'] > each['chance'] else ''}"


def as_png(found: dict[str, Any]) -> bytes:
    """The summary as one picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure_module = require("matplotlib.figure", "world")
    panels = list(_panels(found))
    rows, places, row, column = 1, [], 0, 0
    for width, _, _ in panels:
        if column + width > COLUMNS:
            row, column = row + 1, 0
        places.append((row, column))
        column, rows = column + width, row + 1
    figure = figure_module.Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1]), layout="constrained", dpi=100)
    grid = figure.add_gridspec(rows, COLUMNS)
    for (row, column), (width, title, draw) in zip(places, panels, strict=True):
        axes = figure.add_subplot(grid[row, column : column + width])
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=6)
        draw(axes)
    figure.suptitle(_heading(found), fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _panels(found: dict[str, Any]) -> Iterator[tuple[int, str, Any]]:
    """Width in columns, title and drawing function of every panel."""
    varied = {name: counted for name, counted in found["attributes"].items() if len(counted["values"]) > 1}
    for name, counted in varied.items():
        yield NARROW, f"{name} (evenness {counted['evenness']:.2f})", lambda axes, c=counted: _bars(axes, c["values"])
    for name, value in {**found["numbers"], **{f"person: {k}": v for k, v in found["people_numbers"].items()}}.items():
        yield NARROW, name, lambda axes, v=value: _histogram(axes, v["histogram"])
    if "identity" in found:
        identity = found["identity"]
        yield NARROW, "identity coefficients", lambda axes: _histogram(axes, identity["all"]["histogram"])
        yield WIDE, "identity: deviation (blue) and mean (red) of each", lambda axes: _identity(axes, identity)
    for kind in ("hidden", "occluded"):
        if f"{kind}_landmarks" in found:
            shares = found[f"{kind}_landmarks"]["of_each"]
            yield WIDE, f"share of pictures with the landmark {kind}", lambda axes, s=shares: _landmarks(axes, s)
    if "expressions" in found:
        weights = found["expressions"]
        yield 2 * WIDE, "expressions: share active (blue), mean weight (grey)", lambda axes: _weights(axes, weights)
    if found["independence"]:
        crossed = found["independence"]
        yield WIDE, "skin tone with ...: Cramer's V, and what chance stays below", lambda axes: _crossed(axes, crossed)
    if found["association"]:
        yield WIDE, "Cramer's V of every two", lambda axes: _matrix(axes, found["association"])


def _bars(axes: Any, values: dict[str, dict[str, float]]) -> None:
    shown = list(values.items())[:SHOWN][::-1]
    axes.barh([name for name, _ in shown], [each["share"] for _, each in shown], color=BLUE)
    if len(values) > SHOWN:
        axes.set_xlabel(f"and {len(values) - SHOWN} more", fontsize=6)


def _histogram(axes: Any, histogram: dict[str, list[float]]) -> None:
    axes.stairs(histogram["counts"], histogram["edges"], fill=True, color=BLUE)
    axes.set_yticks([])


def _identity(axes: Any, identity: dict[str, Any]) -> None:
    axes.bar(range(len(identity["sd_of_each"])), identity["sd_of_each"], color=BLUE)
    axes.plot(identity["mean_of_each"], color=RED)
    axes.margins(x=0.01)


def _landmarks(axes: Any, shares: list[float]) -> None:
    axes.bar(range(len(shares)), shares, color=BLUE)
    axes.set_xticks([group.start for group in GROUPS.values()], list(GROUPS), ha="left")
    axes.margins(x=0.01)


def _weights(axes: Any, weights: dict[str, dict[str, float]]) -> None:
    places = np.arange(len(weights))
    axes.bar(places - 0.2, [each["active"] for each in weights.values()], 0.4, color=BLUE)
    axes.bar(places + 0.2, [each["mean"] for each in weights.values()], 0.4, color=GREY)
    axes.set_xticks(places, list(weights), rotation=90)
    axes.margins(x=0.005)


def _crossed(axes: Any, crossed: dict[str, dict[str, float]]) -> None:
    places = np.arange(len(crossed))
    above = [each["v"] > each["chance"] for each in crossed.values()]
    axes.bar(places, [each["v"] for each in crossed.values()], color=[RED if each else BLUE for each in above])
    axes.scatter(places, [each["chance"] for each in crossed.values()], marker="_", s=120, color="black")
    axes.set_xticks(places, list(crossed), rotation=40, ha="right")


def _matrix(axes: Any, association: dict[str, dict[str, float]]) -> None:
    values = np.array([list(row.values()) for row in association.values()])
    axes.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.1 and row != column:
            colour = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{value:.1f}".lstrip("0"), color=colour, fontsize=5, ha="center", va="center")
    axes.set_xticks(range(len(association)), list(association), rotation=40, ha="right")
    axes.set_yticks(range(len(association)), list(association))
