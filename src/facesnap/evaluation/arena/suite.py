"""``facesnap evaluate --suite arena``: every contestant's portraits of the same people, measured; stops and goes on.

Each contestant's pictures and measurements are kept in a folder of their own below the work folder, so that one more
costs only its own portraits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError, UsageError
from facesnap.core.identity import Identity
from facesnap.evaluation.arena.bench import Arena, assemble
from facesnap.evaluation.arena.contestant import Contestant
from facesnap.evaluation.arena.questions import exact_request, make_questions
from facesnap.evaluation.arena.summary import AT, GUIDED, NOISE, OWN
from facesnap.evaluation.bench import versions
from facesnap.evaluation.methods import BaseMethod, Method, Task
from facesnap.evaluation.protocol import Protocol, Trial
from facesnap.evaluation.records import Ledger, Record
from facesnap.evaluation.run import portray_all
from facesnap.evaluation.subjects import REFERENCE, TARGET, Subject, load_subjects
from facesnap.evaluation.summary import BASE

Say = Callable[[str], None]

SPLIT, PRESET, RENDERS = "test", "cpu", 6
#: How strongly contestants act for the curve of likeness against prompt-following, beside 1; and of how many people.
STRENGTHS: Final = (0.25, 0.5, 0.75)
CURVED: Final = 50
#: Further noise for the diversity of portraits, and of how many people.
NOISES: Final = (1, 2)
VARIED: Final = 25


@dataclass(frozen=True)
class Outcome:
    """What was seen: ``records`` one per person, in the protocol's order; ``work`` holds the pictures."""

    protocol: Protocol
    arena: Arena
    records: Sequence[Record]
    work: Path

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        """Everybody's picture of that name (H, W, 3) uint8; None where there is none."""
        ledger = Ledger(self.work / folder_name(method_of(name)), "")
        for record in self.records:
            yield ledger.load_image(record.trial.person, name) if name in record.seen else None


def run_arena(
    run: Path,
    methods: Sequence[str],
    people: int,
    seed: int,
    device: str,
    *,
    work: Path,
    renders: Path | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    say: Say,
) -> Outcome:
    """Make and measure what is missing of all portraits.

    Args:
        run: folder of ``facesnap mini train``, in which contestants were trained.
        methods: their names; none: all that were trained.
        people: how many test people, at least 2.
        seed: of the people, of who drives whom, and of the sampling.
        device: auto, cpu or cuda.
        work: folder that keeps pictures and measurements.
        renders: folder of the test people's shards; made there if they are not; None: ``<work>/renders``.
        steps: denoising steps; None: mini's.
        guidance_scale: of the prompt; None: mini's.
        say: takes one line of progress.

    Raises:
        UsageError: fewer than 2 people, an unknown method, a judge that is a conditioning network.
        AdapterError: nothing was trained in the run.
        OutputError: a folder that can't be written.
    """
    if people < 2:
        raise UsageError(f"{people} people can't be told apart: use at least 2")
    arena = assemble(run, methods, device)
    folder = renders or work / "renders"
    subjects = load_subjects(folder, SPLIT, people, RENDERS, seed, PRESET, arena.size)
    protocol = Protocol(
        suite="arena",
        seed=seed,
        split=SPLIT,
        size=arena.size,
        steps=steps or arena.default_steps,
        guidance_scale=arena.default_guidance if guidance_scale is None else guidance_scale,
        trials=make_questions(subjects, seed, arena.fits),
    )
    sitting = Sitting(protocol, arena, {subject.person: subject for subject in subjects}, work, say)
    several = [sitting.real(), *(sitting.of(each) for each in arena.contestants)]
    return Outcome(protocol, arena, [merged(each) for each in zip(*several, strict=True)], work)


@dataclass(frozen=True)
class Sitting:
    """One run of the arena: who is asked what, and where it is kept."""

    protocol: Protocol
    arena: Arena
    subjects: Mapping[int, Subject]
    work: Path
    say: Say
    _known: dict[int, tuple[Identity | None, str, np.ndarray]] = field(default_factory=dict)

    def real(self) -> list[Record]:
        """Everybody's renders, and the base's picture."""

        def asked(place: int) -> list[Method]:
            noises = NOISES if place < VARIED else ()
            others = [BaseMethod(self.arena.pipeline, f"{BASE}{NOISE}{each}", each) for each in noises]
            return [BaseMethod(self.arena.pipeline), *others]

        return self._collect(BASE, {}, asked, self._renders)

    def of(self, contestant: Contestant) -> list[Record]:
        """A contestant's portraits, and those of other strengths and noise of the first people."""

        def asked(place: int) -> list[Method]:
            strengths = STRENGTHS if place < CURVED else ()
            noises = NOISES if place < VARIED else ()
            name, rival = contestant.name, contestant.rival
            others = [share for share in rival.guidances if share != rival.identity_guidance]
            return [
                contestant,
                *(contestant.at(f"{name}{AT}{each}", strength=each) for each in strengths),
                *(contestant.at(f"{name}{NOISE}{each}", seed_offset=each) for each in noises),
                *(contestant.at(guided(name, each), identity_guidance=each) for each in others if strengths),
            ]

        own = {"contestant": self.arena.weights[contestant.name]}
        return self._collect(contestant.name, own, asked, lambda _: {})

    def _collect(
        self,
        name: str,
        own: Mapping[str, str],
        asked: Callable[[int], Sequence[Method]],
        renders: Callable[[Trial], dict[str, np.ndarray]],
    ) -> list[Record]:
        others = {"preset": PRESET, "parts": self.arena.parts, "judges": self.arena.judges, **own}
        settings = self.protocol.hash_with(**others, device=self.arena.device, versions=versions())
        ledger = Ledger(self.work / folder_name(name), settings)
        done = ledger.read(self.protocol.trials)
        start, made = time.perf_counter(), 0
        for place, trial in enumerate(self.protocol.trials):
            if trial.person in done:
                continue
            task = self._task(trial)
            pictures = renders(trial)
            failures, seconds = portray_all(asked(place), task, pictures)
            for picture, image in pictures.items():
                ledger.save_image(trial.person, picture, image)
            seen = {picture: self.arena.observer.look(image) for picture, image in pictures.items()}
            request = exact_request(
                self.subjects[trial.person], trial, self.arena.analyser.predictor, self.protocol.size
            )
            record = Record(trial, request, task.driven, seen, failures, seconds)
            ledger.append(record)
            done[trial.person] = record
            made += 1
            pace = (time.perf_counter() - start) / made
            self.say(f"{name}: person {len(done)}/{self.protocol.people}, {pace:.1f} s each")
        return [done[trial.person] for trial in self.protocol.trials]

    def _renders(self, trial: Trial) -> dict[str, np.ndarray]:
        shots = self.subjects[trial.person].shots
        pictures = {"reference": shots[REFERENCE].image, OWN: shots[TARGET].image, "target": self._driver(trial).image}
        return {**pictures, **{f"gallery_{i}": shots[shot].image for i, shot in enumerate(trial.gallery)}}

    def _driver(self, trial: Trial) -> Any:
        assert trial.driver is not None
        return self.subjects[trial.driver].shots[trial.target]

    def _task(self, trial: Trial) -> Task:
        protocol, driver = self.protocol, self._driver(trial)
        reference = self.subjects[trial.person].shots[REFERENCE].image
        if trial.person not in self._known:
            self._known[trial.person] = self._enrolled(reference, trial)
        identity, problem, requested = self._known[trial.person]
        asked = protocol.steps, protocol.guidance_scale, protocol.size
        return Task(trial, reference, identity, problem, *asked, requested, driver.landmarks)

    def _enrolled(self, reference: np.ndarray, trial: Trial) -> tuple[Identity | None, str, np.ndarray]:
        """The person as all contestants know them, or why not; and their face, as read, in the asked pose."""
        try:
            identity = self.arena.analyser.enroll(reference)
        except InputError as error:
            return None, str(error), self._driver(trial).landmarks
        size = self.protocol.size, self.protocol.size
        return identity, "", self.arena.analyser.predictor.predict(identity.shape, trial.pose, size)


def merged(records: Sequence[Record]) -> Record:
    """One person's record from those of all folders; the first has the renders."""
    first = records[0]
    seen = {name: each for record in records for name, each in record.seen.items()}
    failures = {name: each for record in records for name, each in record.failures.items()}
    seconds = {name: each for record in records for name, each in record.seconds.items()}
    return Record(first.trial, first.requested, first.labels, seen, failures, seconds)


def method_of(picture: str) -> str:
    """Whose picture of that name it is: a contestant's column, or ``base`` for renders."""
    known = ("reference", OWN, "target")
    if picture in known or picture.startswith("gallery_"):
        return BASE
    return picture.split(AT)[0].split(NOISE)[0].split(GUIDED)[0]


def guided(name: str, share: float) -> str:
    """Name of a method's picture with another share of the guidance on the face than its own."""
    return f"{name}{GUIDED}{share}"


def folder_name(method: str) -> str:
    """A method's folder below the work folder."""
    return "".join(letter if letter.isalnum() or letter == "~" else "-" for letter in method)
