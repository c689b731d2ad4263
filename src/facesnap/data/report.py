"""What became of the photographs: one page to look at, and the same numbers for programs."""

from __future__ import annotations

import base64
import io
from collections import Counter
from html import escape
from typing import Any, Final

import cv2
import numpy as np

from facesnap.core.errors import InputError
from facesnap.core.lazy import require
from facesnap.data.decide import Decision
from facesnap.data.gather import Gathered
from facesnap.data.layout import DatasetInfo
from facesnap.data.parts import Record
from facesnap.data.photos import Photo, decoded
from facesnap.data.quality import NO_CONSENT

#: Side of a thumbnail, pixels.
THUMBNAIL: Final = 128
#: What the histograms are of: measure, title, and the setting that draws a line.
HISTOGRAMS: Final = (
    ("face", "face size, pixels", "min_face"),
    ("sharpness", "sharpness", "min_sharpness"),
    ("turn", "yaw to either side, degrees", "max_yaw"),
    ("watermark", "watermark score", "max_watermark"),
    ("score", "detector's score", "min_score"),
    ("enlarge", "enlargement of the crop", "max_enlarge"),
)
_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse}
td,th{padding:.15rem .8rem .15rem 0;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
.row{display:flex;flex-wrap:wrap;gap:.8rem}figure{margin:0;width:128px}img{width:128px;height:128px;object-fit:contain;
background:#eee}figcaption{font-size:.72rem;overflow-wrap:anywhere;color:#555}svg{max-width:100%;height:auto}
"""


def report_json(found: Gathered, decision: Decision, info: DatasetInfo) -> dict[str, Any]:
    """The numbers: how many are kept and refused and why, what was measured, how sure identities are."""
    reasons = found.reasons + Counter(decision.refused)
    measures = {name: values for name, values in found.measures.items() if len(values)}
    return {
        "photos": found.photos,
        "kept": decision.photos(),
        "people": len(decision.per_person),
        "refused": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "photos_per_person": _quantiles(decision.per_person),
        "measures": {name: _quantiles(values) for name, values in measures.items()},
        "identities": decision.sure,
        "splits": {name: vars(split) for name, split in info.splits.items()},
        "licences": dict(info.licences),
        "encoders": dict(info.encoders),
        "settings": dict(info.settings),
        "samples": {
            reason or "kept": [{"photo": record["key"], "detail": record["detail"]} for record in records]
            for reason, records in _samples(found, decision).items()
        },
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    shares = (0, 5, 25, 50, 75, 95, 100)
    found = np.percentile(values.astype(np.float64), shares)
    return {f"p{share}": round(float(value), 4) for share, value in zip(shares, found, strict=True)}


def _samples(found: Gathered, decision: Decision) -> dict[str, list[Record]]:
    refused = {reason: records for reason, records in found.samples.items() if reason}
    return {"": decision.kept, **dict(sorted({**refused, **decision.samples}.items()))}


def report_html(report: dict[str, Any], found: Gathered, decision: Decision) -> str:
    """One page that needs no other file and runs no script; everything that came from outside is escaped."""
    reasons = report["refused"]
    rows = [("kept", report["kept"]), *reasons.items()]
    shares = ((name, count, count / max(report["photos"], 1)) for name, count in rows)
    table = "".join(f"<tr><td>{escape(n)}<td class=n>{c}<td class=n>{share:.1%}" for n, c, share in shares)
    pictures = "".join(
        f"<h2>{escape(_title(reason, reasons))}</h2><div class=row>{''.join(map(_figure, records))}</div>"
        for reason, records in _samples(found, decision).items()
        if records
    )
    about = "".join(
        f"<tr><td>{escape(str(name))}<td>{escape(str(value))}"
        for group in ("encoders", "settings")
        for name, value in report[group].items()
    )
    licences = "".join(
        f"<tr><td>{escape(text) or '(nothing said)'}<td class=n>{count}" for text, count in report["licences"].items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>FaceSnap data set</title>'
        f"<style>{_STYLE}</style></head><body><h1>{report['kept']} of {report['photos']} photos kept, "
        f"of {report['people']} people</h1><p>{escape(_sure(report['identities']))}</p>"
        f"<table><tr><th><th>photos<th>share{table}</table>"
        f"<h2>Measured, and where the limits are</h2>{_histograms(found, decision, report['settings'])}"
        f"{pictures}<h2>Licences of the kept photos</h2><table>{licences}</table>"
        f"<h2>Made with</h2><table>{about}</table></body></html>\n"
    )


def _title(reason: str, reasons: dict[str, int]) -> str:
    return f"Refused: {reason} ({reasons[reason]})" if reason else "Kept"


def _sure(sure: dict[str, float]) -> str:
    if not sure:
        return "Too few people to say how well they are told apart."
    doubts = f"{sure['doubtful']:.1%} of the photos are nearer to another person's mean than to their own"
    twins = f"; {sure['twins']:.0f} people are so like another that they may be the same" if sure["twins"] else ""
    cosines = f"a photo's cosine with its person's mean is {sure['own']}, with the nearest other's {sure['next']}"
    return f"How sure identities are: {cosines} (medians); {doubts}{twins}."


def _figure(record: Record) -> str:
    picture = "" if record["reason"] == NO_CONSENT else _thumbnail(record)
    image = f'<img alt="" src="data:image/jpeg;base64,{picture}">' if picture else '<img alt="not shown">'
    words = escape(record["key"]) + (f"<br>{escape(record['detail'])}" if record["detail"] else "")
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _thumbnail(record: Record) -> str:
    """The picture, small, with the face's box; empty if there is none to show."""
    try:
        image = decoded(Photo(record["key"], record["file"], record["offset"], record["size"]).read())
    except InputError:
        return ""
    scale = THUMBNAIL / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1])
    if "box" in record:
        left, top, right, bottom = (round(value * scale) for value in record["box"])
        cv2.rectangle(small, (left, top), (right, bottom), (90, 200, 60), 1)
    return base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()).decode()


def _histograms(found: Gathered, decision: Decision, settings: dict[str, Any]) -> str:
    require("matplotlib", "data")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "facesnap", "font.size": 8}):  # the same page for the same photos
        figure = Figure(figsize=(10, 5), layout="constrained")
        axes = figure.subplots(2, 4).reshape(-1)
        for axis, (name, title, limit) in zip(axes, HISTOGRAMS, strict=False):
            values = found.measures[name]
            if len(values):
                low, high = np.percentile(values, [0, 99.5])
                axis.hist(np.clip(values, low, high), bins=40, color="#5b8def")
            axis.axvline(settings[limit], color="#d33", linewidth=1)
            axis.set_title(title)
        axes[6].hist(decision.per_person, bins=min(40, int(decision.per_person.max())), color="#5b8def")
        axes[6].set_title("photos per person")
        axes[7].axis("off")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()
    return drawing[drawing.index("<svg") :]
