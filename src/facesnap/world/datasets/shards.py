"""Rendering splits into webdataset tar shards: parallel, resumable, the same bytes for any number of workers.

Each picture has three members: ``{person:07d}_{index:04d}.png``, ``.seg.png`` (class of every pixel, see
:data:`facesnap.world.classes.CLASSES`) and ``.json`` (its labels). Shards are written under a temporary name and
renamed when finished; finished ones are kept unless they lack something. What a folder holds is told by
:mod:`facesnap.world.datasets.splits`, and read by :mod:`facesnap.world.datasets.reading`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facesnap.core.errors import OutputError, UsageError, one_line
from facesnap.core.lazy import require
from facesnap.core.machine import started_threads
from facesnap.world.characters import check_preset
from facesnap.world.datasets import splits
from facesnap.world.datasets.splits import (
    DESCRIPTION,
    SPLIT_SPAN,
    SPLITS,
    Block,
    Settings,
    check_settings,
    key_of,
    write_description,
)
from facesnap.world.datasets.whole import problem_of_shard
from facesnap.world.datasets.wording import number_of
from facesnap.world.facekit.head import find_head_file

if TYPE_CHECKING:  # needs OpenGL
    from facesnap.world.render.renderer import Renderer

logger = logging.getLogger(__name__)

#: Run lengths alone: a third faster to write than deflate at level 4, and 2% smaller (renders of 256 px).
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
#: Metadata of tar members, fixed so that the same pictures give the same bytes.
TAR_METADATA: dict[str, Any] = {"mtime": 0, "user": "", "group": "", "mode": 0o644}
#: Seconds between looks at how far the workers are.
POLL = 0.5


@dataclass(frozen=True)
class Job:
    """One shard to render: the people of ``block``."""

    path: Path
    block: Block
    settings: Settings

    @property
    def pictures(self) -> int:
        """How many pictures the shard holds."""
        return self.block.people * self.settings.images_per_person


def render_split(
    out: str | Path,
    split: str,
    people: int,
    images_per_person: int,
    workers: int = 2,
    seed: int = 0,
    preset: str = "full",
    size: int = 256,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Render ``people`` x ``images_per_person`` pictures of a split into ``out/split``; returns that folder.

    Shards that are there are kept, and rendered anew if they are damaged (which is logged). A start that fails before
    its first shard is finished leaves nothing behind. ``say``: told in the end how many pictures are new.

    Raises:
        UsageError: an unknown split or preset, or a number out of its range, such as more people than a split holds.
        InputError: the head model is absent, or the ``dataset.json`` of an earlier run is damaged.
        OutputError: ``out/split`` can't be written, or holds a data set made with other or unknown settings.
        MissingExtraError: webdataset is not installed.
    """
    settings = Settings(split, images_per_person, seed, preset, size)
    _check_request(settings, people)
    folder = Path(out) / split
    check_settings(folder, settings)
    jobs = _jobs(folder, settings, people)
    waiting = [job for job in jobs if not _is_finished(job)]
    if waiting:
        require("webdataset", "world")
        find_head_file()
    total, new = (sum(job.pictures for job in some) for some in (jobs, waiting))
    with _undone_on_failure(folder):
        write_description(folder, settings, people)
        _work(waiting, workers, split, total)
    say(f"{number_of(new, 'picture')} rendered, {total - new} kept from before")
    return folder


def _check_request(settings: Settings, people: int) -> None:
    if settings.split not in SPLITS:
        raise UsageError(f"unknown split {settings.split!r}: use one of {', '.join(SPLITS)}")
    check_preset(settings.preset)
    if not 0 < people <= SPLIT_SPAN:
        raise UsageError(f"people={people} must be 1 to {SPLIT_SPAN}")
    for name, value, least in (("images_per_person", settings.images_per_person, 1), ("seed", settings.seed, 0)):
        if value < least:
            raise UsageError(f"{name}={value} must be {least} or more")


def _jobs(folder: Path, settings: Settings, people: int) -> list[Job]:
    blocks = splits.blocks_of(settings.split, people, splits.PEOPLE_PER_SHARD)
    return [Job(folder / block.name, block, settings) for block in blocks]


def _is_finished(job: Job) -> bool:
    if not job.path.exists():
        return False
    if problem := problem_of_shard(job.path, job.block, job.settings.images_per_person):
        logger.warning("%s is damaged (%s): it is rendered anew", job.path, problem)
    return not problem


@contextmanager
def _undone_on_failure(folder: Path) -> Iterator[None]:
    """Take back ``dataset.json`` and new folders when a first start fails before any shard is there."""
    fresh = not (folder / DESCRIPTION).exists()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if fresh and not any(folder.glob("*.tar")):
            with suppress(OSError):
                (folder / DESCRIPTION).unlink(missing_ok=True)
                for path in missing:
                    path.rmdir()
        raise


def _work(jobs: list[Job], workers: int, name: str, total: int) -> None:
    """Render jobs under a progress bar that counts ``total`` pictures, those of finished shards included."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    start, done = time.monotonic(), 0
    columns = (*Progress.get_default_columns()[:3], TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    # stdout is for the command's result; a log is no place for a bar
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    with bar as progress, closing(_run(jobs, workers)) as counts:
        task = progress.add_task(f"rendering {name}", total=total, rate="")
        progress.advance(task, total - sum(job.pictures for job in jobs))
        for count in counts:
            done += count
            progress.update(task, advance=count, rate=f"{done / (time.monotonic() - start):.1f} images/s")


def _run(jobs: list[Job], workers: int) -> Generator[int, None, None]:
    """Render jobs, yielding how many pictures were added; after an exception no other job is started."""
    if workers <= 1:
        for job in jobs:
            yield from _written(job)
        return
    left, context, seen = iter(jobs), get_context("spawn"), 0
    counter = context.Value("L", 0)
    workers = min(workers, max(1, len(jobs)))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(counter,))
    with started_threads(1, "LP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), pool:
        try:
            # One job per worker at a time: leaving the pool waits for the jobs that are in it, and those it has
            # handed to its queue can't be cancelled, so with more of them Ctrl-C or a full disk would not stop it.
            running = {pool.submit(render_shard, job) for job in islice(left, workers)}
            while running:
                finished, running = wait(running, timeout=POLL, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                running |= {pool.submit(render_shard, job) for job in islice(left, len(finished))}
                before, seen = seen, counter.value
                if seen > before:
                    yield seen - before
        except BrokenProcessPool as error:
            raise OutputError("a rendering process was killed (out of memory?): run again, it resumes") from error


#: Pictures that all workers together have rendered; set in each of them.
_counter: Any = None


def _start_worker(counter: Any) -> None:
    global _counter
    _counter = counter
    cv2.setNumThreads(1)


def render_shard(job: Job) -> None:
    """Render one shard in a worker, which counts its pictures.

    Raises:
        OutputError: the shard can't be written; no part of it remains.
    """
    for count in _written(job):
        with _counter.get_lock():
            _counter.value += count


def _written(job: Job) -> Iterator[int]:
    """Render one shard to its path (temporary name, then renamed); yields 1 for each picture."""
    temporary = job.path.with_name(f".{job.path.name}.{os.getpid()}.tmp")
    write = require("webdataset", "world").TarWriter
    try:
        with open(temporary, "wb") as file:
            with write(file, encoder=False, **TAR_METADATA) as shard:
                for sample in _samples(job):
                    shard.write(sample)
                    yield 1
            file.flush()
            os.fsync(file.fileno())  # some file systems report a full disk only here
        temporary.replace(job.path)
    except OSError as error:
        raise OutputError(f"can't write {job.path}: {one_line(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _samples(job: Job) -> Iterator[dict[str, Any]]:
    """The members of every picture of a shard, as webdataset writes them."""
    from facesnap.world.moments import sample_conditions
    from facesnap.world.people import sample_person

    settings, block = job.settings, job.block
    renderer = _renderer(settings.size)
    for person_id in range(block.first, block.first + block.people):
        person = sample_person(settings.seed, person_id)
        for index in range(settings.images_per_person):
            made = renderer.render(person, sample_conditions(settings.seed, person, index, settings.preset))
            labels = {**made.labels, "split": settings.split}
            yield {
                "__key__": key_of(person_id, index),
                "png": encode_png(made.image[..., ::-1]),
                "seg.png": encode_png(made.segmentation),
                "json": json.dumps(labels, separators=(",", ":"), allow_nan=False).encode(),
            }


def encode_png(picture: np.ndarray) -> bytes:
    """A picture (S, S, 3) BGR or (S, S), uint8, as PNG: the quickest setting that is also among the smallest."""
    return cv2.imencode(".png", picture, PNG)[1].tobytes()


@lru_cache(maxsize=2)
def _renderer(size: int) -> Renderer:
    """The process's renderer for a picture size."""
    from facesnap.world.render.renderer import Renderer

    return Renderer(size)
