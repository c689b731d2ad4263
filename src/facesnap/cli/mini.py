"""``facesnap mini``: train the embedded model, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console
from facesnap.core.errors import UsageError
from facesnap.core.lazy import require_all

app = typer.Typer(help="Train mini, the embedded model, from rendered people.", no_args_is_help=True)


@app.callback()
def mini() -> None:
    """Train mini, the embedded model, from rendered people."""


@app.command("train")
def train(
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE]...", help="Which stages; default: all, in order.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for data, states and weights; a later call goes on there.")
    ] = Path("runs/mini"),
    preset: Annotated[str, typer.Option("--preset", help="cpu or gpu.")] = "cpu",
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Stop each stage after so long; it can be taken up again.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Everything random follows from it.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, e.g. unet.steps=20000; several times."),
    ] = None,
) -> None:
    """Train the stages of mini. Each can be stopped and taken up again."""
    overrides = dict(setting(word) for word in settings or [])
    console.check_folder(output)
    rendered = any(output.glob("*world/*/*.tar"))  # elsewhere, perhaps, where OpenGL is
    modules = {"pydantic": "train", "webdataset": "train"}
    require_all(modules if rendered else {**modules, "moderngl": "world"})
    from facesnap.training.mini import train_mini

    train_mini(output, stages or None, preset, minutes, device, seed, overrides, say=console.say)
    print(output / "mini")


@app.command("measure")
def measure(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of a training run; its weights are measured.")
    ] = Path("runs/mini"),
    people: Annotated[int, typer.Option("--people", min=20, help="How many test people.")] = 200,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the people and of the pairs.")] = 0,
) -> None:
    """Measure each part by itself on test people; writes quality.json and the model card, and base.png beside mini."""
    console.check_folder(output)
    require_all({"pydantic": "train", "webdataset": "train"})
    from facesnap.evaluation.parts.measure import measure_parts

    measure_parts(output, people, device, seed, say=console.say)
    print(output / "mini" / "MODEL_CARD.md")


def setting(word: str) -> tuple[str, str]:
    """Name and value of a ``--set``."""
    name, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"--set {word}: write NAME=VALUE, for example unet.steps=20000")
    return name.strip(), value.strip()
