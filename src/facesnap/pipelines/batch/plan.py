"""Which portraits jobs ask for, which of them are there, and which are made together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import OutputError, one_line
from facesnap.core.images import PNG_SIGNATURE
from facesnap.core.pose import Pose
from facesnap.pipelines.batch.jobs import Job, Shared
from facesnap.pipelines.batch.values import Person

#: The text of a PNG that says which settings it was asked for with, and how like the person it became.
STAMP: Final = "facesnap batch"

#: Part of every hash: another number makes all pictures anew.
_FORMAT: Final = 1


@dataclass(frozen=True)
class Asked:
    """One portrait.

    Attributes:
        number: its own, from 0.
        job: whose it is.
        index: its number among the job's portraits, from 0.
        at: which person, prompt, pose and seed of the job, each from 0.
        prints: of the contents of its :attr:`files`.
        settings: 16 hex digits of a SHA-256 over all that it is asked for with: model, files' contents, words, numbers.
    """

    number: int
    job: Job
    index: int
    at: tuple[int, int, int, int]
    prints: tuple[str, ...]
    settings: str

    @property
    def person(self) -> Person:
        """Whom it shows."""
        return self.job.people[self.at[0]]

    @property
    def prompt(self) -> str:
        """What it shows."""
        return self.job.prompts[self.at[1]]

    @property
    def pose(self) -> Pose | Path | None:
        """A pose, a driving photo, or the reference's own."""
        return self.job.poses[self.at[2]]

    @property
    def seed(self) -> int:
        """Of its noise."""
        return self.job.seeds[self.at[3]]

    @property
    def file(self) -> str:
        """Where it goes, below the batch's folder."""
        return f"{self.job.name}/{self.index:04d}.png"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that must be read for it: the person's, and a driving photo."""
        return (*self.person.files, *((self.pose,) if isinstance(self.pose, Path) else ()))


def asked_for(jobs: Sequence[Job], model: Mapping[str, Any]) -> list[Asked]:
    """All portraits of jobs, in their order. ``model``: what they depend on of it, see :meth:`ModelChoice.stamp`."""
    asked: list[Asked] = []
    for job in jobs:
        asked += _of_job(job, model, len(asked))
    return asked


def _of_job(job: Job, model: Mapping[str, Any], first: int) -> Iterator[Asked]:
    common = {"format": _FORMAT, "model": model, "negative_prompt": job.negative_prompt, **asdict(job.shared)}
    people: list[dict[str, Any]] = [
        {"known": person.known, "files": [print_of(file) for file in person.files]} for person in job.people
    ]
    drivers = [(print_of(pose),) if isinstance(pose, Path) else () for pose in job.poses]
    poses = [pose.to_json() if isinstance(pose, Pose) else pose and drivers[i] for i, pose in enumerate(job.poses)]
    parts: tuple[Sequence[Any], ...] = (people, job.prompts, poses, job.seeds)
    for index, at in enumerate(product(*(range(len(part)) for part in parts))):
        told = dict(zip(("person", "prompt", "pose", "seed"), (parts[i][at[i]] for i in range(4)), strict=True))
        plain = json.dumps({**common, **told}, sort_keys=True)
        settings = hashlib.sha256(plain.encode()).hexdigest()[:16]
        prints = (*people[at[0]]["files"], *drivers[at[2]])
        yield Asked(first + index, job, index, (at[0], at[1], at[2], at[3]), prints, settings)


def print_of(file: Path) -> str:
    """16 hex digits of the SHA-256 of a file's content; of one that can't be read, its name and why."""
    try:
        told = file.stat()
        return _print_of(file, told.st_mtime_ns, told.st_size)
    except OSError as error:
        return f"{file}: {one_line(error)}"


@lru_cache(maxsize=100_000)
def _print_of(file: Path, *state: int) -> str:
    return print_of_bytes(file.read_bytes())


def print_of_bytes(content: bytes) -> str:
    """The same of what was read."""
    return hashlib.sha256(content).hexdigest()[:16]


def found(out: Path, asked: Asked) -> dict[str, Any] | None:
    """What a picture that is there says of itself, if it is whole and was asked for with the same settings.

    Raises:
        OutputError: something else is in its place, or can't be read.
    """
    from PIL import Image

    path = out / asked.file
    if not path.exists():
        return None
    if not path.is_file():
        raise OutputError(f"{path} is a folder, where a portrait is to go: use another folder")
    try:
        with path.open("rb") as file:
            begins = file.read(len(PNG_SIGNATURE))
    except OSError as error:
        raise OutputError(f"{path} can't be read: {one_line(error)}") from error
    if begins and begins != PNG_SIGNATURE:  # an empty file, or a PNG that is damaged, may be what is left of a portrait
        raise OutputError(f"{path} is there, and no picture of a batch: use another folder")
    try:
        with Image.open(path) as image:
            stamp = image.info.get(STAMP)
            image.verify()  # reads to the end, checksums included
    except Exception:  # whatever a damaged file brings about
        return None
    if stamp is None:
        raise OutputError(f"{path} is there, and no picture of a batch: use another folder")
    try:
        told = json.loads(stamp)
        return dict(told) if told["settings"] == asked.settings else None
    except (ValueError, TypeError, KeyError):
        return None


def together(waiting: Iterable[Asked], size: int, workers: int) -> list[list[Asked]]:
    """Portraits that share size, steps and knobs, at most ``size`` at a time, in their order; fewer where some of the
    ``workers`` would have nothing to do.
    """
    groups: dict[Shared, list[Asked]] = {}
    for each in waiting:
        groups.setdefault(each.job.shared, []).append(each)
    batches = []
    for group in groups.values():
        most = max(1, min(size, -(-len(group) // workers)))
        batches += [group[start : start + most] for start in range(0, len(group), most)]
    return batches
