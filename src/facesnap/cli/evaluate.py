"""``facesnap evaluate``: measure, and write the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from facesnap.cli import console, options
from facesnap.core.errors import UsageError
from facesnap.core.lazy import require_all

#: mini: portraits (:mod:`facesnap.evaluation.run`); landmarks: :mod:`facesnap.evaluation.landmarks.suite`; arena:
#: :mod:`facesnap.evaluation.arena.suite`.
SUITES: Final = ("mini", "landmarks", "arena")


def evaluate(
    suite: Annotated[str, typer.Option("--suite", help="What to measure: mini, landmarks or arena.")] = "mini",
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the report: RESULTS.md, LANDMARKS.md or ARENA.md, and its pictures.",
        ),
    ] = Path("docs"),
    people: Annotated[int, typer.Option("--people", min=2, help="How many test people.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Everything random follows from it.")] = 0,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Denoising steps; default: the model's.")] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", min=0, help="Guidance of the prompt; default: the model's.")
    ] = None,
    renders: Annotated[
        Path | None, typer.Option("--renders", help="Folder of the test people; rendered there if they are missing.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Folder that keeps what is done, so that a run can go on.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    run: Annotated[
        Path | None, typer.Option("--run", help="With --suite arena: folder in which facesnap arena train trained.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="With --suite arena: one of them; default: all; repeatable.")
    ] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option("--photo", help="With --suite landmarks: draw what is read from this photo, too; repeatable."),
    ] = None,
) -> None:
    """Measure likeness, landmarks and prompt-following on people that training never saw."""
    if suite not in SUITES:
        raise UsageError(f"unknown suite {suite!r}: use one of {', '.join(SUITES)}")
    if suite == "landmarks" and (steps is not None or guidance is not None or device == "cuda"):
        raise UsageError(
            "--suite landmarks samples nothing and runs on the CPU: leave out --steps, --guidance, --device"
        )
    if suite != "landmarks" and photo:
        raise UsageError("--photo is for --suite landmarks")
    if (suite == "arena") != (run is not None) or (method and suite != "arena"):
        raise UsageError("--suite arena, and no other, takes --run, the folder of facesnap arena train, and --method")
    options.check_photos(*(photo or ()))
    work = work or Path("runs") / f"evaluate-{suite}"
    shards = renders or work / "renders"
    console.check_folder(output)
    console.check_folder(work, "--work")
    if not any(shards.glob("*.tar")):  # shards that lie there are only read
        console.check_folder(shards, "--renders")
    rendered = any(shards.rglob("*.tar"))
    needed = {"webdataset": "world"} if rendered else {"webdataset": "world", "moderngl": "world"}
    require_all({**needed, "matplotlib": "world", "peft": "lora"} if suite == "arena" else needed)
    if suite == "landmarks":
        from facesnap.evaluation.landmarks.suite import evaluate_landmarks

        print(evaluate_landmarks(output, people, seed, shards, console.say, console.progress, photo or ()))
        return
    if run is not None:
        from facesnap.evaluation.arena import evaluate_arena

        asked = {"work": work, "renders": renders, "steps": steps, "guidance_scale": guidance, "say": console.say}
        print(evaluate_arena(run, output, method or (), people, seed, device, **asked))
        return
    from facesnap.evaluation.run import evaluate as run_suite

    report = run_suite(
        *(suite, output, people, seed, device),
        work=work,
        renders=renders,
        steps=steps,
        guidance_scale=guidance,
        say=console.say,
    )
    print(report)
