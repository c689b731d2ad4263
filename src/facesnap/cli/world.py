"""``facesnap world``: render the portrait world that mini is trained on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console
from facesnap.core.errors import OutputError
from facesnap.core.lazy import require

app = typer.Typer(help="Render the portrait world: labelled people that never lived.", no_args_is_help=True)

Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same people.")]
Size = Annotated[int, typer.Option("--size", min=32, max=1024, help="Side of a picture, pixels.")]
Preset = Annotated[str, typer.Option("--preset", help="Ranges of pose, light, framing: cpu (narrow) or full.")]


@app.command("render")
def render(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the shards (tar files).")],
    split: Annotated[str, typer.Option("--split", help="train, judge, val or test; they never share a person.")] = (
        "train"
    ),
    people: Annotated[int, typer.Option("--people", min=1, help="How many people.")] = 100,
    images: Annotated[int, typer.Option("--images", min=1, help="Pictures of each person.")] = 8,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that render side by side.")] = 2,
    preset: Preset = "cpu",
    seed: Seed = 0,
    size: Size = 128,
) -> None:
    """Render labelled people into shards: picture, caption, attributes, 72 landmarks, boxes."""
    console.check_folder(output)
    require("moderngl", "world")
    from facesnap.world.shards import render_split

    print(render_split(output, split, people, images, workers, seed, preset, size))


@app.command("sheet")
def sheet(
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")] = Path("world.png"),
    people: Annotated[int, typer.Option("--people", min=1, max=50, help="Rows.")] = 4,
    images: Annotated[int, typer.Option("--images", min=1, max=50, help="Columns: pictures of one person.")] = 6,
    landmarks: Annotated[bool, typer.Option("--landmarks", help="Draw the 72 landmarks.")] = False,
    preset: Preset = "cpu",
    seed: Seed = 0,
    size: Size = 192,
) -> None:
    """Look at the world: one row per person, each picture another moment."""
    console.check_file(output)
    require("moderngl", "world")
    from facesnap.core.images import save_png
    from facesnap.world.sheet import contact_sheet

    picture = contact_sheet(people, images, size, seed, preset=preset, overlay=landmarks)
    save_png(output, picture, {"world": f"seed {seed}, preset {preset}"})
    print(output)


@app.command("fetch")
def fetch(
    checkout: Annotated[
        Path | None, typer.Option("--from", help="Convert this checkout of ICT-FaceKit; nothing is downloaded.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--to", help="The .npz to write; by default where the world looks for it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if the model is there already.")] = False,
) -> None:
    """Get the head model, ICT-FaceKit light (MIT licence), from its authors with git, and convert it."""
    from facesnap.world.checkout import COMMIT, REPOSITORY, commit_of
    from facesnap.world.facekit import cached_model
    from facesnap.world.fetch import describe, fetch_model, read_model

    target = output or cached_model()
    if target.is_dir():
        raise OutputError(f"can't write {target}: it is a folder; give a file name with --to")
    if target.exists() and not force:
        model = read_model(target)
        console.say(f"already there (--force makes it anew): {target}")
    else:
        console.check_folder(target.parent, "--to")
        if checkout is None:
            console.say(f"getting {REPOSITORY} at commit {COMMIT}: about 130 MB")
        else:
            console.say(_which_commit(commit_of(checkout), COMMIT))
        model = fetch_model(target, checkout, progress=console.progress)
    print(f"{target}\n{describe(model)}")
    _say_who_reads(target, cached_model())


def _which_commit(found: str | None, pinned: str) -> str:
    if found is None:
        return f"converting files whose commit is unknown or that were changed (FaceSnap's is {pinned})"
    if found == pinned:
        return f"converting commit {pinned}, the one that FaceSnap fetches"
    return f"converting commit {found}, not {pinned}, the one that FaceSnap fetches"


def _say_who_reads(target: Path, cached: Path) -> None:
    """Tell when the world won't read the file as things are."""
    named = os.environ.get("FACESNAP_ICT_FACEKIT")
    if (Path(named) if named else cached).absolute() != target.absolute():
        told = f"FACESNAP_ICT_FACEKIT is {named}" if named else f"it looks at {cached}"
        console.note(f"the world doesn't read this file, {told}: set FACESNAP_ICT_FACEKIT={target}")
