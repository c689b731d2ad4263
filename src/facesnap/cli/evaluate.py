"""``facesnap evaluate``: measure, and write the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from facesnap.cli import console, options
from facesnap.core.errors import InputError, UsageError, one_line
from facesnap.core.lazy import require_all

#: mini: portraits (:mod:`facesnap.evaluation.run`); landmarks: :mod:`facesnap.evaluation.landmarks.suite`; arena:
#: :mod:`facesnap.evaluation.arena.suite`; photos: :mod:`facesnap.evaluation.photos.suite`.
SUITES: Final = ("mini", "landmarks", "arena", "photos")

_PHOTOS: Final = "With --suite photos"


def evaluate(
    suite: Annotated[str, typer.Option("--suite", help="What to measure: mini, landmarks, arena or photos.")] = "mini",
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the report, which bears the suite's name (mini's is RESULTS.md).",
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
    photos: Annotated[
        Path | None, typer.Option("--photos", rich_help_panel=_PHOTOS, help="A subfolder per person, 3 photos or more.")
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            "--judge", rich_help_panel=_PHOTOS, help="ArcFace-style ONNX file that judges likeness; not the adapter's."
        ),
    ] = None,
    judge_licence: Annotated[
        str | None, typer.Option("--judge-licence", rich_help_panel=_PHOTOS, help="Of that file, for the report.")
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option("--clip", rich_help_panel=_PHOTOS, help="Folder of the CLIP that judges prompts (transformers')."),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", rich_help_panel=_PHOTOS, help="A text file, a prompt per line.")
    ] = None,
    base: Annotated[str, typer.Option("--base", rich_help_panel=_PHOTOS, help="As for generate.")] = "mini",
    adapter: Annotated[str | None, typer.Option("--adapter", rich_help_panel=_PHOTOS, help="As for generate.")] = None,
    face_encoder: Annotated[
        Path | None, typer.Option("--face-encoder", rich_help_panel=_PHOTOS, help="As for generate.")
    ] = None,
    image_encoder: Annotated[
        Path | None, typer.Option("--image-encoder", rich_help_panel=_PHOTOS, help="As for generate.")
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
    work = work or Path("runs") / f"evaluate-{suite}"
    if suite == "photos":
        if photos is None or judge is None or judge_licence is None or clip is None:
            raise UsageError("--suite photos needs --photos, --judge, --judge-licence (for the report) and --clip")
        if not photos.is_dir():
            raise InputError(f"no folder of photos at {photos}")
        options.check_model(base, adapter)
        asked = None if prompts is None else _lines(prompts)
        console.check_folder(output)
        console.check_folder(work, "--work")
        require_all({"onnxruntime": "onnx"})
        from facesnap.evaluation.photos.suite import evaluate_photos

        told = evaluate_photos(
            *(photos, output),
            base=base,
            adapter=adapter,
            judge=judge,
            judge_licence=judge_licence,
            clip=clip,
            prompts=asked,
            people=people,
            seed=seed,
            device=device,
            work=work,
            steps=steps,
            guidance_scale=guidance,
            face_encoder=face_encoder,
            image_encoder=image_encoder,
            say=console.say,
        )
        print(told)
        return
    if any(each is not None for each in (photos, judge, judge_licence, clip, prompts, adapter)) or base != "mini":
        raise UsageError("--photos, --judge, --clip, --prompts, --base and --adapter are for --suite photos")
    options.check_photos(*(photo or ()))
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

        settings = {"work": work, "renders": renders, "steps": steps, "guidance_scale": guidance, "say": console.say}
        print(evaluate_arena(run, output, method or (), people, seed, device, **settings))
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


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path}: {one_line(error)}") from None
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise UsageError(f"--prompts {path}: there are no prompts in it")
    return found
