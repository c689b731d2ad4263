"""``facesnap evaluate``: make every portrait of a suite, measure them, write the report. Stops and goes on at will."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError, UsageError
from facesnap.core.machine import machine, own_command, today
from facesnap.evaluation import metrics, report
from facesnap.evaluation.bench import Bench, assemble
from facesnap.evaluation.methods import Method, Task
from facesnap.evaluation.protocol import Protocol
from facesnap.evaluation.records import Ledger, Record
from facesnap.evaluation.subjects import Subject, load_subjects, make_trials
from facesnap.evaluation.summary import BASE, Columns, nme_of, summarise
from facesnap.landmarks.draw import draw_landmarks

Say = Callable[[str], None]

#: How many people the contact sheet shows from the top, and how many of the worst.
SHOWN: Final = 8


@dataclass(frozen=True)
class Suite:
    """A named set of questions. ``renders``: per person: reference, target, and the rest as gallery."""

    split: str
    preset: str
    renders: int


SUITES: Final[Mapping[str, Suite]] = {"mini": Suite(split="test", preset="cpu", renders=6)}


def evaluate(
    suite: str = "mini",
    output: str | Path = "docs",
    people: int = 100,
    seed: int = 0,
    device: str = "auto",
    *,
    work: str | Path | None = None,
    renders: str | Path | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    command: str | None = None,
    say: Say | None = None,
) -> Path:
    """Run a suite and write RESULTS.md, results.json and results.png into ``output``.

    Args:
        suite: one of :data:`SUITES`.
        output: folder of the report.
        people: how many test people, at least 2.
        seed: of the people, the sampling and the intervals.
        device: auto, cpu or cuda.
        work: folder that keeps each person's pictures and measurements, so that a run can go on where it stopped
            (on the same device, with the same libraries); default ``runs/evaluate-<suite>``.
        renders: folder of the test people's shards; made there if they are not; default ``<work>/renders``.
        steps: denoising steps; None: the adapter's default.
        guidance_scale: guidance of the prompt; None: the adapter's default.
        command: what the report names as its command; None: this process's own.
        say: takes one line of progress; None prints to stderr.

    Returns:
        The path of RESULTS.md.

    Raises:
        UsageError: unknown suite, fewer than 2 people, or a judge that is a conditioning network.
        AdapterError: weights that aren't there.
        OutputError: a folder that can't be written.
    """
    if suite not in SUITES:
        raise UsageError(f"unknown suite {suite!r}: use one of {', '.join(SUITES)}")
    if people < 2:
        raise UsageError(f"{people} people can't be told apart: use at least 2")
    chosen, say = SUITES[suite], say or _to_stderr
    work = Path(work) if work else Path("runs") / f"evaluate-{suite}"
    bench = assemble(device)
    bench.check_judges()
    folder = Path(renders) if renders else work / "renders"
    subjects = load_subjects(folder, chosen.split, people, chosen.renders, seed, chosen.preset, bench.size)
    protocol = Protocol(
        suite=suite,
        seed=seed,
        split=chosen.split,
        size=bench.size,
        steps=steps or bench.default_steps,
        guidance_scale=bench.default_guidance if guidance_scale is None else guidance_scale,
        trials=make_trials(subjects, seed, bench.fits),
    )
    settings = protocol.hash_with(
        preset=chosen.preset,
        weights=bench.weights,
        judges=bench.judges,
        device=bench.device,  # pictures and their seconds depend on it, and on the libraries
        versions=bench.versions,
    )
    ledger = Ledger(work, settings)
    records = collect(protocol, subjects, bench, ledger, say)
    texts = bench.observer.clip_judge.text_features([trial.prompt for trial in protocol.trials])
    rows = summarise(records, texts, [method.name for method in bench.methods], seed)
    facts = _facts(command or own_command(), protocol, bench, records)
    return report.write_report(Path(output), facts, rows, sheet_of(records, ledger, seed), protocol.to_json())


def collect(protocol: Protocol, subjects: Sequence[Subject], bench: Bench, ledger: Ledger, say: Say) -> list[Record]:
    """Everybody's record, in the protocol's order: what is there already is read, the rest is made and kept."""
    done = ledger.read(protocol.trials)
    if done:
        say(f"{len(done)} of {protocol.people} people are there from an earlier run")
    missing = [i for i, trial in enumerate(protocol.trials) if trial.person not in done]
    start = time.perf_counter()
    for count, i in enumerate(missing, start=1):
        record = examine(protocol, i, subjects[i], bench, ledger)
        ledger.append(record)
        done[record.trial.person] = record
        pace = (time.perf_counter() - start) / count
        left = pace * (len(missing) - count) / 60
        say(f"person {len(done)}/{protocol.people}, {pace:.1f} s each, {left:.0f} min left")
    return [done[trial.person] for trial in protocol.trials]


def examine(protocol: Protocol, index: int, subject: Subject, bench: Bench, ledger: Ledger) -> Record:
    """One person: enrol, request, portray by every method, measure every picture, keep the pictures."""
    trial, size = protocol.trials[index], protocol.size
    reference, target = subject.shots[trial.reference], subject.shots[trial.target]
    pictures = {"reference": reference.image, "target": target.image}
    pictures |= {f"gallery_{i}": subject.shots[shot].image for i, shot in enumerate(trial.gallery)}
    identity, problem = None, ""
    try:
        identity = bench.snap.enroll(reference.image)
    except InputError as error:
        problem = str(error)
    requested = target.landmarks
    if identity is not None:
        requested = bench.predictor.predict(identity.shape, trial.pose, (size, size))
    asked = protocol.steps, protocol.guidance_scale, size
    task = Task(trial, reference.image, identity, problem, *asked, requested, target.landmarks)
    failures, seconds = portray_all(bench.methods, task, pictures)
    for name, picture in {**pictures, "map": draw_landmarks(requested, (size, size))}.items():
        ledger.save_image(trial.person, name, picture)
    seen = {name: bench.observer.look(picture) for name, picture in pictures.items()}
    return Record(trial, requested, target.landmarks, seen, failures, seconds)


def portray_all(
    methods: Sequence[Method], task: Task, pictures: dict[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, float]]:
    """Every method's portrait is added to ``pictures``; why there is none of some, and how long the others took."""
    failures, seconds = {}, {}
    for method in methods:
        start = time.perf_counter()
        try:
            pictures[method.name] = method.portray(task)
            seconds[method.name] = time.perf_counter() - start
        except InputError as error:
            failures[method.name] = str(error)
    return failures, seconds


def asked_facts(command: str, protocol: Protocol, device: str) -> dict[str, Any]:
    """What was asked, when and where: how every report begins to say how its numbers were made."""
    return {
        "command": command,
        "date": today(),
        "protocol": f"{protocol.suite}, version {protocol.version}",
        "people": f"{protocol.people} of the split {protocol.split!r}",
        "seed": protocol.seed,
        "picture": f"{protocol.size} x {protocol.size} pixels",
        "steps": protocol.steps,
        "guidance scale": protocol.guidance_scale,
        "device": device,
        "machine": machine(device),
    }


def median_seconds(records: Sequence[Record], names: Sequence[str]) -> dict[str, float]:
    """Method -> median seconds per portrait, of those that made any."""
    times = {name: [record.seconds[name] for record in records if name in record.seconds] for name in names}
    return {name: round(float(np.median(several)), 3) for name, several in times.items() if several}


def _facts(command: str, protocol: Protocol, bench: Bench, records: Sequence[Record]) -> dict[str, Any]:
    """How the numbers were made, in the order in which the report prints it."""
    seconds = median_seconds(records, [method.name for method in bench.methods])
    return {
        **asked_facts(command, protocol, bench.device),
        **{f"seconds per portrait, {name} (median)": value for name, value in seconds.items()},
        **{f"judge: {name}": signature for name, signature in bench.judges.items()},
        **{f"weights: {name}": signature for name, signature in bench.weights.items()},
        "versions": bench.versions,
    }


def sheet_of(records: Sequence[Record], ledger: Ledger, seed: int) -> np.ndarray:
    """The first people, then the worst by FaceSim to the reference (a miss counts as everywhere)."""
    columns = Columns(records, seed)
    similarity = metrics.floored(columns.similarity("facesnap", ["reference"]))
    error = nme_of(columns, "facesnap")
    order = [*range(min(SHOWN, len(records))), *np.argsort(similarity, kind="stable")[:SHOWN].tolist()]
    names = ["reference", "map", "facesnap", BASE, "target"]
    strips = []
    for place, i in enumerate(order):
        record = records[i]
        pictures = [ledger.load_image(record.trial.person, name) for name in names]
        if "facesnap" in record.failures:
            pictures[2] = None  # there may be one from other settings
        words = "" if place < min(SHOWN, len(records)) else "worst: "
        found = "no face found" if np.isnan(error[i]) else f"NME {error[i]:.1%}"
        words += f"{record.trial.person}: FaceSim {similarity[i]:.2f}, {found}. {record.trial.prompt}"
        strips.append(report.Strip(pictures, words))
    return report.contact_sheet(strips, ["reference", "requested map", "FaceSnap", "base, no identity", "real target"])


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
