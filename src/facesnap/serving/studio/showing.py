"""The studio's own pieces of HTML. All that came from outside is escaped here, and nowhere else put into HTML."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from facesnap.serving.studio import words
from facesnap.serving.studio.visit import Box, Shot

if TYPE_CHECKING:
    import numpy as np

#: Longest side of the photo that faces are numbered on, in pixels.
NUMBERED_SIDE = 640


def heading(text: str, number: int | None = None) -> str:
    """The title of a card; numbered where the order matters."""
    badge = "" if number is None else f'<span class="fs-number" aria-hidden="true">{number}</span>'
    return f'<h2 class="fs-heading">{badge}{escape(text)}</h2>'


def header() -> str:
    """The top of the page."""
    return f'<header class="fs-header"><h1>{escape(words.TITLE)}</h1><p>{escape(words.CLAIM)}</p></header>'


def line(text: str, kind: str = "calm") -> str:
    """A status line, which screen readers say when it changes. ``kind``: calm, good, bad, busy."""
    return f'<p class="fs-line fs-{kind}" role="status" aria-live="polite">{escape(text)}</p>'


def empty_stage() -> str:
    """What stands where pictures will be."""
    steps = "".join(f"<li>{escape(step)}</li>" for step in words.STAGE_STEPS)
    return (
        f'<div class="fs-empty"><div class="fs-face" aria-hidden="true">{_FACE}</div>'
        f"<h3>{escape(words.STAGE_EMPTY)}</h3><ol>{steps}</ol></div>"
    )


def empty_map() -> str:
    """What stands where the landmark map will be."""
    return f'<div class="fs-map fs-map-empty"><p>{escape(words.MAP_EMPTY)}</p></div>'


def landmark_map(png: bytes, pose: str) -> str:
    """A landmark map and what it is."""
    alt = escape(words.MAP_ALT.format(pose=pose), quote=True)
    return (
        f'<figure class="fs-map"><img src="{_url(png, "png")}" alt="{alt}">'
        f"<figcaption>{escape(words.MAP)}</figcaption></figure>"
    )


def forming(preview: str | None, text: str, share: float) -> str:
    """A picture as it forms: ``preview`` is a JPEG in base64, ``share`` of the work is done."""
    picture = '<div class="fs-blank" aria-hidden="true"></div>'
    if preview:
        alt = escape(words.FORMING_ALT, quote=True)
        picture = f'<img src="data:image/jpeg;base64,{escape(preview, quote=True)}" alt="{alt}">'
    percent = round(100 * share)
    return (
        f'<figure class="fs-forming">{picture}<div class="fs-bar" role="progressbar" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{percent}" aria-label="{escape(text, quote=True)}">'
        f'<i style="width:{percent}%"></i></div></figure>'
    )


def details(shot: Shot) -> str:
    """All that made a picture, and how like the person it is."""
    request = shot.request
    rows = [
        (words.LIKENESS, _likeness(shot.report)),
        ("Prompt", request.prompt),
        ("Left out", request.negative_prompt),
        ("Seed", str(shot.seed)),
        ("Size", f"{shot.size[0]} × {shot.size[1]}"),
        ("Steps", _maybe(request.num_inference_steps)),
        ("Strengths", _strengths(shot)),
        ("Model", shot.model),
    ]
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    return f'<dl class="fs-details">{shown}</dl>'


def _likeness(report: Mapping[str, Any] | None) -> str:
    if not report or report.get("identity") is None:
        return sentence_of(words.LIKENESS_NONE, (report or {}).get("note"))
    parts = [f"{report['identity']:.2f}", words.LIKENESS_JUDGE.format(judge=report["judge"])]
    if report.get("pose_error") is not None:
        parts.append(f"{words.POSE_OFF.lower()} {words.DEGREES.format(value=report['pose_error'])}")
    if report.get("landmark_nme") is not None:
        parts.append(f"{words.POINTS_OFF.lower()} {words.SHARE.format(value=report['landmark_nme'])}")
    return sentence_of(", ".join(parts), report.get("note"))


def sentence_of(text: str, note: str | None) -> str:
    """A text and a remark in brackets behind it."""
    return f"{text} ({note})" if note else text


def _maybe(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _strengths(shot: Shot) -> str:
    request = shot.request
    parts = [f"likeness {request.identity_scale:g}", f"pose {request.landmark_scale:g}"]
    return ", ".join(parts + ([f"prompt {request.guidance_scale:g}"] if request.guidance_scale is not None else []))


def comparison(likeness: float, judge: str) -> str:
    """How alike two faces are, as a number and as a bar."""
    share = max(0.0, min(1.0, likeness))
    return (
        f'<div class="fs-compared" role="status" aria-live="polite"><strong>{likeness:.2f}</strong>'
        f'<div class="fs-bar" aria-hidden="true"><i style="width:{100 * share:.0f}%"></i></div>'
        f"<p>{escape(words.SCALE_TEXT.format(judge=judge))} {escape(words.NOTE)}</p></div>"
    )


def numbered(photo: np.ndarray, boxes: Sequence[Box], number: int) -> str:
    """A photo (H, W, 3) uint8 with its faces numbered. ``number``: of the photo."""
    alt = escape(words.FACES_ALT.format(photo=number, faces=len(boxes)), quote=True)
    return f'<figure class="fs-numbered"><img src="{_url(_draw(photo, boxes), "jpeg")}" alt="{alt}"></figure>'


def _draw(photo: np.ndarray, boxes: Sequence[Box]) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(photo)
    image.thumbnail((NUMBERED_SIDE, NUMBERED_SIDE))
    zoom = image.width / photo.shape[1]
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=22)
    for number, box in enumerate(boxes, start=1):
        x0, y0, x1, y1 = (value * zoom for value in box)
        pen.rectangle((x0, y0, x1, y1), outline="white", width=5)
        pen.rectangle((x0, y0, x1, y1), outline="#4f46e5", width=3)
        pen.ellipse((x0 - 4, y0 - 4, x0 + 30, y0 + 30), fill="#4f46e5", outline="white", width=2)
        pen.text((x0 + 13, y0 + 13), str(number), fill="white", font=font, anchor="mm")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def size_of(png: bytes) -> tuple[int, int]:
    """(width, height) as its header says."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


_FACE = (
    '<svg viewBox="0 0 96 96" width="96" height="96" fill="none" stroke="currentColor" stroke-width="3"'
    ' stroke-linecap="round" stroke-dasharray="0.1 7"><path d="M22 36c0 34 12 46 26 46s26-12 26-46"/>'
    '<path d="M28 32c4-4 10-4 14-1M54 31c4-3 10-3 14 1M48 38v18M42 60c4 3 8 3 12 0"/>'
    '<path d="M30 42c3-3 7-3 10 0M56 42c3-3 7-3 10 0"/>'
    '<path d="M38 70c6 5 14 5 20 0"/></svg>'
)
