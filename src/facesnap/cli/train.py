"""``facesnap train``: train an adapter on a prepared data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console
from facesnap.core.lazy import require_all


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Settings of the run; see configs/.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, for example optim.steps=2000."),
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check everything and estimate memory and time; train nothing.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="With --validate: how many processes will train.")
    ] = 1,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Stop after so long; the same command goes on from there.")
    ] = None,
) -> None:
    """Train FAM and FFRNet on photographs that `facesnap data prepare` has prepared.

    Several GPUs or machines: accelerate launch -m facesnap.cli.app train CONFIG.yaml. SIGTERM and Ctrl-C end a run with
    everything saved; the same command takes it up again.
    """
    modules = ("pydantic", "yaml", "accelerate")
    require_all(dict.fromkeys(modules, "train"))
    from facesnap.training.adapter.config import read_config

    settings = read_config(config, changes or [])
    if validate:
        from facesnap.training.adapter.validate import first_error, told
        from facesnap.training.adapter.validate import validate as look

        found = look(settings, processes)
        print("\n".join(told(config, found)))
        if found.problems:
            raise first_error(found)
        return
    console.check_folder(settings.output, "output")
    from facesnap.training.adapter.run import train_adapter

    outcome = train_adapter(settings, minutes, console.say)
    if outcome.adapter is not None:
        console.say(f"{outcome.step} of {outcome.steps} steps{', stopped' if outcome.stopped else ''}")
        print(outcome.adapter)
