"""``facesnap batch``: many portraits in one go, from a file of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facesnap.cli import console, options
from facesnap.cli.acting import Acting
from facesnap.cli.flatten import flattened, in_options
from facesnap.cli.generate import OPTIONS
from facesnap.cli.model import Networks
from facesnap.cli.picture import Sampling
from facesnap.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from facesnap.core.workers import Backend
    from facesnap.pipelines.batch import Job, Outcome

_WORK: Final = "Work"
#: How many faults of a file are shown.
SHOWN: Final = 10


@flattened
def batch(
    jobs: Annotated[Path, typer.Argument(metavar="JOBS", help="One JSON object per line, see docs/BATCH.md.")],
    model: Networks,
    sampling: Sampling,
    acting: Acting,
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="Folder; a later call goes on there.")],
    carry: options.Carry = "hair,beard",
    size: Annotated[
        int, typer.Option("--batch", min=1, rich_help_panel=_WORK, help="Portraits made at once; memory grows with it.")
    ] = 4,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, rich_help_panel=_WORK, help="Processes, each with the model; default: one per device."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, rich_help_panel=_WORK, help="Of each worker; default: the cores' fair share."),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address", rich_help_panel=_WORK, help="Work on this Ray cluster; auto finds one, local starts it."
        ),
    ] = None,
    num_gpus: Annotated[
        float | None,
        typer.Option(
            "--num-gpus", min=0, rich_help_panel=_WORK, help="GPUs of each worker on Ray; default: 1 with CUDA, else 0."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", rich_help_panel=_WORK, help="A picture of the first portraits of every job, too."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=_WORK, help="Check the jobs, count, and make nothing.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Make the portraits of a file of jobs. What a job doesn't say is taken from the options here.

    Stop it when you like: the same command goes on. DIR/results.jsonl says what became of each portrait. --device may
    be a list (cuda:0,cuda:1). Exit code 3 if some could not be made; the others are there.
    """
    with in_options(OPTIONS):
        defaults = _defaults(sampling, acting, carry)
        model.check()
        backend = _backend(model.device, workers, threads, ray_address, num_gpus)
    listed = _read(jobs, defaults)
    console.check_folder(output, "--out")
    if sheet is not None:
        console.check_file(sheet, "--sheet", (".png",))
    from facesnap.pipelines.batch import planned, run_batch

    if dry_run:
        asked, there = planned(listed, output, model.choice())
        text = f"{len(listed)} jobs, {asked} portraits, {there} of them are there"
        console.result({"jobs": len(listed), "asked": asked, "kept": there}, text, as_json)
        return
    try:
        with console.counted("portraits") as progress:
            outcome = run_batch(
                listed, output, model.choice(), size=size, backend=backend, progress=progress, say=console.say
            )
    except KeyboardInterrupt:
        console.say("what is made is kept: the same command goes on from there")
        raise
    if sheet is not None:
        from facesnap.cli.batch_sheet import draw_sheet

        draw_sheet(sheet, listed, output, outcome.results)
    _tell(outcome, output, as_json)


def _defaults(sampling: Sampling, acting: Acting, carry: str) -> dict[str, Any]:
    """What jobs that don't say have, by the library's names."""
    if sampling.small_faces:
        raise UsageError("--small-faces is for single pictures: a batch makes no second pass")
    call = sampling.call()
    call["count"] = call.pop("num_images_per_prompt")
    from facesnap.pipelines.batch.jobs import DEFAULTS

    said = {**call, **acting.call(), "carry": options.parse_carry(carry)}
    return {name: value for name, value in said.items() if name in DEFAULTS}


def _backend(
    device: str, workers: int | None, threads: int | None, ray_address: str | None, num_gpus: float | None
) -> Backend:
    """Who works. UsageError for devices that can't be, or don't go with the rest."""
    from facesnap.core.lazy import require
    from facesnap.core.machine import DEVICES, cores
    from facesnap.core.workers import Backend

    devices = tuple(name.strip() for name in device.split(","))
    for name in devices:
        if name.split(":")[0] not in DEVICES:
            raise UsageError(f"unknown device {name!r}: use {', '.join(DEVICES)}, or a list such as cuda:0,cuda:1")
    ray, many = ray_address is not None, workers or len(devices)
    if ray:
        require("ray", "ray")
        if len(devices) > 1:
            raise UsageError("--device is a list, but Ray gives each worker a GPU of its own: use --device cuda")
    elif num_gpus is not None:
        raise UsageError("--num-gpus is for Ray: give --ray-address, too")
    if many < len(devices):
        raise UsageError(f"{many} workers for {len(devices)} devices: give each device one")
    if threads is None and (ray or many > 1):
        threads = max(1, cores() // many)
    address = "" if ray_address in (None, "local") else str(ray_address)
    return Backend(many, ray, address, devices, threads, num_gpus)


def _read(path: Path, defaults: dict[str, Any]) -> list[Job]:
    """The jobs; or every fault in a line of its own, and exit code 2."""
    from facesnap.pipelines.batch.jobs import JobsError, read_jobs

    try:
        return read_jobs(path, defaults)
    except JobsError as error:
        for fault in error.faults[:SHOWN]:
            console.error(fault)
        if len(error.faults) > SHOWN:
            console.error(f"and {len(error.faults) - SHOWN} more such faults")
        raise typer.Exit(JobsError.exit_code) from None


def _tell(outcome: Outcome, output: Path, as_json: bool) -> None:
    counts = {name: getattr(outcome, name) for name in ("asked", "kept", "made", "failed")}
    text = f"{outcome.made} portraits made, {outcome.kept} kept from before, in {output}; {outcome.results}"
    console.result({"output": str(output), "results": str(outcome.results), **counts}, text, as_json)
    if outcome.failed:
        console.error(f"{outcome.failed} of {outcome.asked} portraits could not be made: {outcome.results} says why")
        raise typer.Exit(InputError.exit_code)
