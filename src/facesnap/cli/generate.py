"""``facesnap generate``: portraits from a photo or an identity file, a prompt and a pose."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from facesnap.cli import console, options
from facesnap.cli.acting import Acting
from facesnap.cli.flatten import flattened, in_options
from facesnap.cli.model import Model
from facesnap.cli.picture import Sampling, Start
from facesnap.cli.who import Who
from facesnap.core.errors import UsageError

#: Arguments of the Python call -> options that set them.
OPTIONS: Final = {
    **{
        field.name: "--" + field.name.replace("_", "-")
        for group in (Acting, Sampling, Start)
        for field in fields(group)
    },
    "mask_image": "--mask",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "num_images_per_prompt": "--count",
    "control_images": "--control-image",
    "control_scales": "--control-scale",
    "controlnets": "--controlnet",
    "face_encoder": "--face-encoder",
    "image_encoder": "--image-encoder",
    "offload": "--offload",
    "carry": "--carry",
}


@flattened
def generate(
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What the portrait shows.")],
    who: Who,
    posed: options.Posed,
    model: Model,
    sampling: Sampling,
    start: Start,
    acting: Acting,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the portraits.")] = Path("out"),
    carry: options.Carry = "hair,beard",
    as_json: options.Json = False,
) -> None:
    """Make portraits of a person from a photo (or an identity file) and a prompt."""
    if not prompt.strip():
        raise UsageError("the prompt is empty: say what the portrait shows")
    with in_options(OPTIONS):
        who.check()
        pose = posed.parse()
        call = {**sampling.call(), **start.call(), **acting.call(), **model.call(), "carry": options.parse_carry(carry)}
        start.check()
        model.check()
        who.read()
        console.check_folder(output)
        made = _make(prompt, who, pose, model, start, call)
    files = [str(file) for file in made.save(output)]
    people = len(made.report) // len(files)  # a line for each, picture by picture
    lines = ["\n  ".join(map(str, (file, *made.report[i * people : (i + 1) * people]))) for i, file in enumerate(files)]
    data = {"images": files, "report": made.report.to_dicts(), "settings": made.settings}
    console.result(data, "\n".join(lines), as_json)


def _make(prompt: str, who: Who, pose: Any, model: Model, start: Start, call: dict[str, Any]) -> Any:
    """Load the model, and make the portraits; ``call``: its options but prompt, people and pose."""
    from facesnap.pipelines.call.prompts import check_carry

    check_carry(call["carry"])
    snap = model.load()
    snap.pipeline.set_progress_bar_config(disable=True)  # ours, below, keeps quiet without a terminal
    people, shared = who.meet(snap, pose)
    steps = call["num_inference_steps"] or snap.default_steps
    with console.progress("sampling", start.steps_of(steps)) as step:

        def after_step(pipeline: Any, index: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
            step()
            return state

        return snap(prompt, people, shared, callback_on_step_end=after_step, **call)
