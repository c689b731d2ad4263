"""``facesnap arena``: train FaceSnap, its rivals and its ablations on equal terms, for ``evaluate --suite arena``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console
from facesnap.cli.mini import setting
from facesnap.core.errors import UsageError
from facesnap.core.lazy import require_all

app = typer.Typer(help="Train FaceSnap and its rivals on equal terms.", no_args_is_help=True)


@app.callback()
def arena() -> None:
    """Train FaceSnap and its rivals on equal terms."""


@app.command("train")
def train(
    run: Annotated[Path, typer.Argument(help="Folder of facesnap mini train, finished up to the UNet.")],
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Which ones; default: all, one after another.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="The budget of each.")] = 1500,
    preset: Annotated[str, typer.Option("--preset", help="cpu or gpu: of the run.")] = "cpu",
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Stop each after so long; it can be taken up again.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the training.")] = 0,
    label: Annotated[
        str, typer.Option("--label", help="Tells a training with other settings from the plain one, in tables, too.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of them all, e.g. learning_rate=1e-3."),
    ] = None,
) -> None:
    """Train contestants on a run's frozen parts, each with the same pairs, steps and noise."""
    if not (run / "mini" / "base" / "unet").is_dir():
        raise UsageError(f"{run} has no finished base: facesnap mini train --output {run} vae clip face landmarks unet")
    require_all({"webdataset": "world", "peft": "lora"})
    from facesnap.evaluation.arena.training import run_of, train_contestant
    from facesnap.evaluation.baselines import CONTESTANTS

    if unknown := set(methods or ()) - set(CONTESTANTS):
        raise UsageError(f"unknown method {sorted(unknown)[0]!r}: use {', '.join(CONTESTANTS)}")
    whole = run_of(run, preset, device)
    changes = dict(setting(word) for word in settings or [])
    for name in methods or CONTESTANTS:
        report = train_contestant(
            *(whole, name), steps=steps, seed=seed, settings=changes, label=label, minutes=minutes, say=console.say
        )
        if report is None:
            console.say(f"{name}: all {steps} steps were done before")
            continue
        console.say(f"{name}: {report.step} of {report.steps} steps; {report.figures}")
        if report.stopped:
            raise KeyboardInterrupt
