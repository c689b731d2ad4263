"""Jobs of a batch, from a file of one JSON object per line; all of them are checked before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import FaceSnapError, InputError, UsageError, one_line
from facesnap.core.pose import Pose
from facesnap.models.controls import FaceControls
from facesnap.pipelines.batch import values
from facesnap.pipelines.batch.values import KNOBS, Person

#: How each field of a line is read; knobs of :class:`FaceControls` are read together.
READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "prompt": values.prompts,
    "negative_prompt": values.text,
    "seed": values.seeds,
    "count": values.count,
    "num_inference_steps": values.steps,
    "guidance_scale": values.guidance,
    "width": values.side,
    "height": values.side,
    "carry": values.carried,
    "speed": values.speed,
    "long_prompts": values.yes_or_no,
    "name": values.name,
}

#: Every field of a line.
FIELDS: Final = ("reference", "identity", "prompt", "pose", *(name for name in READ if name != "prompt"), *KNOBS)

#: Fields that may be said for all lines at once.
DEFAULTS: Final = frozenset(FIELDS) - {"reference", "identity", "prompt", "pose", "name"}


class JobsError(UsageError):
    """Lines that can't be used; ``faults``: one text each, with file and line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else ""))
        self.faults = faults


@dataclass(frozen=True)
class Shared:
    """What pictures of one batch have in common; the names are those of ``FaceSnap.many``. None: the model's own."""

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    carry: tuple[str, ...] = ("hair", "beard")
    speed: str = "exact"
    long_prompts: bool = False
    controls: FaceControls = field(default_factory=FaceControls)


@dataclass(frozen=True)
class Job:
    """One line: its portraits are people x prompts x poses x seeds, the seeds changing first.

    Attributes:
        line: its number in the file, from 1.
        name: its own, or that number.
        people: whom.
        prompts: what they show.
        poses: a pose, a driving photo, or None for the reference's own.
        seeds: of the pictures.
        negative_prompt: what none of them should show.
        shared: size, steps and knobs.
    """

    line: int
    name: str
    people: tuple[Person, ...]
    prompts: tuple[str, ...]
    poses: tuple[Pose | Path | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    negative_prompt: str = ""
    shared: Shared = field(default_factory=Shared)


def read_jobs(path: str | Path, defaults: Mapping[str, Any] | None = None) -> list[Job]:
    """Jobs of a file, one JSON object per line; empty lines are none. Paths in it are relative to its folder.

    Args:
        path: the file.
        defaults: what holds where a line doesn't say, out of :data:`DEFAULTS`.

    Raises:
        JobsError: lines that can't be used, all of them at once.
        InputError: the file can't be read. UsageError: no job in it, or defaults of other names.
    """
    path, given = Path(path), {name: value for name, value in (defaults or {}).items() if value is not None}
    if unknown := sorted(set(given) - DEFAULTS):
        raise UsageError(f"{unknown[0]} can't be said for all jobs: say it in each")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold other ends of lines
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {one_line(error)}") from error
    jobs, faults = [], []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            job, wrong = _parsed(line, number, path.parent, given)
            faults += [(number, fault) for fault in wrong]
            jobs += [job] if job else []
    faults += _twice(jobs)
    if faults:
        raise JobsError([f"{path}:{number}: {fault}" for number, fault in sorted(faults, key=lambda each: each[0])])
    if not jobs:
        raise UsageError(f"{path} has no jobs: write one JSON object per line")
    return jobs


def _parsed(line: str, number: int, folder: Path, defaults: Mapping[str, Any]) -> tuple[Job | None, list[str]]:
    """The job of a line, or all that is wrong with it."""
    try:
        said = values.json_object(line)
    except UsageError as error:
        return None, [str(error)]
    faults = [_unknown(key) for key in said if key not in FIELDS]
    said = {key: value for key, value in said.items() if value is not None or key == "pose"}
    got: dict[str, Any] = {}

    def read(name: str, reader: Callable[[], Any]) -> None:
        try:
            got[name] = reader()
        except FaceSnapError as error:
            faults.append(str(error))

    merged = {**defaults, **said}
    for name, reader in READ.items():
        if name in merged:
            read(name, lambda name=name, reader=reader: reader(merged[name]))  # type: ignore[misc]
    read("people", lambda: values.people(said.get("reference"), said.get("identity"), folder))
    read("poses", lambda: values.poses(said.get("pose"), folder))
    read("controls", lambda: FaceControls(**{name: merged[name] for name in KNOBS if name in merged}))
    read("seeds", lambda: values.all_seeds(got.get("seed", 0), got.get("count"), of_line="count" in said))
    if "prompt" not in said:
        faults.append("no prompt: say what the portrait shows")
    if faults:
        return None, faults
    shared = Shared(**{name: got[name] for name in Shared.__dataclass_fields__ if name in got})
    own = {name: got[name] for name in ("people", "poses", "seeds", "negative_prompt") if name in got}
    return Job(number, got.get("name", str(number)), prompts=got["prompt"], shared=shared, **own), []


def _unknown(key: str) -> str:
    near = get_close_matches(key, FIELDS, 1) or [name for name in FIELDS if key.lower() in name][:1]
    return f"unknown key {json.dumps(key)}: " + (f"did you mean {near[0]}?" if near else f"use {', '.join(FIELDS)}")


def _twice(jobs: list[Job]) -> list[tuple[int, str]]:
    """Jobs whose folder would be another's, on file systems that mix up large and small letters, too."""
    first: dict[str, int] = {}
    faults = []
    for job in jobs:
        other = first.setdefault(job.name.casefold(), job.line)
        if other != job.line:
            faults.append((job.line, f"the name {json.dumps(job.name)} is that of line {other} already"))
    return faults
