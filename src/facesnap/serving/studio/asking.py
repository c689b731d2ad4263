"""What the picture shows and how it is made: prompt, style chips, and the settings behind the fold."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import Any, Final

import gradio as gr

from facesnap.serving.config import Limits, ModelSource, ServeConfig
from facesnap.serving.requests import MAX_SEED, LoadedModelInfo, Speed
from facesnap.serving.studio import showing, styles, words
from facesnap.serving.studio.visit import Visit

#: Dice show seeds that a person can read aloud.
DICE_SEED = 1_000_000_000


@dataclass(frozen=True)
class Asking:
    """The components of prompt and settings."""

    prompt: gr.Textbox
    styles: gr.CheckboxGroup
    places: gr.CheckboxGroup
    negative: gr.Textbox
    model: gr.Dropdown
    size: gr.Dropdown
    count: gr.Slider
    steps: gr.Slider
    guidance: gr.Slider
    identity_scale: gr.Slider
    landmark_scale: gr.Slider
    speed: gr.Radio
    seed: gr.Number
    new_seed: gr.Checkbox
    dice: gr.Button

    @property
    def inputs(self) -> list[Any]:
        """What a generation is asked for with, in the order of :class:`Wish`."""
        return [
            *(self.prompt, self.negative, self.model, self.size, self.count, self.steps, self.guidance),
            *(self.identity_scale, self.landmark_scale, self.speed, self.seed, self.new_seed),
        ]


@dataclass(frozen=True)
class Wish:
    """The values of :attr:`Asking.inputs`."""

    prompt: str
    negative: str
    model: str
    size: str
    count: float
    steps: float
    guidance: float
    identity_scale: float
    landmark_scale: float
    speed: Speed
    seed: float | None
    new_seed: bool

    def seed_now(self) -> int:
        """The seed to use: a new one, or the one that is shown."""
        return rolled() if self.new_seed or self.seed is None else max(0, min(MAX_SEED, int(self.seed)))


#: How many values a wish is.
WISHED: Final = tuple(field.name for field in fields(Wish))


def rolled() -> int:
    """A seed by chance."""
    return secrets.randbelow(DICE_SEED)


def prompt_card(limits: Limits) -> tuple[gr.Textbox, gr.CheckboxGroup, gr.CheckboxGroup]:
    """Lay out prompt and chips."""
    gr.HTML(showing.heading(words.WHAT, 2), js_on_load=None)
    prompt = gr.Textbox(
        "",
        label=words.PROMPT,
        placeholder=words.PROMPT_HINT,
        lines=2,
        max_lines=6,
        max_length=limits.prompt_chars,
        elem_id="prompt",
    )
    chips = gr.CheckboxGroup(
        list(styles.STYLES), label=words.STYLES, info=words.STYLES_MEANS, elem_id="styles", elem_classes="fs-chips"
    )
    places = gr.CheckboxGroup(list(styles.PLACES), label=words.PLACES, elem_id="places", elem_classes="fs-chips")
    return prompt, chips, places


def settings_card(first: tuple[gr.Textbox, gr.CheckboxGroup, gr.CheckboxGroup], config: ServeConfig) -> Asking:
    """Lay out what is folded; ``first`` are the prompt's components. The models aren't loaded yet: what suits one comes
    with :func:`suited`.
    """
    limits, sources = config.limits, config.sources()
    with gr.Accordion(words.MORE, open=False, elem_id="advanced", elem_classes="fs-card"):
        negative = gr.Textbox(
            "",
            label=words.NEGATIVE,
            placeholder=words.NEGATIVE_HINT,
            lines=1,
            max_length=limits.prompt_chars,
            elem_id="negative",
        )
        with gr.Row():
            count = gr.Slider(1, limits.pictures, 1, step=1, label=words.COUNT, min_width=200, elem_id="count")
            size = gr.Dropdown(
                [(words.OWN_SIZE, "")], value="", label=words.SIZE, filterable=False, min_width=200, elem_id="size"
            )
        with gr.Row():
            steps = gr.Slider(
                1,
                limits.steps,
                min(20, limits.steps),
                step=1,
                label=words.STEPS,
                info=words.STEPS_MEANS,
                min_width=200,
                elem_id="steps",
            )
            guidance = gr.Slider(0, 15, 5, step=0.1, label=words.GUIDANCE, info=words.GUIDANCE_MEANS, min_width=200)
        with gr.Row():
            identity_scale = gr.Slider(
                0, 2, 1, step=0.05, label=words.IDENTITY_SCALE, info=words.IDENTITY_SCALE_MEANS, min_width=200
            )
            landmark_scale = gr.Slider(
                0, 2, 1, step=0.05, label=words.LANDMARK_SCALE, info=words.LANDMARK_SCALE_MEANS, min_width=200
            )
        speed = gr.Radio(
            [(name, speed) for speed, name in words.SPEEDS.items()],
            value="exact",
            label=words.SPEED,
            info=words.SPEED_MEANS,
            elem_id="speed",
            elem_classes="fs-chips",
        )
        with gr.Row(elem_classes="fs-seed"):
            seed = gr.Number(
                rolled(), label=words.SEED, info=words.SEED_MEANS, precision=0, minimum=0, min_width=200, elem_id="seed"
            )
            with gr.Column(min_width=160):
                new_seed = gr.Checkbox(True, label=words.NEW_SEED, elem_id="new-seed")
                dice = gr.Button(words.DICE, size="sm", elem_id="dice")
        chosen = gr.Dropdown(
            [(described(name, source), name) for name, source in sources.items()],
            value=next(iter(sources)),
            label=words.MODEL,
            info=words.MODEL_MEANS,
            filterable=False,
            elem_id="model",
        )
    return Asking(
        *(*first, negative, chosen, size, count, steps, guidance),
        *(identity_scale, landmark_scale, speed, seed, new_seed, dice),
    )


def described(name: str, source: ModelSource) -> str:
    """A model for people: its name, base and adapter."""
    return f"{name}: {source.base}" + (f", adapter {source.adapter}" if source.adapter else "")


def sizes(model: LoadedModelInfo, limits: Limits) -> list[tuple[str, str]]:
    """(label, value) of what a model can make well, within the limits: its own size, and near it tall, wide, larger.

    The value of its own size is empty, as it is before the model is loaded.
    """
    own = (model.width, model.height)
    wanted = {
        "as trained": own,
        "tall": (own[0], own[1] * 5 // 4),
        "taller": (own[0], own[1] * 3 // 2),
        "wide": (own[0] * 5 // 4, own[1]),
        "wider": (own[0] * 3 // 2, own[1]),
        "larger": (own[0] * 3 // 2, own[1] * 3 // 2),
    }
    offered: dict[str, str] = {}
    for name, sides in wanted.items():
        width, height = (side // model.multiple * model.multiple for side in sides)
        value = f"{width} × {height}"
        if max(width, height) <= limits.side or name == "as trained":
            offered.setdefault(value, f"{value} ({name})")
    trained, *others = offered.items()
    return [(trained[1], ""), *((label, value) for value, label in others)]


def suited(model: LoadedModelInfo, limits: Limits) -> list[Any]:
    """Size, steps and prompt strength that suit a model."""
    return [
        gr.Dropdown(sizes(model, limits), value=""),
        min(model.default_steps, limits.steps),
        model.default_guidance,
    ]


def kept_seed(visit: Visit) -> list[Any]:
    """Set the seed of the picture that is looked at, so that it stays while other things change."""
    shot = visit.shot
    if shot is None:
        return [gr.skip(), gr.skip(), gr.skip()]
    return [shot.seed, False, showing.line(words.SEED_KEPT.format(seed=shot.seed), "good")]


def chip(prompt: str, chosen_styles: list[str], chosen_places: list[str]) -> str:
    """The prompt after a chip was pressed."""
    return styles.with_words(prompt, [*chosen_styles, *chosen_places])


def chips_of(prompt: str) -> tuple[list[str], list[str]]:
    """The chips after the prompt was typed in."""
    return styles.chosen_in(prompt, styles.STYLES), styles.chosen_in(prompt, styles.PLACES)
