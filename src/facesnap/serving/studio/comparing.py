"""Two faces side by side, and how alike a judge finds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from facesnap.serving.service import Service
from facesnap.serving.studio import showing, words
from facesnap.serving.studio.attempt import attempt
from facesnap.serving.studio.files import read
from facesnap.serving.studio.visit import Visit


@dataclass(frozen=True)
class Comparison:
    """The tab's components."""

    reference: gr.Image
    result: gr.Image
    button: gr.Button
    outcome: gr.HTML


def compare_tab() -> Comparison:
    """Lay out the tab."""
    gr.Markdown(words.COMPARE_MEANS, elem_classes="fs-lead")
    with gr.Row(elem_classes="fs-pair"):
        reference, result = (
            gr.Image(
                label=label,
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                image_mode=None,
                format="jpeg",
                height=380,
                buttons=[],
                min_width=150,
                elem_id=elem_id,
            )
            for label, elem_id in ((words.REFERENCE, "compare-first"), (words.RESULT, "compare-second"))
        )
    button = gr.Button(words.COMPARE, variant="primary", elem_id="compare")
    outcome = gr.HTML(showing.line(words.COMPARE_EMPTY), js_on_load=None, elem_id="comparison")
    return Comparison(reference, result, button, outcome)


class Comparing:
    """What the tab's events do."""

    def __init__(self, service: Service, tab: Comparison) -> None:
        self.service, self.tab = service, tab

    def compare(self, first: str | None, second: str | None) -> str:
        """How alike two photos are, as HTML."""
        if not first or not second:
            return showing.line(words.COMPARE_MISSING, "bad")
        told, problem = attempt(lambda: self.service.compare(read(first), read(second)))
        if told is None:
            return showing.line(problem, "bad")
        return showing.comparison(float(told["likeness"]), str(told["judge"]))

    def bring(self, visit: Visit) -> list[Any]:
        """The person's first photo and the picture that is looked at, for the two places."""
        first = visit.photos[0] if visit.photos else None
        return [first, visit.shot.path if visit.shot else None]

    def brought(self, first: str | None, second: str | None) -> str:
        """Compare what has just been brought; a person from an identity file, or of a page loaded anew, has none."""
        return self.compare(first, second) if first and second else showing.line(words.COMPARE_NO_PHOTO)
