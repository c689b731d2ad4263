"""How the head is held and what the face does: sliders, presets, a driving photo, and the map that follows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from anyio import to_thread

from facesnap.core.arkit import PRESETS
from facesnap.core.pose import MAX_ANGLE, MAX_GAZE
from facesnap.serving.requests import PoseRequest, PreviewRequest
from facesnap.serving.service import Service
from facesnap.serving.studio import showing, sliders, words
from facesnap.serving.studio.attempt import attempt
from facesnap.serving.studio.files import read
from facesnap.serving.studio.visit import Visit

#: A slider that moves on within this time draws one map, not two. Seconds.
DEBOUNCE = 0.12


@dataclass(frozen=True)
class PoseCard:
    """The card's components. ``head``: the sliders as in :data:`sliders.STRAIGHT`; ``moves``: as in its MOVES."""

    map: gr.HTML
    note: gr.HTML
    head: list[gr.Slider]
    mood: gr.Radio
    amount: gr.Slider
    moves: list[gr.Slider]
    look: gr.Button
    reset: gr.Button
    driver: gr.Image
    framing: gr.Checkbox

    @property
    def outputs(self) -> list[Any]:
        """All that a new pose changes, except the map."""
        return [*self.head, self.mood, *self.moves, self.note]


def pose_card() -> PoseCard:
    """Lay out the card: the map beside the sliders of the head, everything finer folded."""
    with gr.Row(elem_classes="fs-titled"):
        gr.HTML(showing.heading(words.POSE, 3), js_on_load=None)
        reset = gr.Button(words.STRAIGHT, size="sm", min_width=0, scale=0, elem_id="reset-pose")
    with gr.Row(elem_classes="fs-posing"):
        with gr.Column(elem_classes="fs-angles", min_width=0):
            turns = [
                _turn(words.YAW, words.YAW_MEANS, "yaw"),
                _turn(words.PITCH, words.PITCH_MEANS, "pitch"),
                _turn(words.ROLL, words.ROLL_MEANS, "roll"),
            ]
        shown = gr.HTML(showing.empty_map(), js_on_load=None, elem_id="map", elem_classes="fs-map-holder")
    note = gr.HTML("", js_on_load=None, elem_id="pose-note")
    mood = gr.Radio(
        [(name.capitalize(), name) for name in PRESETS],
        value="neutral",
        label=words.MOOD,
        elem_id="mood",
        elem_classes="fs-chips",
    )
    amount = gr.Slider(0, 1, 1, step=0.05, label=words.AMOUNT, elem_id="amount")
    with gr.Accordion(words.DETAILS, open=False, elem_id="expression-details"):
        gr.Markdown(words.DETAILS_MEANS)
        with gr.Row(elem_classes="fs-moves"):
            moves = [gr.Slider(0, 1, 0, step=0.01, label=move.shown, min_width=200) for move in sliders.MOVES]
    with gr.Accordion(words.FRAMING, open=False, elem_id="framing"):
        placed, look = _placing()
    with gr.Accordion(words.DRIVER, open=False, elem_id="driving"):
        gr.Markdown(words.DRIVER_MEANS)
        driver = gr.Image(
            label=words.DRIVER_LABEL,
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            image_mode=None,
            format="jpeg",
            height=220,
            buttons=[],
            elem_id="driver",
        )
        framing = gr.Checkbox(False, label=words.DRIVER_FRAMING, elem_id="driver-framing")
    return PoseCard(shown, note, [*turns, *placed], mood, amount, moves, look, reset, driver, framing)


def _turn(label: str, means: str, name: str) -> gr.Slider:
    most = MAX_ANGLE[name]
    return gr.Slider(-most, most, 0, step=1, label=label, info=means, min_width=0, elem_id=name)


def _placing() -> tuple[list[gr.Slider], gr.Button]:
    """Sliders of gaze, size and place, and the button that looks into the camera."""
    (side, up), (size, across, down) = MAX_GAZE, sliders.STRAIGHT[5:]
    look = gr.Button(words.INTO_CAMERA, size="sm", elem_id="into-camera")
    with gr.Row(elem_classes="fs-moves"):
        return [
            gr.Slider(-side, side, 0, step=1, label=words.GAZE_SIDE, info=words.GAZE_SIDE_MEANS, min_width=200),
            gr.Slider(-up, up, 0, step=1, label=words.GAZE_UP, info=words.GAZE_UP_MEANS, min_width=200),
            gr.Slider(0.2, 1, size, step=0.01, label=words.FACE_SIZE, info=words.FACE_SIZE_MEANS, min_width=200),
            gr.Slider(0, 1, across, step=0.01, label=words.ACROSS, min_width=200),
            gr.Slider(0, 1, down, step=0.005, label=words.DOWN, min_width=200),
        ], look


class Posing:
    """What the card's events do."""

    def __init__(self, service: Service, card: PoseCard) -> None:
        self.service, self.card = service, card

    def pose(self, visit: Visit, head: Sequence[float]) -> PoseRequest:
        """What is asked for. ValidationError for a value out of its range."""
        return sliders.pose_of(head, visit.weights, visit.camera)

    async def follow(self, visit: Visit, model: str, size: str, *values: float) -> dict[Any, Any]:
        """A slider moved: draw the map after a moment. ``values``: the head's sliders, then the expression's."""
        await asyncio.sleep(DEBOUNCE)
        head, moves = values[: len(self.card.head)], values[len(self.card.head) :]
        visit.weights = sliders.moved(visit.weights, moves)
        return await to_thread.run_sync(partial(self.draw, visit, model, size, *head))

    def draw(self, visit: Visit, model: str, size: str, *head: float) -> dict[Any, Any]:
        """The map of the pose that the sliders show."""
        if not visit.identity:
            return {self.card.map: showing.empty_map(), self.card.note: ""}
        width, height = side_lengths(size)

        def drawn() -> str:
            pose = self.pose(visit, head)
            request = PreviewRequest(identity=visit.identity, pose=pose, width=width, height=height, model=model)
            return showing.landmark_map(self.service.preview(request).map, sliders.said(pose))

        html, problem = attempt(drawn)
        if html is None:
            return {self.card.note: showing.line(problem, "bad")}
        return {self.card.map: html, self.card.note: ""}

    def placed(self, visit: Visit) -> None:
        """Size or place was set by hand: a photo's framing is over."""
        visit.camera = None

    def express(self, visit: Visit, mood: str | None, amount: float) -> list[Any]:
        """A preset was chosen, or its amount: the expression's sliders show it."""
        if mood is not None:  # none is chosen while a photo's expression is shown
            visit.weights = sliders.preset(mood, amount)
        return list(sliders.shown(visit.weights))

    def into_camera(self, yaw: float, pitch: float) -> list[float]:
        """The eyes turn to where the camera is."""
        return list(sliders.into_camera(yaw, pitch))

    def draw_only(self, *values: Any) -> Any:
        """The map alone, so that what was just said stays."""
        return self.draw(*values).get(self.card.map, gr.skip())

    def straighten(self, visit: Visit) -> list[Any]:
        """Everything as at first; in the order of :attr:`PoseCard.outputs`."""
        visit.weights, visit.camera = {}, None
        return [*sliders.STRAIGHT, "neutral", *sliders.shown({}), ""]

    def drive(self, visit: Visit, photo: str | None, framing: bool) -> list[Any]:
        """Take pose and expression from a photo; in the order of :attr:`PoseCard.outputs`."""
        skipped = [gr.skip() for _ in self.card.outputs[:-1]]
        if photo is None:
            return [*skipped, gr.skip()]
        pose, problem = attempt(partial(self.service.pose_from, read(photo), framing))
        if pose is None:
            return [*skipped, showing.line(problem, "bad")]
        return [*self.show(visit, pose)[:-1], showing.line(words.DRIVER_DONE, "good")]

    def show(self, visit: Visit, pose: PoseRequest) -> list[Any]:
        """Let the sliders show a pose; in the order of :attr:`PoseCard.outputs`."""
        visit.weights, visit.camera = dict(pose.expression), pose.camera
        limits = zip(sliders.head_of(pose), self.card.head, strict=True)
        head = [max(slider.minimum, min(slider.maximum, value)) for value, slider in limits]
        return [*head, None, *sliders.shown(visit.weights), ""]


def side_lengths(size: str) -> tuple[int | None, int | None]:
    """``128 × 160`` as (width, height); the model's own, (None, None), if it is empty."""
    if not size:
        return None, None
    width, _, height = size.partition("×")
    return int(width), int(height)
