"""``facesnap data``: make a data set of real photographs, look at it, check it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facesnap.cli import console, options
from facesnap.core.errors import InputError, UsageError
from facesnap.core.lazy import require_all

if TYPE_CHECKING:
    from facesnap.data.prepare import Request

app = typer.Typer(help="Data sets of real photographs, to train adapters on.", no_args_is_help=True)

_KEPT, _PEOPLE, _WORDS, _WORK = "What is kept", "People", "Words", "Work"


@app.command("prepare")
def prepare(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folder, webdataset tar, or text file with one path per line.")
    ],
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="Folder; a later call goes on there.")],
    size: Annotated[int, typer.Option("--size", min=64, max=2048, help="Side of the pictures, pixels.")] = 512,
    margin: Annotated[
        float,
        typer.Option("--margin", min=1, max=6, help="Side of the square around a face, times its landmarks' box."),
    ] = 2.0,
    views: Annotated[
        int, typer.Option("--views", min=1, help="Augmented views that encoders see, the plain one first.")
    ] = 2,
    suffix: Annotated[str, typer.Option("--format", help="Of the pictures: jpg (quality 95) or png.")] = "jpg",
    min_face: Annotated[
        float, typer.Option("--min-face", min=0, rich_help_panel=_KEPT, help="Size of a face, pixels.")
    ] = 64,
    max_enlarge: Annotated[
        float, typer.Option("--max-enlarge", min=0, rich_help_panel=_KEPT, help="How far a crop may be enlarged.")
    ] = 2.0,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0, max=1, rich_help_panel=_KEPT, help="Of the face detector.")
    ] = 0.6,
    min_sharpness: Annotated[
        float, typer.Option("--min-sharpness", min=0, rich_help_panel=_KEPT, help="Of the face, see docs/DATA.md.")
    ] = 0.02,
    max_yaw: Annotated[
        float, typer.Option("--max-yaw", min=0, max=90, rich_help_panel=_KEPT, help="Turn to either side, degrees.")
    ] = 60,
    max_faces: Annotated[
        int, typer.Option("--max-faces", min=1, rich_help_panel=_KEPT, help="Of several, the largest must dominate.")
    ] = 3,
    max_watermark: Annotated[
        float,
        typer.Option("--max-watermark", min=0, rich_help_panel=_KEPT, help="Score of a heuristic; 99: never mind."),
    ] = 1.0,
    people_from: Annotated[
        str,
        typer.Option(
            "--people-from",
            rich_help_panel=_PEOPLE,
            help="faces: found by clustering; folders: SOURCE's first-level folders name them. Sidecars' names stand.",
        ),
    ] = "faces",
    same: Annotated[
        float,
        typer.Option(
            "--same", min=0.01, max=0.99, rich_help_panel=_PEOPLE, help="Cosine from which on faces are one person's."
        ),
    ] = 0.6,
    min_photos: Annotated[
        int, typer.Option("--min-photos", min=1, rich_help_panel=_PEOPLE, help="Of a person; pairs need 2.")
    ] = 2,
    val: Annotated[
        float, typer.Option("--val", min=0, max=0.9, rich_help_panel=_PEOPLE, help="Share of people for validation.")
    ] = 0.05,
    licence: Annotated[
        str, typer.Option("--licence", rich_help_panel=_WORDS, help="Of photos whose sidecar names none.")
    ] = "",
    consent: Annotated[
        str,
        typer.Option(
            "--consent",
            rich_help_panel=_WORDS,
            help="Of people whose sidecar doesn't say: yes, no (such photos are left out) or unknown.",
        ),
    ] = "unknown",
    captioner: Annotated[
        str | None,
        typer.Option(
            "--captioner",
            metavar="FOLDER|HUB_ID",
            rich_help_panel=_WORDS,
            help="Image-to-text model (BLIP ...) for photos without a caption; nothing is downloaded.",
        ),
    ] = None,
    face_encoder: Annotated[
        Path | None,
        typer.Option("--face-encoder", rich_help_panel=_WORK, help="E_f, an ArcFace ONNX file; default: mini's."),
    ] = None,
    image_encoder: Annotated[
        Path | None,
        typer.Option("--image-encoder", rich_help_panel=_WORK, help="E_c, a CLIP vision folder; default: mini's."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, rich_help_panel=_WORK, help="Processes; default: one per core.")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option("--ray-address", rich_help_panel=_WORK, help="Work on this Ray cluster; local starts one here."),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", rich_help_panel=_WORK, help="Of the encoders: auto, cpu or cuda.")
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, rich_help_panel=_WORK, help="Only the first photos.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, rich_help_panel=_WORK, help="Of views, order and split.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=_WORK, help="Count what there is to do, and do nothing.")
    ] = False,
) -> None:
    """Photographs in, a data set for training out: faces found, judged, grouped by person, encoded, written as shards.

    Stop it when you like: the same command goes on. DIR/report.html shows what was kept, what was refused, and why.
    """
    if people_from not in ("faces", "folders"):
        raise UsageError(f"--people-from {people_from}: use faces or folders")
    console.check_folder(output, "--out")
    ray = ray_address is not None
    require_all({"scipy": "data", "matplotlib": "data", **({"ray": "ray"} if ray else {})})
    from facesnap.data.decide import DecideSettings
    from facesnap.data.examine import ExamineSettings
    from facesnap.data.photos import Words
    from facesnap.data.prepare import Request
    from facesnap.data.quality import Limits

    limits = Limits(min_face, max_enlarge, min_score, min_sharpness, max_yaw, max_faces, max_watermark)
    request = Request(
        source=source.absolute(),
        out=output.absolute(),
        words=Words(licence, consent, people_from == "folders"),
        examine=ExamineSettings(limits, size, margin, views, seed),
        decide=DecideSettings(same, min_photos, val, seed=seed),
        suffix=suffix,
        captioner=captioner or "",
        limit=limit,
    )
    if dry_run:
        _tell_plan(request)
        return
    from facesnap.core.machine import choose_device, cores
    from facesnap.core.workers import Backend
    from facesnap.data.encoders import EncoderSource
    from facesnap.data.prepare import prepare as work

    where = str(choose_device(device, mps=False))
    load = EncoderSource("", _path(face_encoder), _path(image_encoder), where)
    backend = Backend(workers or cores(), ray, "" if ray_address in (None, "local") else str(ray_address), (where,))
    with console.counted("photos") as progress:
        work(request, load, backend, progress, console.say)
    print(f"{output}\n{output / 'report.html'}")


def _path(name: Path | None) -> str:
    return "" if name is None else str(name.expanduser().absolute())


def _tell_plan(request: Request) -> None:
    from facesnap.data.prepare import planned

    plan = planned(request)
    print(
        f"{plan['photos']} photos in {request.source}, {plan['examined']} of them examined already\n"
        f"{plan['named']} with a person's name ({plan['people']} people), {plan['captions']} with a caption, "
        f"{plan['problems']} that can't be used as their files or sidecars are"
    )


@app.command("stats")
def stats(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a prepared data set.")],
    as_json: options.Json = False,
) -> None:
    """Count what a data set holds: people, photos, sizes, poses, captions, licences."""
    from facesnap.data.layout import read_dataset
    from facesnap.data.stats import as_text, statistics_of

    total = sum(split.shards for split in read_dataset(folder).splits.values())
    with console.progress("counting", total) as advance:
        found = statistics_of(folder, advance)
    console.result(found, as_text(found), as_json)


@app.command("check")
def check(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a prepared data set.")]) -> None:
    """Look at every shard and sample of a data set, and say what is damaged, one line each."""
    from facesnap.data.check import check as look_through
    from facesnap.data.layout import read_dataset

    stdout = None if sys.stdout.isatty() else sys.stdout  # a progress bar catches what is printed, also for files
    total = sum(split.shards for split in read_dataset(folder).splits.values())
    with console.progress("checking", total) as advance:
        found = look_through(folder, lambda line: print(line, file=stdout), advance)
    seen = f"{sum(found.photos.values())} photos of {len(found.people)} people in {found.shards} shards"
    if found.damages:
        places = "1 place" if found.damages == 1 else f"{found.damages} places"
        raise InputError(f"{folder} is damaged in {places}: {seen}")
    print(f"{folder} is whole: {seen}")
