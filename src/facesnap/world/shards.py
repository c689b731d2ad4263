"""Data sets of portraits as webdataset tar shards: parallel, resumable, the same bytes for any worker count.

A shard holds one fixed block of people: ``{person:07d}_{index:04d}.png`` and ``.json`` (the labels). Shards are
written under a temporary name and renamed when finished; finished ones are skipped. ``dataset.json`` says how many
people were asked for last: shards that other numbers left behind stay, but are not read. Splits use ranges of
person ids that cannot meet.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facesnap.core.errors import ImageError, InputError, OutputError, UsageError, one_line
from facesnap.core.images import write_atomic

if TYPE_CHECKING:  # needs OpenGL, and reading shards does not
    from facesnap.world.render import Renderer

#: First person id of each split.
SPLITS = {"train": 0, "judge": 1_000_000, "val": 2_000_000, "test": 3_000_000}
SPLIT_SPAN = 1_000_000
PEOPLE_PER_SHARD = 25


@dataclass(frozen=True)
class Settings:
    """What a split's pictures depend on, people aside."""

    split: str
    images_per_person: int
    seed: int
    preset: str
    size: int


@dataclass(frozen=True)
class Job:
    """One shard to render: ``people`` people from id ``first`` on."""

    path: Path
    first: int
    people: int
    settings: Settings


@dataclass(frozen=True)
class WorldData:
    """A data set in memory; N pictures of side S."""

    images: np.ndarray  #: (N, S, S, 3) uint8 RGB
    person: np.ndarray  #: (N,) i64
    identity: np.ndarray  #: (N, 100) f32
    pose: np.ndarray  #: (N, 3) f32 yaw, pitch, roll in degrees
    camera: np.ndarray  #: (N, 4) f32 scale, cx, cy, inverse distance
    expression: np.ndarray  #: (N, 53) f32
    landmarks2d: np.ndarray  #: (N, 72, 2) f32 pixels
    landmarks3d: np.ndarray  #: (N, 72, 3) f32 cm, unposed
    visible: np.ndarray  #: (N, 72) bool
    captions: list[list[str]]
    attributes: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.images)


def render_split(
    out: str | Path,
    split: str,
    people: int,
    images_per_person: int,
    workers: int = 2,
    seed: int = 0,
    preset: str = "cpu",
    size: int = 128,
) -> Path:
    """Render ``people`` x ``images_per_person`` pictures of a split into ``out/split``; returns that folder.

    Raises:
        UsageError: an unknown split or preset, or more people than a split holds.
        InputError: the ``dataset.json`` of an earlier run is damaged.
        OutputError: ``out/split`` can't be written, or holds a data set made with other settings.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    from facesnap.world.characters import PRESET_NAMES

    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}: use one of {', '.join(SPLITS)}")
    if preset not in PRESET_NAMES:
        raise UsageError(f"unknown preset {preset!r}: use one of {', '.join(PRESET_NAMES)}")
    if not 0 < people <= SPLIT_SPAN or images_per_person < 1:
        raise UsageError(f"people={people} must be 1 to {SPLIT_SPAN}, images_per_person={images_per_person} at least 1")
    folder = Path(out) / split
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"can't make the folder {folder}: {one_line(error)}") from error
    settings = Settings(split, images_per_person, seed, preset, size)
    _describe(folder, settings, people)
    jobs = _jobs(folder, settings, people)
    waiting = [job for job in jobs if not job.path.exists()]
    start, done = time.monotonic(), 0
    columns = (*Progress.get_default_columns()[:3], TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    # stdout is for the command's result; a log is no place for a bar
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    with bar as progress, closing(_run(waiting, workers)) as counts:
        task = progress.add_task(f"rendering {split}", total=sum(_count(j) for j in jobs), rate="")
        progress.advance(task, sum(_count(j) for j in jobs if j.path.exists()))
        for count in counts:
            done += count
            progress.update(task, advance=count, rate=f"{done / (time.monotonic() - start):.1f} images/s")
    return folder


def _count(job: Job) -> int:
    return job.people * job.settings.images_per_person


def _run(jobs: list[Job], workers: int) -> Generator[int, None, None]:
    """Render jobs, yielding the pictures of each as it finishes; after an exception no other job is started."""
    if workers <= 1:
        for job in jobs:
            yield render_shard(job)
        return
    left = iter(jobs)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        try:
            # One job per worker at a time: leaving the pool waits for the jobs that are in it, and those it has
            # handed to its queue can't be cancelled, so with more of them Ctrl-C or a full disk would not stop it.
            running = {pool.submit(render_shard, job) for job in islice(left, workers)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                counts = [future.result() for future in finished]
                running |= {pool.submit(render_shard, job) for job in islice(left, len(finished))}
                yield from counts
        except BrokenProcessPool as error:
            raise OutputError("a rendering process was killed (out of memory?): run again, it resumes") from error


def _one_thread() -> None:
    """Parallelism comes from processes: keep the software GL and OpenCV to one thread each."""
    os.environ["LP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)


def _describe(folder: Path, settings: Settings, people: int) -> None:
    """Write ``dataset.json``; refuse to mix data sets of different settings."""
    before = _description(folder)
    if before is not None:
        for name, value in asdict(settings).items():
            if before.get(name) != value:
                found = f"{name}={before.get(name)!r}, not {value!r}"
                raise OutputError(f"{folder} was rendered with {found}: use another folder")
    text = json.dumps(
        {"format": 1, **asdict(settings), "people": people, "people_per_shard": PEOPLE_PER_SHARD}, indent=2
    )
    write_atomic(folder / "dataset.json", f"{text}\n".encode())


def _description(folder: Path) -> dict[str, Any] | None:
    """What ``dataset.json`` says; None without one."""
    path = folder / "dataset.json"
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} can't be used ({error}): delete it and render again")


def _jobs(folder: Path, settings: Settings, people: int) -> list[Job]:
    blocks = _blocks(settings.split, people, PEOPLE_PER_SHARD)
    return [Job(folder / name, first, count, settings) for name, first, count in blocks]


def _blocks(split: str, people: int, people_per_shard: int) -> Iterator[tuple[str, int, int]]:
    """File name, first person and number of people of every shard of a split."""
    for start in range(0, people, people_per_shard):
        first, count = SPLITS[split] + start, min(people_per_shard, people - start)
        yield f"{split}-{first:07d}-{count:02d}.tar", first, count


def render_shard(job: Job) -> int:
    """Render one shard to its path (temporary name, then renamed); returns the number of pictures."""
    temporary = job.path.with_name(f".{job.path.name}.{os.getpid()}.tmp")
    try:
        with tarfile.open(temporary, "w") as tar:
            for key, png, labels in _pictures(job):
                _add(tar, f"{key}.png", png)
                _add(tar, f"{key}.json", labels)
        temporary.replace(job.path)
    except OSError as error:
        raise OutputError(f"can't write {job.path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return _count(job)


def _pictures(job: Job) -> Iterator[tuple[str, bytes, bytes]]:
    """Key, PNG and JSON of every picture of a shard."""
    from facesnap.world.moments import sample_conditions
    from facesnap.world.people import sample_person

    settings = job.settings
    renderer = _renderer(settings.size)
    for person_id in range(job.first, job.first + job.people):
        person = sample_person(settings.seed, person_id)
        for index in range(settings.images_per_person):
            made = renderer.render(person, sample_conditions(settings.seed, person, index, settings.preset))
            png = cv2.imencode(".png", made.image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 4])[1].tobytes()
            labels = json.dumps({**made.labels, "split": settings.split}, separators=(",", ":")).encode()
            yield f"{person_id:07d}_{index:04d}", png, labels


@lru_cache(maxsize=2)
def _renderer(size: int) -> Renderer:
    """The process's renderer for a picture size."""
    from facesnap.world.render import Renderer

    return Renderer(size)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file with fixed metadata, so that the same pictures give the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def iterate_shards(folder: str | Path) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Pictures (S, S, 3) uint8 RGB and labels, in the order of person and index.

    Raises:
        InputError: no shards in ``folder``, or a damaged ``dataset.json``.
        ImageError: a damaged shard (named).
    """
    paths = _belonging(Path(folder))
    if not paths:
        raise InputError(f"no shards (*.tar) in {folder}")
    for path in paths:
        try:
            with tarfile.open(path) as tar:
                while (member := tar.next()) is not None:
                    png = tar.extractfile(member)
                    following = tar.next()
                    text = tar.extractfile(following) if following is not None else None
                    if png is None or text is None:
                        raise ValueError(f"{member.name} has no labels")
                    picture = cv2.imdecode(np.frombuffer(png.read(), np.uint8), cv2.IMREAD_COLOR)
                    if picture is None:
                        raise ValueError(f"{member.name} is not a picture")
                    yield picture[..., ::-1], json.loads(text.read())
        except (OSError, ValueError, KeyError, tarfile.TarError, cv2.error) as error:
            raise ImageError(f"shard {path} is damaged ({error}): delete it and render again") from error


def _belonging(folder: Path) -> list[Path]:
    """The shards of the people that ``dataset.json`` names; without it, all there are.

    A name holds the block's number of people, so that 30 people and then 100 leave two shards with the same ones.
    """
    described = _description(folder)
    if described is None:
        return sorted(folder.glob("*.tar"))
    try:
        blocks = list(_blocks(described["split"], described["people"], described["people_per_shard"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(folder / "dataset.json", error) from error
    return [folder / name for name, _, _ in blocks if (folder / name).exists()]


def read_shards(folder: str | Path, limit: int | None = None) -> WorldData:
    """Read a split's folder into arrays (at most ``limit`` pictures); errors as :func:`iterate_shards`."""
    images, labels = [], []
    for image, label in iterate_shards(folder):
        images.append(image)
        labels.append(label)
        if limit is not None and len(images) >= limit:
            break

    def stack(values: list[Any], dtype: Any = np.float32) -> np.ndarray:
        return np.array(values, dtype=dtype)

    return WorldData(
        images=np.stack(images),
        person=stack([x["person_id"] for x in labels], np.int64),
        identity=stack([x["identity"] for x in labels]),
        pose=stack([[x["pose"][k] for k in ("yaw", "pitch", "roll")] for x in labels]),
        camera=stack([[x["camera"][k] for k in ("scale", "cx", "cy", "inverse_distance")] for x in labels]),
        expression=stack([x["expression"] for x in labels]),
        landmarks2d=stack([x["landmarks2d"] for x in labels]),
        landmarks3d=stack([x["landmarks3d"] for x in labels]),
        visible=stack([x["visible"] for x in labels], bool),
        captions=[x["captions"] for x in labels],
        attributes=[x["attributes"] for x in labels],
    )
