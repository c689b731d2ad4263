"""From photographs to a data set, in three passes: examine, decide, write.

A run that is stopped, killed or loses its power is taken up by the same command: every file appears whole, under its
final name, so at most the chunks and shards that were being worked on are done again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from facesnap import __version__
from facesnap.core.errors import InputError, OutputError, UsageError, one_line
from facesnap.core.folders import only_run
from facesnap.core.images import write_atomic
from facesnap.core.workers import Backend, run, session
from facesnap.data.captions import Captioner
from facesnap.data.decide import DecideSettings, Decision, decide, stamp_of
from facesnap.data.encoders import Encoders, EncoderSource
from facesnap.data.examine import Chunk, Examine, ExamineSettings, settings_of
from facesnap.data.gather import Gathered, gather
from facesnap.data.layout import CONSENTS, DESCRIPTION, PICTURES, SPLITS, DatasetInfo, SplitInfo
from facesnap.data.parts import PARTS, is_examined, part_path
from facesnap.data.photos import Words, digest, photos_of
from facesnap.data.report import report_html, report_json
from facesnap.data.write import ShardJob, Write, Written, clear_others, finished

SETTINGS: Final = "settings.json"
LOCK: Final = "lock"
REPORT: Final = "report"

#: Told what is being done, how many more are done, and (if known) of how many.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Request:
    """What is to be prepared, and how.

    Attributes:
        source: a folder, a list or a tar, see :func:`facesnap.data.photos.photos_of`.
        out: the data set's folder.
        words: licence, consent, and whether folders name people.
        examine, decide: settings of the passes.
        suffix: of the pictures, jpg or png.
        captioner: a folder or hub id of an image-to-text model; empty: none.
        limit: of photos, the first ones; None: all.
        chunk: photos per part.
    """

    source: Path
    out: Path
    words: Words = field(default_factory=Words)
    examine: ExamineSettings = field(default_factory=ExamineSettings)
    decide: DecideSettings = field(default_factory=DecideSettings)
    suffix: str = "jpg"
    captioner: str = ""
    limit: int | None = None
    chunk: int = 64

    def __post_init__(self) -> None:
        if self.suffix not in PICTURES:
            raise UsageError(f"unknown picture format {self.suffix!r}: use {' or '.join(PICTURES)}")
        if self.words.consent not in CONSENTS:
            raise UsageError(f"unknown consent {self.words.consent!r}: use {', '.join(CONSENTS)}")
        size = self.examine.size
        if size < 64 or size % 8:
            raise UsageError(f"size={size} must be a multiple of 8, at least 64")
        if self.examine.views < 1:
            raise UsageError(f"views={self.examine.views} must be 1 or more")
        if self.examine.margin < 1:
            raise UsageError(f"margin={self.examine.margin} must be 1 or more")
        if self.source.is_dir() and self.out.resolve().is_relative_to(self.source.resolve()):
            raise UsageError(
                f"{self.out} lies in {self.source}, its shards would be read as photos: use another folder"
            )

    def chunks(self) -> Iterator[Chunk]:
        """The source's photos, a chunk at a time."""
        photos = islice(photos_of(self.source, self.words), self.limit)
        number = 0
        while some := list(islice(photos, self.chunk)):
            yield Chunk(number, some)
            number += 1


def prepare(
    request: Request,
    load: Callable[[], Encoders] | None = None,
    backend: Backend | None = None,
    progress: Progress = lambda what, more, of: None,
    say: Callable[[str], None] = lambda line: None,
) -> DatasetInfo:
    """Make a data set, or finish one that was begun; returns what ``dataset.json`` says.

    Args:
        request: what and how.
        load: gives the encoders, in each worker: a function or object that can be pickled; None: mini's.
        backend: who works.
        progress: see :data:`Progress`.
        say: told what was decided, in lines.

    Raises:
        InputError: no such source, or nothing in it can be used.
        OutputError: the folder can't be written, holds something else, or another run is at work in it.
        UsageError, AdapterError, MissingExtraError: as their texts say.
    """
    load, backend = load or EncoderSource(), backend or Backend()
    first = next(photos_of(request.source, request.words), None)
    if first is None:
        raise InputError(f"no photos in {request.source}")
    encoders = dict(load().identifiers)
    if request.captioner:
        encoders["captioner"] = Captioner.from_pretrained(request.captioner).identifier
    with _locked(request.out), session(backend):
        _check_begun(request, encoders)
        parts = _examine(request, load, backend, progress)
        found = gather(request.out, parts)
        decision = decide(found, request.out, request.decide, backend.devices[0])
        say(_told(found, decision))
        info = _write(request, encoders, found, decision, backend, progress)
        report = report_json(found, decision, info)
        write_atomic(request.out / f"{REPORT}.html", report_html(report, found, decision).encode())
        write_atomic(request.out / f"{REPORT}.json", f"{json.dumps(report, indent=2, ensure_ascii=False)}\n".encode())
        write_atomic(request.out / DESCRIPTION, info.to_json())
    return info


def planned(request: Request) -> dict[str, Any]:
    """What a run would have to do, from names alone; nothing is written.

    Raises:
        InputError: no such source, or no photos in it.
    """
    counts: Counter[str] = Counter()
    people = set()
    for chunk in request.chunks():
        done = is_examined(part_path(request.out, chunk.number), digest(chunk.photos))
        counts["photos"] += len(chunk.photos)
        counts["chunks"] += 1
        counts["examined"] += len(chunk.photos) if done else 0
        counts["captions"] += sum(bool(photo.captions) for photo in chunk.photos)
        counts["named"] += sum(bool(photo.person) for photo in chunk.photos)
        counts["problems"] += sum(bool(photo.problem) for photo in chunk.photos)
        people |= {photo.person for photo in chunk.photos if photo.person}
    if not counts["photos"]:
        raise InputError(f"no photos in {request.source}")
    names = ("photos", "chunks", "examined", "captions", "named", "problems")
    return {**{name: counts[name] for name in names}, "people": len(people)}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one run at a time in a folder, which leaves nothing half written of those before."""
    try:
        with only_run(folder, folder / PARTS / LOCK):
            for left in (*folder.glob(".*.tmp"), *(folder / PARTS).glob(".*.tmp")):
                left.unlink(missing_ok=True)  # of a killed run
            yield
    except OSError as error:
        raise OutputError(f"can't write to {folder}: {one_line(error)}") from error


def _check_begun(request: Request, encoders: dict[str, str]) -> None:
    """Refuse to go on with what was begun otherwise. What pass 2 depends on may change: it is done anew."""
    path = request.out / PARTS / SETTINGS
    wanted = {**settings_of(request.examine), "chunk": request.chunk}
    wanted |= {name: value for name, value in encoders.items() if name != "captioner"}
    if not path.exists():
        if any(request.out.glob("*.tar")):
            raise OutputError(f"{request.out} holds a data set whose {PARTS}/{SETTINGS} is gone: use another folder")
        write_atomic(path, f"{json.dumps(wanted, indent=2)}\n".encode())
        return
    try:
        begun = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} can't be used ({one_line(error)}): use another folder") from error
    for name, value in wanted.items():
        if begun.get(name) != value:
            told = f"{name}={begun.get(name)}, not {value}"
            raise OutputError(f"{request.out} was begun with {told}: use another folder, or delete this one")


def _examine(request: Request, load: Callable[[], Encoders], backend: Backend, progress: Progress) -> int:
    """Pass 1; returns how many parts there are."""
    parts = 0

    def waiting() -> Iterator[Chunk]:
        nonlocal parts
        for chunk in request.chunks():
            parts += 1
            if is_examined(part_path(request.out, chunk.number), digest(chunk.photos)):
                progress("examining", len(chunk.photos), None)
            else:
                yield chunk

    for done in run(Examine(load, request.examine, request.out), waiting(), backend):
        progress("examining", done.photos, None)
    return parts


def _write(
    request: Request,
    encoders: dict[str, str],
    found: Gathered,
    decision: Decision,
    backend: Backend,
    progress: Progress,
) -> DatasetInfo:
    """Pass 3; returns what ``dataset.json`` is to say."""
    task = Write(request.out, request.examine.size, request.suffix, request.captioner)
    stamp = (found.stamp, request.suffix, encoders.get("captioner", ""), __version__)
    jobs = [ShardJob(shard, stamp_of(shard, *stamp)) for shard in decision.shards]
    known = {job.stamp: finished(request.out, job) for job in jobs}
    waiting = [job for job in jobs if known[job.stamp] is None]
    total = decision.photos()
    if waiting:
        (request.out / DESCRIPTION).unlink(missing_ok=True)  # until all of it is true again
    clear_others(request.out, decision.shards)
    written: list[Written] = [done for done in known.values() if done is not None]
    progress("writing", sum(done.photos for done in written), total)
    for done in run(task, waiting, backend):
        written.append(done)
        progress("writing", done.photos, total)
    licences: Counter[str] = Counter()
    for done in written:
        licences.update(done.licences)
    counts = {split: sum(done.split == split for done in written) for split in SPLITS}
    settings = {**settings_of(request.examine), **asdict(request.decide), "format": request.suffix}
    return DatasetInfo(
        size=request.examine.size,
        views=request.examine.views,
        splits={split: SplitInfo(decision.people(split), decision.photos(split), counts[split]) for split in SPLITS},
        encoders=encoders,
        settings=settings,
        versions=_versions(),
        licences=dict(sorted(licences.items())),
    )


def _versions() -> dict[str, str]:
    import cv2
    import numpy
    import torch

    return {"facesnap": __version__, "numpy": numpy.__version__, "opencv": cv2.__version__, "torch": torch.__version__}


def _told(found: Gathered, decision: Decision) -> str:
    kept, people = decision.photos(), len(decision.per_person)
    return f"{kept} of {found.photos} photos are kept, of {people} people; {found.photos - kept} are refused"
