"""The page: where the cards stand, and which event leads to what."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import gradio as gr

from facesnap.serving.config import ServeConfig
from facesnap.serving.service import Service
from facesnap.serving.studio import asking, showing, words
from facesnap.serving.studio.attempt import attempt
from facesnap.serving.studio.comparing import Comparing, Comparison, compare_tab
from facesnap.serving.studio.making import Making, Stage, stage
from facesnap.serving.studio.people import People, Person, person_card
from facesnap.serving.studio.posing import PoseCard, Posing, pose_card
from facesnap.serving.studio.serve import files_folder
from facesnap.serving.studio.tabs import SAY_KEY, Tabs
from facesnap.serving.studio.visit import Visit

#: Events are the page's own: no API of Gradio's beside ours. Its spinners would cover what people look at.
QUIET: Final[dict[str, Any]] = {"api_visibility": "private", "show_progress": "hidden"}


#: What an event does: arguments of Gradio's ``then``.
Event = dict[str, Any]


def page(service: Service, config: ServeConfig) -> gr.Blocks:
    """Lay the page out and connect it; raises OutputError where its files' folder can't be made."""
    files_folder(config)
    hour = 3600
    blocks: gr.Blocks
    with gr.Blocks(
        title=words.TITLE,
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(hour, int(config.expiry.result_hours * hour)),
    ) as blocks:
        open_tabs = Tabs(service)
        visit, key = gr.State(Visit(), delete_callback=open_tabs.end), gr.Textbox(visible=False)
        gr.HTML(showing.header(), js_on_load=None)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(words.TAB_MAKE, id="make"), gr.Row(elem_classes="fs-bench"):
                with gr.Column(elem_classes="fs-controls", min_width=0):
                    with gr.Column(elem_classes="fs-card"):
                        person = person_card(config)
                    with gr.Column(elem_classes="fs-card"):
                        prompt = asking.prompt_card(config.limits)
                    with gr.Column(elem_classes="fs-card"):
                        pose = pose_card()
                    asked = asking.settings_card(prompt, config)
                with gr.Column(elem_classes="fs-stage", min_width=0):
                    made = stage()
            with gr.Tab(words.TAB_COMPARE, id="compare"), gr.Column(elem_classes="fs-card fs-compare"):
                pair = compare_tab()
        people, posing = People(service, config, person), Posing(service, pose)
        making, comparing = Making(service, config, made, posing), Comparing(service, pair)
        head = [visit, asked.model, asked.size, *pose.head]
        drawn: Event = {"fn": posing.draw, "inputs": head, "outputs": [pose.map, pose.note], **QUIET}
        _connect_asking(asked, service, config)
        _connect_people(people, making, made, person, visit, asked, drawn)
        _connect_pose(posing, pose, visit, head, drawn)
        _connect_stage(making, made, visit, person, asked, pose)
        _connect_results(comparing, pair, made, visit, asked, tabs)
        arrived = blocks.load(open_tabs.arrive, [visit, key], None, js=SAY_KEY, **QUIET)
        arrived.then(people.restore, visit, person.outputs, **QUIET).then(**drawn)
        arrived.then(making.resume, visit, made.outputs, **QUIET)
        suited = [asked.size, asked.steps, asked.guidance]
        blocks.load(lambda name: _suited(service, config, name), asked.model, suited, **QUIET)
        blocks.unload(open_tabs.leave)
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return blocks


def _suited(service: Service, config: ServeConfig, name: str) -> list[Any]:
    """What suits a model; nothing changes as long as it can't be loaded, which generating will tell."""
    model, _ = attempt(lambda: service.model(name))
    return asking.suited(model, config.limits) if model else [gr.skip(), gr.skip(), gr.skip()]


def _connect_asking(asked: asking.Asking, service: Service, config: ServeConfig) -> None:
    followed = {"fn": asking.chips_of, "inputs": asked.prompt, "outputs": [asked.styles, asked.places], **QUIET}
    gr.on(
        [asked.styles.input, asked.places.input],
        asking.chip,
        [asked.prompt, asked.styles, asked.places],
        asked.prompt,
        **QUIET,
    ).then(**followed)
    asked.prompt.blur(**followed)
    asked.dice.click(lambda: (asking.rolled(), False), None, [asked.seed, asked.new_seed], **QUIET)
    asked.model.input(
        lambda name: _suited(service, config, name), asked.model, [asked.size, asked.steps, asked.guidance], **QUIET
    )


def _connect_people(
    people: People,
    making: Making,
    made: Stage,
    person: Person,
    visit: gr.State,
    asked: asking.Asking,
    drawn: Event,
) -> None:
    settled = {"fn": making.settle, "inputs": visit, "outputs": made.status, **QUIET}
    looking = {"fn": people.look, "inputs": [visit, person.photos], "outputs": person.outputs, **QUIET}
    enrolling = [visit, person.consent, asked.model]

    def enrolled(event: Any) -> None:
        event.then(people.enroll, enrolling, person.outputs, **QUIET).then(**drawn).then(**settled)

    enrolled(person.photos.change(**looking))
    # Gradio's gallery doesn't tell of a change when the first pictures come from here.
    enrolled(person.example.click(people.sample, None, person.photos, **QUIET).then(**looking))
    photographed = person.webcam.input(people.snapped, [person.photos, person.webcam], person.outputs, **QUIET)
    enrolled(photographed.then(**looking))
    enrolled(made.use.click(people.use, visit, [person.photos, made.status], **QUIET).then(**looking))
    for number, radio in enumerate(person.faces):
        enrolled(radio.input(partial(people.choose, number), [visit, radio], None, **QUIET))
    agreed = gr.on([person.consent.input, asked.model.change], people.enroll, enrolling, person.outputs, **QUIET)
    agreed.then(**drawn).then(**settled)
    loading = [visit, person.consent, asked.model, person.load]
    person.load.upload(people.load, loading, person.outputs, **QUIET).then(**drawn).then(**settled)
    person.forget.click(people.forget, visit, person.outputs, **QUIET).then(**drawn).then(**settled)
    person.take.click(people.camera, None, [person.webcam, person.take], **QUIET)


def _connect_pose(posing: Posing, pose: PoseCard, visit: gr.State, head: list[Any], drawn: Event) -> None:
    gr.on(
        [slider.input for slider in (*pose.head, *pose.moves)],
        posing.follow,
        [*head, *pose.moves],
        [pose.map, pose.note],
        trigger_mode="always_last",
        **QUIET,
    )
    gr.on([slider.input for slider in pose.head[5:]], posing.placed, visit, None, trigger_mode="always_last", **QUIET)
    gr.on(
        [pose.mood.input, pose.amount.input],
        posing.express,
        [visit, pose.mood, pose.amount],
        pose.moves,
        trigger_mode="always_last",
        **QUIET,
    ).then(**drawn)
    pose.reset.click(posing.straighten, visit, pose.outputs, **QUIET).then(**drawn)
    pose.look.click(posing.into_camera, pose.head[:2], pose.head[3:5], **QUIET).then(**drawn)
    gr.on(
        [pose.driver.input, pose.framing.input], posing.drive, [visit, pose.driver, pose.framing], pose.outputs, **QUIET
    ).then(posing.draw_only, head, pose.map, **QUIET)
    head[2].change(**drawn)  # another size, another map


def _connect_stage(
    making: Making, made: Stage, visit: gr.State, person: Person, asked: asking.Asking, pose: PoseCard
) -> None:
    gr.on(
        [made.generate.click, asked.prompt.submit],
        making.generate,
        [visit, person.consent, *asked.inputs, *pose.head],
        made.outputs,
        **QUIET,
    )
    made.cancel.click(making.cancelling, visit, made.status, queue=False, **QUIET).then(
        making.cancel, visit, None, queue=False, **QUIET
    )
    made.delete.click(making.delete, visit, made.outputs, **QUIET)
    made.clear.click(making.clear, visit, made.outputs, **QUIET)
    made.gallery.select(making.select, visit, [made.details, made.actions, made.download], **QUIET)


def _connect_results(
    comparing: Comparing, pair: Comparison, made: Stage, visit: gr.State, asked: asking.Asking, tabs: gr.Tabs
) -> None:
    both = [pair.reference, pair.result]
    made.same.click(asking.kept_seed, visit, [asked.seed, asked.new_seed, made.status], **QUIET)
    made.compare.click(comparing.bring, visit, both, **QUIET).then(
        lambda: gr.Tabs(selected="compare"), None, tabs, **QUIET
    ).then(comparing.brought, both, pair.outcome, **QUIET)
    pair.button.click(comparing.compare, both, pair.outcome, **QUIET)
