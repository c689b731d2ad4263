"""Many portraits in one go: what is there already is kept, what fails fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from facesnap.core.errors import UsageError, one_line
from facesnap.core.folders import only_run
from facesnap.core.images import write_atomic
from facesnap.core.workers import Backend, LostWorkerError, run, session
from facesnap.pipelines.batch.jobs import Job, read_jobs
from facesnap.pipelines.batch.plan import Asked, asked_for, found, print_of_bytes, together
from facesnap.pipelines.batch.results import Results
from facesnap.pipelines.batch.values import RESULTS
from facesnap.pipelines.batch.work import Batch, Order, Paint, Painted
from facesnap.pipelines.loading.choice import ModelChoice

LOCK: Final = ".lock"

#: Told what is being done, how many more are done, and of how many.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a batch: how many portraits were asked for, were ``kept`` from before, were made, and failed.

    ``results``: the file that says it of each.
    """

    results: Path
    asked: int
    kept: int
    made: int
    failed: int


def run_batch(
    jobs: str | Path | Sequence[Job],
    out: str | Path,
    model: ModelChoice | None = None,
    *,
    size: int = 4,
    backend: Backend | None = None,
    progress: Progress = lambda what, more, of: None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Make the portraits of jobs that are not in ``out`` yet, each in ``out/NAME/INDEX.png``.

    Args:
        jobs: a file of them, or what :func:`read_jobs` made of it.
        out: the folder; a later call goes on there. Pictures that are asked for otherwise by now are made anew.
        model: what makes them; None is mini.
        size: portraits that are made at once, at most; halved where memory runs out.
        backend: who works; None is this process.
        progress: see :data:`Progress`.
        say: told in a line what fails, and what goes on otherwise.

    Returns:
        How it went. That portraits failed is no error: their lines in ``out/results.jsonl`` say why.

    Raises:
        JobsError, InputError: the jobs can't be read.
        OutputError: ``out`` can't be written, holds other pictures in their places, or another run is at work in it;
            a worker was killed though it had one picture at a time.
        AdapterError, UsageError, MissingExtraError: the model, a device or Ray can't be had.
    """
    if size < 1:
        raise UsageError(f"size={size} must be 1 or more")
    model, backend = (model or ModelChoice()).absolute(), backend or Backend(threads=None)
    listed = read_jobs(jobs) if isinstance(jobs, str | Path) else jobs
    out = Path(out)
    with only_run(out, out / LOCK), session(backend):
        asked = asked_for(listed, model.stamp())
        results = Results(out, asked)
        _look(out, asked, results)
        kept = len(asked) - len(results.missing)
        try:
            _make(_Work(out, asked, results, model, size, backend, progress, say))
        finally:
            results.write()
    failed = results.failed
    return Outcome(out / RESULTS, len(asked), kept, len(asked) - kept - failed, failed)


def planned(jobs: Sequence[Job], out: str | Path, model: ModelChoice | None = None) -> tuple[int, int]:
    """How many portraits jobs ask for, and how many of them are there. Nothing is written.

    Raises:
        OutputError: other pictures are in their places. AdapterError: there is no such model.
    """
    asked = asked_for(jobs, (model or ModelChoice()).absolute().stamp())
    return len(asked), sum(found(Path(out), each) is not None for each in asked)


@dataclass
class _Work:
    """A batch on its way; the attributes are :func:`run_batch`'s."""

    out: Path
    asked: Sequence[Asked]
    results: Results
    model: ModelChoice
    size: int
    backend: Backend
    progress: Progress
    say: Callable[[str], None]

    def batches(self) -> Iterator[Batch]:
        """What is missing, a batch at a time; files are read when it is their turn."""
        waiting = together((self.asked[number] for number in self.results.missing), self.size, self.backend.workers)
        for some in waiting:
            wanted = {name: file for one in some for name, file in zip(one.prints, one.files, strict=True)}
            files = {name: _read(file, name) for name, file in wanted.items()}
            yield Batch(some[0].job.shared, tuple(map(_order, some)), files)


def _look(out: Path, asked: Sequence[Asked], results: Results) -> None:
    """Find what is there, and take away what killed runs left half written."""
    for folder in {(out / one.file).parent for one in asked} | {out}:
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
    for one in asked:
        if (told := found(out, one)) is not None:
            results.kept(one.number, told)
    results.write()


def _make(work: _Work) -> None:
    """Make all that is missing, in smaller batches where workers are killed for their memory."""
    total, told = len(work.results.missing), set[tuple[str, str]]()
    if total:
        work.progress("portraits", 0, total)
    while work.results.missing:
        try:
            with closing(run(Paint(work.model), work.batches(), work.backend, heavy=True)) as batches:
                try:
                    for painted in batches:
                        _keep(work, painted, told)
                        work.progress("portraits", len(painted), total)
                        work.results.write(now=False)
                except KeyboardInterrupt as stop:  # wherever it came: workers end at once
                    batches.throw(stop)
        except LostWorkerError:
            if work.size == 1:
                raise
            work.size //= 2
            work.say(f"a worker was killed (out of memory?): going on with batches of {work.size}")


def _keep(work: _Work, painted: Sequence[Painted], told: set[tuple[str, str]]) -> None:
    """Write portraits; or tell why there is none, once for each job and reason."""
    for each in painted:
        one = work.asked[each.number]
        if each.png is not None:
            write_atomic(work.out / one.file, each.png)
        elif (why := (one.job.name, each.error or "")) not in told:
            told.add(why)
            work.say(f"{one.job.name}: {each.error}")
        work.results.became(each)


def _order(one: Asked) -> Order:
    who, driver = one.prints[: len(one.person.files)], one.prints[len(one.person.files) :]
    return Order(
        number=one.number,
        settings=one.settings,
        person=who,
        known=one.person.known,
        pose=driver[0] if isinstance(one.pose, Path) else one.pose,
        prompt=one.prompt,
        negative_prompt=one.job.negative_prompt,
        seed=one.seed,
    )


def _read(file: Path, expected: str) -> tuple[str, bytes | str]:
    """A file's name, and its content or what is wrong with it. ``expected``: its print when all was looked at."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return file.name, f"can't be read: {one_line(error)}"
    same = print_of_bytes(content) == expected
    return file.name, content if same else "was changed meanwhile: run again"
