from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.scripted import Gate, Scripted, finished, person, png, request

from facesnap.core.errors import BusyError, MissingError, PromptError
from facesnap.serving import engine as module
from facesnap.serving.config import Limits, ServeConfig
from facesnap.serving.engine import Engine
from facesnap.serving.queue import FairQueue
from facesnap.serving.requests import JobState, JobStatus
from facesnap.serving.store import Store

Start = Callable[..., Engine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Engines on one folder; all of them are stopped at the end."""
    made: list[Engine] = []

    def begin(painter: Any, clock: Callable[[], float] | None = None, **limits: Any) -> Engine:
        config = ServeConfig(data=tmp_path / "data", limits=Limits(**{"batch": 1, **limits}))
        store = Store(config.data, config.expiry)
        queue = FairQueue(config.limits.queue, config.limits.queue_per_client)
        engine = Engine(painter, store, queue, config, **({"clock": clock} if clock else {}))
        engine.start()
        made.append(engine)
        return engine

    yield begin
    for engine in made:
        if isinstance(getattr(engine.painter, "before", None), Gate):
            engine.painter.before.open.set()
        engine.stop(5)
        engine.store.close()


def someone(engine: Engine) -> str:
    return engine.store.add_identity(person(), "", True, "a", "default").id


def submit(engine: Engine, who: str, client: str = "a", seeds: list[int] | None = None, **values: Any) -> str:
    return engine.submit(request(who, **values), seeds or [1], client).id


def test_a_job_is_painted_kept_and_told_of(start: Start) -> None:
    engine = start(Scripted(steps=3))
    ended: list[JobStatus] = []
    engine.listeners.append(ended.append)
    key = submit(engine, someone(engine), seeds=[5, 6])
    done = finished(engine, key)
    assert (done.state, done.pictures, done.step, done.steps) == (JobState.done, 2, 3, 3)
    assert [engine.store.picture(key, i) for i in (0, 1)] == [png(5), png(6)]
    assert done.reports == [{"seed": 5}, {"seed": 6}]
    assert engine.wait(key, 0, 0) == [{"seq": 6, "state": "done", "step": 3, "steps": 3, "preview": None}]
    assert [(job.id, job.state) for job in ended] == [(key, JobState.done)]
    assert engine.running == 0


def test_progress_and_previews_are_seen_while_it_runs(start: Start) -> None:
    steps = threading.Semaphore(0)

    def before(ids: list[str], step: int) -> None:
        assert steps.acquire(timeout=20)

    engine = start(Scripted(steps=2, before=before))
    key = submit(engine, someone(engine))
    steps.release()
    events: list[dict[str, Any]] = []
    while not events or events[-1]["step"] < 1:
        events += engine.wait(key, len(events), 20)
    assert [event["state"] for event in events] == ["queued", "running", "running"]
    assert events[-1]["preview"] == "anBlZw=="  # "jpeg" in base64
    status = engine.status(key)
    assert (status.state, status.step, status.steps) == (JobState.running, 1, 2)
    steps.release()
    assert finished(engine, key).state == JobState.done


def test_a_running_job_is_cancelled_before_its_next_step(start: Start) -> None:
    gate = Gate()
    painter = Scripted(steps=50, before=gate)
    engine = start(painter)
    key = submit(engine, someone(engine))
    assert gate.reached.wait(20)
    assert engine.cancel(key).state == JobState.cancelled  # at once, whatever the painter is doing
    gate.open.set()
    after = submit(engine, engine.store.identities()[0].id)
    assert finished(engine, after).state == JobState.done
    # The step that was under way ended, no other one of the first job began.
    assert painter.steps_done == [0, *range(50)]
    assert engine.status(key).state == JobState.cancelled
    with pytest.raises(MissingError):
        engine.store.picture(key, 0)


def test_a_queued_job_is_cancelled_without_being_painted(start: Start) -> None:
    gate = Gate()
    painter = Scripted(before=gate)
    engine = start(painter)
    who = someone(engine)
    first, second, third = (submit(engine, who) for _ in range(3))
    assert gate.reached.wait(20)
    assert [engine.status(job).position for job in (first, second, third)] == [None, 0, 1]
    engine.cancel(second)
    assert engine.status(third).position == 0
    gate.open.set()
    assert finished(engine, third).state == JobState.done
    assert painter.batches == [[first], [third]]
    assert engine.cancel(third).state == JobState.done  # what is finished stays as it is
    with pytest.raises(MissingError):
        engine.cancel("a" * 16)


def test_one_of_a_batch_is_cancelled_and_the_others_go_on(start: Start) -> None:
    first, batch = Gate(), Gate()
    painter = Scripted(before=lambda ids, step: (first if len(ids) == 1 else batch)(ids, step))
    engine = start(painter, batch=4)
    who = someone(engine)
    submit(engine, who, width=64)
    assert first.reached.wait(20)
    jobs = [submit(engine, who, client) for client in "abc"]
    first.open.set()
    assert batch.reached.wait(20)
    assert engine.running == 3
    engine.cancel(jobs[1])
    batch.open.set()
    states = [finished(engine, job).state for job in jobs]
    assert states == [JobState.done, JobState.cancelled, JobState.done]
    assert painter.batches[1:] == [jobs]
    with pytest.raises(MissingError):
        engine.store.picture(jobs[1], 0)


def test_clients_take_turns(start: Start) -> None:
    """One client has sent ten jobs when two others come with two each: they wait for one job each, not for ten."""
    gate = Gate()
    painter = Scripted(steps=1, before=gate)
    engine = start(painter)
    who = someone(engine)
    greedy = [submit(engine, who, "greedy") for _ in range(10)]
    assert gate.reached.wait(20)
    ada, bob = ([submit(engine, who, client) for _ in range(2)] for client in ("ada", "bob"))
    assert [engine.status(job).position for job in (*ada, *bob)] == [1, 4, 2, 5]
    gate.open.set()
    for job in (*greedy, *ada, *bob):
        assert finished(engine, job).state == JobState.done
    order = [batch[0] for batch in painter.batches]
    assert order[:7] == [greedy[0], greedy[1], ada[0], bob[0], greedy[2], ada[1], bob[1]]
    assert order[7:] == greedy[3:]


def test_compatible_jobs_are_painted_at_once(start: Start) -> None:
    gate = Gate()
    painter = Scripted(steps=1, before=gate)
    engine = start(painter, batch=3)
    who = someone(engine)
    first = submit(engine, who, "z")
    assert gate.reached.wait(20)
    a, b, c, d = (submit(engine, who, client, width=64) for client in "abcd")
    other = submit(engine, who, "e", width=128)
    gate.open.set()
    for job in (first, a, b, c, d, other):
        finished(engine, job)
    assert painter.batches == [[first], [a, b, c], [d], [other]]


class Hungry(Scripted):
    """Runs out of memory with more than one order, and always with seeds from 100 on."""

    def __init__(self, error: Exception) -> None:
        super().__init__(steps=1)
        self.error = error

    def paint(self, orders: Any, watch: Any) -> Any:
        if len(orders) > 1 or orders[0].seeds[0] >= 100:
            self.batches.append([order.id for order in orders])
            raise self.error
        return super().paint(orders, watch)


def out_of_memory_errors() -> list[Exception]:
    import torch

    return [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    ]


@pytest.mark.parametrize("error", out_of_memory_errors(), ids=lambda error: type(error).__name__)
def test_a_job_without_memory_fails_alone(start: Start, error: Exception) -> None:
    painter = Hungry(error)
    engine = start(painter, batch=4)
    who = someone(engine)
    engine.queue.limit = 100
    jobs = [submit(engine, who, client, [seed]) for client, seed in zip("abcd", (1, 100, 2, 3), strict=True)]
    states = [finished(engine, job) for job in jobs]
    assert [state.state for state in states] == [JobState.done, JobState.failed, JobState.done, JobState.done]
    assert states[1].error == "not enough memory: ask for fewer or smaller pictures"
    assert finished(engine, submit(engine, who)).state == JobState.done


class Refusing(Scripted):
    def __init__(self, error: Exception) -> None:
        super().__init__(steps=1)
        self.error = error

    def paint(self, orders: Any, watch: Any) -> Any:
        if any(order.request.prompt == "bad" for order in orders):
            raise self.error
        return super().paint(orders, watch)


def test_errors_are_told_in_a_line_and_insides_stay_inside(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    painter = Refusing(PromptError("the prompt is longer than the text encoder's 77 tokens"))
    engine = start(painter, batch=4)
    who = someone(engine)
    jobs = [submit(engine, who, client, prompt=prompt) for client, prompt in (("a", "bad"), ("b", "good"))]
    bad, good = (finished(engine, job) for job in jobs)
    assert (bad.state, bad.error) == (JobState.failed, "the prompt is longer than the text encoder's 77 tokens")
    assert good.state == JobState.done
    painter.error = ZeroDivisionError("/secret/path.py")
    with caplog.at_level(logging.ERROR):
        failed = finished(engine, submit(engine, who, prompt="bad"))
    assert failed.error == module.INTERNAL
    assert "/secret/path.py" in caplog.text
    assert finished(engine, submit(engine, who)).state == JobState.done


def test_a_full_disk_fails_the_job_and_not_the_engine(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from facesnap.core.errors import OutputError

    engine = start(Scripted(steps=1))
    who, finish = someone(engine), engine.store.finish

    def full(*args: Any) -> bool:
        raise OutputError("can't write /home/me/secret: no space left on device")

    monkeypatch.setattr(engine.store, "finish", full)
    failed = finished(engine, submit(engine, who))
    assert (failed.state, failed.error) == (JobState.failed, module.NOT_KEPT)
    monkeypatch.setattr(engine.store, "finish", finish)
    assert finished(engine, submit(engine, who)).state == JobState.done


def test_a_job_that_takes_too_long_is_stopped_between_steps(start: Start) -> None:
    now = [0.0]

    def before(ids: list[str], step: int) -> None:
        now[0] += 10.0

    painter = Scripted(steps=10, before=before)
    engine = start(painter, clock=lambda: now[0], job_seconds=35)
    failed = finished(engine, submit(engine, someone(engine)))
    assert failed.state == JobState.failed
    assert failed.error is not None
    assert "35 seconds" in failed.error
    assert painter.steps_done == [0, 1, 2, 3]


def test_a_full_queue_says_so_and_keeps_nothing_of_the_job(start: Start) -> None:
    gate = Gate()
    engine = start(Scripted(before=gate), queue=2, queue_per_client=1)
    who = someone(engine)
    submit(engine, who)
    assert gate.reached.wait(20)
    submit(engine, who)
    with pytest.raises(BusyError, match="your jobs"):
        submit(engine, who)
    submit(engine, who, "b")
    with pytest.raises(BusyError, match="full"):
        submit(engine, who, "c")
    assert len(engine.store.jobs()) == 3
    gate.open.set()


def test_stopping_lets_the_running_job_finish_and_the_others_wait(start: Start) -> None:
    gate = Gate()
    engine = start(Scripted(before=gate))
    who = someone(engine)
    running, queued = submit(engine, who), submit(engine, who)
    assert gate.reached.wait(20)
    stopping = threading.Thread(target=engine.stop, args=(20,))
    stopping.start()
    while not engine.stopping:
        pass
    with pytest.raises(BusyError, match="stopping"):
        submit(engine, who)
    gate.open.set()
    stopping.join(20)
    assert engine.store.job(running).state == JobState.done
    assert engine.store.job(queued).state == JobState.queued


def test_it_can_be_stopped_while_it_starts(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(Scripted())
    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (engine.stop(0), begin(thread)))
    engine.start()
    monkeypatch.undo()
    engine.stop(5)
    assert not any(thread.is_alive() for thread in engine._threads)


def test_what_does_not_finish_in_time_is_interrupted_and_the_queue_goes_on_later(start: Start) -> None:
    gate = Gate()
    engine = start(Scripted(steps=50, before=gate))
    who = someone(engine)
    running = submit(engine, who)
    assert gate.reached.wait(20)
    queued = [submit(engine, who, client) for client in "ab"]
    opener = threading.Timer(0.3, gate.open.set)
    opener.start()
    engine.stop(0)
    interrupted = engine.store.job(running)
    assert (interrupted.state, interrupted.error) == (JobState.interrupted, module.STOPPED)
    engine.store.close()
    later = start(Scripted(steps=1))
    assert [finished(later, job).state for job in queued] == [JobState.done, JobState.done]
    assert later.status(running).state == JobState.interrupted
    assert later.wait(running, 3, 0) == [{"seq": 4, "state": "interrupted", "step": 0, "steps": 0, "preview": None}]


def test_a_database_that_fails_for_a_while_stops_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from facesnap.core.errors import OutputError

    engine = start(Scripted(steps=1))
    who = someone(engine)

    def fail(*args: Any) -> bool:
        raise OutputError("the database can't be written: disk full")

    with monkeypatch.context() as broken:
        broken.setattr(engine.store, "start", fail)
        broken.setattr(engine.store, "end", fail)
        key = submit(engine, who)
        events = engine.wait(key, 1, 20)
        assert [event["state"] for event in events] == ["failed"]
    assert finished(engine, submit(engine, who)).state == JobState.done


def test_a_crash_marks_what_ran_and_paints_what_waited(start: Start) -> None:
    gate = Gate()
    engine = start(Scripted(before=gate))
    who = someone(engine)
    running, queued = submit(engine, who), submit(engine, who)
    assert gate.reached.wait(20)
    engine.store.close()  # all that a crash leaves is the folder
    later = start(Scripted(steps=1))
    assert finished(later, queued).state == JobState.done
    assert later.status(running).state == JobState.interrupted
    gate.open.set()


def test_forgetting_a_person_cancels_their_jobs(start: Start) -> None:
    gate = Gate()
    engine = start(Scripted(steps=50, before=gate))
    who = someone(engine)
    running, queued = submit(engine, who), submit(engine, who)
    assert gate.reached.wait(20)
    engine.forget_identity(who)
    gate.open.set()
    assert [finished(engine, job).state for job in (running, queued)] == [JobState.cancelled] * 2
    gone = submit(engine, who)
    assert finished(engine, gone).error == "no such identity: it may have expired or been deleted"


def test_deleting_a_job_wakes_who_watches_it(start: Start) -> None:
    gate = Gate()
    engine = start(Scripted(before=gate))
    key = submit(engine, someone(engine))
    assert gate.reached.wait(20)
    seen: list[Any] = []

    def watch() -> None:
        seq = 0
        try:
            while events := engine.wait(key, seq, 20):
                seq = events[-1]["seq"]
        except MissingError as error:
            seen.append(error)

    watching = threading.Thread(target=watch)
    watching.start()
    engine.delete(key)
    watching.join(20)
    assert len(seen) == 1
    assert engine.events.since(key, 0) is None
    engine.events.add(key, JobState.running)  # the painter's last word comes late
    gate.open.set()
    finished(engine, submit(engine, engine.store.identities()[0].id))
    assert engine.events.since(key, 0) is None


def test_old_results_go_when_a_job_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(Scripted(steps=1))
    now = [1000.0]
    monkeypatch.setattr(engine.store, "_clock", lambda: now[0])
    who = someone(engine)
    old = submit(engine, who)
    finished(engine, old)
    now[0] += 24 * 3600 + 1
    finished(engine, submit(engine, who))
    for _ in range(400):
        if engine.events.since(old, 0) is None:
            break
        time.sleep(0.01)
    with pytest.raises(MissingError):
        engine.wait(old, 0, 0)


def test_memory_stays_flat_over_many_jobs(start: Start) -> None:
    engine = start(Scripted(steps=3), queue_per_client=64)
    who = someone(engine)
    for _ in range(5):
        for job in [submit(engine, who) for _ in range(60)]:
            finished(engine, job)
    # One last event each of the newest jobs; nothing that runs or waits.
    assert len(engine.events) <= 256
    assert engine.running == len(engine.queue) == 0


def test_a_listener_that_fails_does_not_cost_a_job(start: Start) -> None:
    engine = start(Scripted(steps=1))

    def fail(job: JobStatus) -> None:
        raise RuntimeError

    engine.listeners.append(fail)
    who = someone(engine)
    assert [finished(engine, submit(engine, who)).state for _ in range(2)] == [JobState.done] * 2
