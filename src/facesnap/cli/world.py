"""``facesnap world``: render the portrait world that mini is trained on, look at it, check it, count it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facesnap.cli import console, options
from facesnap.core.errors import InputError, UsageError
from facesnap.core.lazy import require, require_all

if TYPE_CHECKING:
    from facesnap.world.datasets.check import Findings

app = typer.Typer(help="Render the portrait world: labelled people that never lived.", no_args_is_help=True)

Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same people.")]
Size = Annotated[int, typer.Option("--size", min=64, max=1024, help="Side of a picture, pixels.")]
Preset = Annotated[str, typer.Option("--preset", help="Ranges of pose, light, framing: cpu (narrow) or full.")]


@app.command("render")
def render(
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="Folder for the shards (tar files).")],
    split: Annotated[str, typer.Option("--split", help="train, judge, val or test; they never share a person.")] = (
        "train"
    ),
    people: Annotated[int, typer.Option("--people", min=1, help="How many people.")] = 100,
    images: Annotated[int, typer.Option("--images-per-person", min=1, help="Pictures of each person.")] = 8,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that render side by side; default: one per core.")
    ] = None,
    preset: Preset = "full",
    seed: Seed = 0,
    size: Size = 256,
) -> None:
    """Render labelled people into shards: picture, segmentation, captions, attributes, 72 landmarks, boxes."""
    console.check_folder(output)
    require_all({"moderngl": "world", "webdataset": "world"})
    from facesnap.world.datasets.shards import render_split

    workers = workers or os.cpu_count() or 1
    print(render_split(output, split, people, images, workers, seed, preset, size, console.say))


@app.command("sheet")
def sheet(
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="The picture to write.")] = Path("world.png"),
    people: Annotated[int, typer.Option("--people", min=1, max=50, help="Rows.")] = 4,
    images: Annotated[int, typer.Option("--images-per-person", min=1, max=50, help="Columns.")] = 6,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw the 72 landmarks; as rings where turned away or covered.")
    ] = False,
    first: Annotated[int, typer.Option("--first", min=0, help="Id of the first person.")] = 0,
    preset: Preset = "full",
    seed: Seed = 0,
    size: Size = 256,
) -> None:
    """Look at the world: one row per person, each picture another moment."""
    from facesnap.world.sheet import ENDINGS, contact_sheet, save_sheet

    console.check_file(output, endings=ENDINGS)
    require("moderngl", "world")
    picture = contact_sheet(people, images, size, seed, first, preset, overlay)
    save_sheet(output, picture, f"seed {seed}, preset {preset}, people from {first}")
    print(output)


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a split's shards, or of several splits.")],
    fast: Annotated[bool, typer.Option("--fast", help="Don't decode the pictures.")] = False,
) -> None:
    """Look at every shard, picture and label of a data set, and say what is damaged, one line each."""
    require("webdataset", "world")
    from facesnap.world.datasets.check import check as look_through
    from facesnap.world.datasets.splits import count_shards
    from facesnap.world.datasets.wording import number_of

    stdout = None if sys.stdout.isatty() else sys.stdout  # a progress bar catches what is printed, also for files
    with console.progress("checking", count_shards(folder)) as advance:
        found = look_through(folder, lambda line: print(line, file=stdout), advance, fast)
    for note in found.notes:
        console.note(note)
    if found.damages:
        raise InputError(f"{folder} is damaged in {number_of(found.damages, 'place')}: {_seen(found)}")
    print(f"{folder} {'shows no damage, its pictures undecoded' if fast else 'is whole'}: {_seen(found)}")


def _seen(found: Findings) -> str:
    from facesnap.world.datasets.wording import number_of

    by = found.reference.name if found.reference else "nothing: neither the head model nor mini's weights are there"
    what = "pictures' first bytes read" if found.fast else "all pictures decoded"
    held = ((found.people, "person"), (found.pictures, "picture"), (found.shards, "shard"), (found.size, "byte"))
    counts = ", ".join(number_of(count, thing) for count, thing in held)
    return f"{counts} ({what}, landmarks recomputed by {by})"


@app.command("stats")
def stats(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Rendered shards; without it, people are only drawn by lot.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="Folder for stats.json and stats.png.")
    ] = Path("world-stats"),
    people: Annotated[
        int | None, typer.Option("--people", min=1, help="Without DIR: how many people; default: 500.")
    ] = None,
    images: Annotated[
        int | None, typer.Option("--images-per-person", min=1, help="Without DIR: pictures of each; default: 4.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Without DIR: cpu or full; default: full.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Without DIR: of the people; default: 0.")] = None,
    as_json: options.Json = False,
) -> None:
    """Count who and what a data set shows: attributes, poses, expressions, and whether they hang together."""
    drawn = {"--people": people, "--images-per-person": images, "--preset": preset, "--seed": seed}
    given = [name for name, value in drawn.items() if value is not None]
    if folder is not None and given:
        raise UsageError(f"{', '.join(given)} can't go with a folder of shards ({folder}): leave one or the other out")
    console.check_folder(output)
    require_all({"matplotlib": "world"} if folder is None else {"matplotlib": "world", "webdataset": "world"})
    from facesnap.core.images import write_atomic
    from facesnap.world.datasets.stats import labels_in, sampled_labels, statistics_of
    from facesnap.world.datasets.stats_view import as_png, as_text

    if folder is None:
        labels = sampled_labels(people or 500, images or 4, seed or 0, "full" if preset is None else preset)
    else:
        labels = labels_in(folder)
    found = statistics_of(labels)
    write_atomic(output / "stats.json", f"{json.dumps(found, indent=1)}\n".encode())
    write_atomic(output / "stats.png", as_png(found))
    console.result(found, f"{as_text(found)}\n\n{output / 'stats.json'}\n{output / 'stats.png'}", as_json)


@app.command("fetch")
def fetch(
    checkout: Annotated[
        Path | None, typer.Option("--from", help="Convert this checkout of ICT-FaceKit; nothing is downloaded.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--to", help="The .npz to write; by default where the world looks first.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if the model is there already.")] = False,
) -> None:
    """Get the head model, ICT-FaceKit light (MIT licence), from its authors with git, and convert it."""
    from facesnap.world.facekit.checkout import COMMIT, REPOSITORY, commit_of
    from facesnap.world.facekit.fetch import describe, fetch_model, read_model
    from facesnap.world.facekit.head import chosen_file

    target = output or chosen_file()
    if target.is_file() and not force:
        model = read_model(target)
        console.say(f"already there (--force makes it anew): {target}")
    else:
        console.check_file(target, "--to")
        if checkout is None:
            console.say(f"getting {REPOSITORY} at commit {COMMIT}: about 130 MB")
        else:
            console.say(_which_commit(commit_of(checkout), COMMIT))
        model = fetch_model(target, checkout, progress=console.progress)
    print(f"{target}\n{describe(model)}")
    _say_who_reads(target)


def _which_commit(found: str | None, pinned: str) -> str:
    if found is None:
        return f"converting files whose commit is unknown or that were changed (FaceSnap's is {pinned})"
    if found == pinned:
        return f"converting commit {pinned}, the one that FaceSnap fetches"
    return f"converting commit {found}, not {pinned}, the one that FaceSnap fetches"


def _say_who_reads(target: Path) -> None:
    """Tell when the world won't read the file as things are."""
    from facesnap.world.facekit.head import ENVIRONMENT, chosen_file

    if chosen_file().absolute() != target.absolute():
        console.note(f"the world doesn't read this file, it looks at {chosen_file()}: set {ENVIRONMENT}={target}")


@app.command("recognise")
def recognise(
    train: Annotated[Path, typer.Option("--train", help="Folder of a split's shards: the people to learn.")],
    test: Annotated[Path, typer.Option("--test", help="Folder of another split's shards: the people to ask about.")],
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="Folder for the figures and the network.")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of training.")] = 3000,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Budget; run again to go on.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    start: Annotated[
        Path | None, typer.Option("--start", help="Face encoder to begin with; by default from scratch.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Measure whether people are distinct and constant: train a face recogniser, ask it about others."""
    console.check_folder(output)
    require_all({"pydantic": "train", "webdataset": "train"})
    from facesnap.evaluation.recognise import recognise as measure
    from facesnap.evaluation.recognise import table

    found = measure(
        train, test, output, steps=steps, minutes=minutes, device=device, seed=seed, start=start, say=console.say
    )
    print(table(found))
