"""The page with everybody's pictures side by side, failures among them; it lies beside them, in the work folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from facesnap.evaluation.arena.suite import Outcome, folder_name, method_of
from facesnap.evaluation.arena.summary import TRAINED
from facesnap.evaluation.records import Record
from facesnap.evaluation.report import cell_of
from facesnap.evaluation.summary import Row

_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}table{border-collapse:collapse}
td,th{padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top}.row{display:flex;flex-wrap:wrap;gap:.5rem}
figure{margin:0;width:160px}img{width:160px;height:160px;background:#eee}figcaption{font-size:.75rem;color:#555}
.no{width:160px;height:160px;background:#fee;font-size:.75rem;padding:.4rem;box-sizing:border-box}
h3{margin:1.2rem 0 .3rem}
"""


def page(
    outcome: Outcome, rows: Sequence[Row], facts: Mapping[str, Any], names: Sequence[str], drawings: Sequence[str]
) -> str:
    """HTML without scripts; everything that came from outside is escaped."""
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *columns))
    body = "".join(
        f"<tr><td>{escape(row.title)}</td>" + "".join(f"<td>{escape(cell_of(row, c))}</td>" for c in columns) + "</tr>"
        for row in rows
    )
    shown = [name for name in names if TRAINED not in name]
    people = "".join(_person(record, shown) for record in outcome.records)
    about = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    plots = "".join(f'<img src="{quote(name)}" style="width:auto;height:auto" alt="">' for name in drawings)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>The arena</title><style>{_STYLE}</style>'
        f"<h1>The arena</h1><table><tr>{head}</tr>{body}</table>{plots}"
        f"<h2>Everybody</h2>{people}<h2>How it was made</h2><table>{about}</table></html>\n"
    )


def _person(record: Record, names: Sequence[str]) -> str:
    trial = record.trial
    figures = "".join(_figure(record, name) for name in ("reference", "target", *names))
    return f'<h3>{trial.person}</h3><p>{escape(trial.prompt)}</p><div class="row">{figures}</div>'


def _figure(record: Record, name: str) -> str:
    label = escape({"target": "driver"}.get(name, name))
    if name not in record.seen:
        why = escape(record.failures.get(name, "no picture"))
        return f'<figure><div class="no">{why}</div><figcaption>{label}</figcaption></figure>'
    if not record.seen[name].found:
        label += ": no face found"
    path = f"{folder_name(method_of(name))}/images/{record.trial.person:05d}_{name}.png"
    return f'<figure><img loading="lazy" src="{quote(path)}" alt="{label}"><figcaption>{label}</figcaption></figure>'
