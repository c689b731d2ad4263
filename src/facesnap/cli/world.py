"""``facesnap world``: render the portrait world that mini is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facesnap.cli import console
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
