from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.scripted import person, png, request

from facesnap.core.errors import InputError, MissingError, OutputError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.serving.config import Expiry
from facesnap.serving.requests import JobState
from facesnap.serving.store import PEOPLE, Store

HOUR = 3600.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    made = Store(tmp_path / "data", Expiry(result_hours=1, result_bytes=100_000, identity_hours=10), clock)
    yield made
    made.close()


def add(store: Store, name: str = "", consent: bool = True, seed: int = 0) -> str:
    return store.add_identity(person(seed, Pose(yaw=5)), name, consent, "me", "default").id


def job(store: Store, state: JobState = JobState.queued, identity: str = "a" * 16, **values: Any) -> str:
    made = store.add_job(request(identity, **values), [1, 2], "me").id
    if state is JobState.queued:
        return made
    if state is JobState.cancelled:
        assert store.end(made, state)
        return made
    assert store.start(made)
    if state is JobState.done:
        assert store.finish(made, [png(1), png(2)], [{"seed": 1}, {"seed": 2}])
    elif state is not JobState.running:
        assert store.end(made, state, "because")
    return made


def files(store: Store, folder: str) -> set[str]:
    return {path.name for path in (store.folder / folder).iterdir()}


# --- people ---


def test_a_person_is_kept_with_all_that_photos_told(store: Store, clock: Clock) -> None:
    key = add(store, "Zoë <b>", seed=3)
    again, given = store.identity(key), person(3)
    assert again.identity.fingerprint == given.identity.fingerprint
    assert again.pose == Pose(yaw=5)
    assert again.judge == "judge@0"
    np.testing.assert_array_equal(again.judged, given.judged)
    info = store.identity_info(key)
    assert info.model_dump() == {
        "id": key, "created": 1000.0, "photos": 2, "name": "Zoë <b>", "consent": True, "model": "default",
        "expires": 1000.0 + 10 * HOUR,
    }  # fmt: skip
    clock.now += 1
    other = add(store)
    assert [info.id for info in store.identities("me")] == [other, key]
    assert store.identities("you") == []
    assert len(store.identities()) == 2


def test_an_identity_file_leaves_as_it_came(store: Store, tmp_path: Path) -> None:
    key = add(store)
    (tmp_path / "me.identity.safetensors").write_bytes(store.identity_file(key))
    loaded = Identity.load(tmp_path / "me.identity.safetensors")
    assert loaded.fingerprint == store.identity(key).identity.fingerprint


def test_a_deleted_person_is_gone_for_good(store: Store) -> None:
    key, kept = add(store, "Ada-Lovelace-0815"), add(store, seed=1)
    store.identity(key)  # it is in memory, too
    done, queued, running = job(store, JobState.done, key), job(store, identity=key), job(store, JobState.running, key)
    others = job(store, identity=kept)
    assert set(store.delete_identity(key)) == {queued, running}
    for ask in (store.identity, store.identity_info, store.identity_file, store.delete_identity):
        with pytest.raises(MissingError, match="no such identity"):
            ask(key)
    assert files(store, "identities") == {f"{kept}.identity.safetensors"}
    assert store.job(queued).state == store.job(running).state == JobState.cancelled
    assert store.job(done).state == JobState.done
    assert store.picture(done, 0) == png(1)
    assert store.job(others).state == JobState.queued
    for file in store.folder.glob("service.db*"):
        assert b"Ada-Lovelace-0815" not in file.read_bytes()


def test_only_so_many_people_are_in_memory(store: Store) -> None:
    keys = [add(store, seed=i) for i in range(PEOPLE + 3)]
    for key in keys:
        store.identity(key)
    assert len(store._people) == PEOPLE


@pytest.mark.parametrize("key", ["../../../etc/passwd", "", "a" * 16, "a" * 15 + "/", "a" * 16 + "\n", ".." * 8, "%00"])
def test_no_other_name_becomes_a_path(store: Store, key: str) -> None:
    for ask in (store.identity, store.identity_file, store.delete_identity, store.job, store.delete_job):
        with pytest.raises(MissingError):
            ask(key)
    with pytest.raises(MissingError):
        store.picture(key, 0)
    assert not store.start(key)


# --- jobs ---


def test_a_job_lives_from_queue_to_pictures(store: Store, clock: Clock) -> None:
    key = job(store, prompt="a person, 日本", num_images=2)
    queued = store.job(key)
    assert (queued.state, queued.seeds, queued.expires) == (JobState.queued, [1, 2], None)
    assert queued.request.prompt == "a person, 日本"
    clock.now = 1001.0
    assert store.start(key)
    assert not store.start(key)
    store.progress(key, 2, 4)
    running = store.job(key)
    assert (running.state, running.started, running.step, running.steps) == (JobState.running, 1001.0, 2, 4)
    with pytest.raises(MissingError, match="no such picture"):
        store.picture(key, 0)
    clock.now = 1002.0
    assert store.finish(key, [png(1), png(2)], [{"seed": 1}, {"seed": 2}])
    done = store.job(key)
    assert (done.state, done.finished, done.pictures, done.step) == (JobState.done, 1002.0, 2, 4)
    assert done.reports == [{"seed": 1}, {"seed": 2}]
    assert done.expires == 1002.0 + HOUR
    assert [store.picture(key, i) for i in range(2)] == [png(1), png(2)]
    for index in (-1, 2):
        with pytest.raises(MissingError, match="no such picture"):
            store.picture(key, index)


@pytest.mark.parametrize("state", [JobState.cancelled, JobState.failed, JobState.interrupted, JobState.done])
def test_nothing_changes_what_has_ended(store: Store, state: JobState) -> None:
    key = job(store, state)
    before = store.job(key)
    assert not store.start(key)
    assert not store.end(key, JobState.failed, "late")
    assert not store.finish(key, [png(9)], [])
    store.progress(key, 3, 4)
    after = store.job(key)
    assert after == before
    assert files(store, "results") <= {key}
    if state is not JobState.done:
        assert files(store, "results") == set()


def test_a_done_job_survives_a_late_finish(store: Store) -> None:
    key = job(store, JobState.done)
    store.finish(key, [png(9)], [])
    assert store.picture(key, 0) == png(1)


def test_deleting_a_job_deletes_its_pictures(store: Store) -> None:
    key = job(store, JobState.done, prompt="a-very-private-prompt")
    store.delete_job(key)
    assert files(store, "results") == set()
    with pytest.raises(MissingError, match="no such job"):
        store.job(key)
    for file in store.folder.glob("service.db*"):
        assert b"a-very-private-prompt" not in file.read_bytes()


def test_jobs_are_listed_by_client_the_newest_first(store: Store) -> None:
    first, second = job(store), job(store)
    other = store.add_job(request(), [1], "you").id
    assert [each.id for each in store.jobs("me")] == [second, first]
    assert [each.id for each in store.jobs()] == [other, second, first]
    counts = store.counts()
    assert counts["jobs"]["queued"] == 3
    assert set(counts["jobs"]) == {state.value for state in JobState}


def test_a_full_disk_leaves_no_part_of_a_result(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from facesnap.serving import store as module

    key, real = job(store, JobState.running), module.write_atomic

    def write(path: Path, data: bytes) -> None:
        if path.name == "1.png":
            raise OutputError("no space left")
        real(path, data)

    monkeypatch.setattr(module, "write_atomic", write)
    with pytest.raises(OutputError):
        store.finish(key, [png(1), png(2)], [])
    assert files(store, "results") == set()
    assert store.job(key).state == JobState.running


# --- expiry, by a clock that doesn't wait ---


def test_what_is_too_old_goes(store: Store, clock: Clock) -> None:
    old = [job(store, state) for state in (JobState.done, JobState.failed, JobState.cancelled)]
    waiting = job(store)
    clock.now += HOUR / 2
    young = job(store, JobState.done)
    assert store.expire() == []
    assert set(store.expire(clock.now + HOUR / 2 + 1)) == set(old)
    assert {each.id for each in store.jobs()} == {waiting, young}
    assert files(store, "results") == {young}


def test_the_oldest_results_make_room(store: Store, clock: Clock) -> None:
    size = len(png(1)) + len(png(2))
    fit = 100_000 // size
    keys = []
    for _ in range(fit + 3):
        clock.now += 1
        keys.append(job(store, JobState.done))
    failed = job(store, JobState.failed)
    assert set(store.expire()) == set(keys[:3])
    assert files(store, "results") == set(keys[3:])
    assert store.job(failed).state == JobState.failed
    assert store.counts()["result_bytes"] == fit * size
    assert store.expire() == []


def test_people_expire_but_not_under_a_job_that_waits(store: Store, clock: Clock) -> None:
    idle, busy = add(store), add(store, seed=1)
    waiting = job(store, identity=busy)
    assert store.expire(clock.now + 10 * HOUR - 1) == []
    assert len(store.identities()) == 2
    store.expire(clock.now + 10 * HOUR + 1)
    assert [info.id for info in store.identities()] == [busy]
    assert files(store, "identities") == {f"{busy}.identity.safetensors"}
    store.end(waiting, JobState.cancelled)
    store.expire(clock.now + 10 * HOUR + 1)
    assert store.identities() == []
    with pytest.raises(MissingError):
        store.identity(idle)


# --- restarts ---


def test_recovery_puts_in_order_what_a_crash_left(store: Store) -> None:
    done, running = job(store, JobState.done), job(store, JobState.running)
    queued = [job(store) for _ in range(3)]
    kept = add(store)
    (store.folder / "results" / running).mkdir()
    (store.folder / "results" / running / "0.png").write_bytes(b"half")
    (store.folder / "identities" / f"{'z' * 16}.identity.safetensors").write_bytes(b"orphan")
    (store.folder / "identities" / ".0123.tmp").write_bytes(b"part")
    assert [each.id for each in store.recover()] == queued
    interrupted = store.job(running)
    assert interrupted.state == JobState.interrupted
    assert interrupted.error is not None
    assert "ask again" in interrupted.error
    assert store.picture(done, 1) == png(2)
    assert files(store, "results") == {done}
    assert files(store, "identities") == {f"{kept}.identity.safetensors"}


def test_kill_9_loses_no_finished_result(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from tests.serving.scripted import png, request
        from facesnap.serving.store import Store
        store = Store(Path({str(tmp_path / "data")!r}))
        for i in range(10_000):
            key = store.add_job(request(prompt=f"number {{i}}"), [i, i + 1], "me").id
            store.start(key)
            store.progress(key, 1, 2)
            store.finish(key, [png(i), png(i + 1)], [{{}}, {{}}])
            print(key, i, flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "src:."},
    )
    assert child.stdout is not None
    told = [child.stdout.readline().split() for _ in range(25)]
    child.send_signal(signal.SIGKILL)
    told += [line.split() for line in child.stdout.read().splitlines() if len(line.split()) == 2]
    child.wait(10)
    store = Store(tmp_path / "data")
    store.recover()
    for key, number in told:
        assert store.job(key).request.prompt == f"number {number}"
        assert [store.picture(key, i) for i in (0, 1)] == [png(int(number)), png(int(number) + 1)]
    states = {each.state for each in store.jobs()}
    assert states <= {JobState.done, JobState.interrupted, JobState.queued}
    assert files(store, "results") == {each.id for each in store.jobs() if each.state is JobState.done}
    store.close()


def test_two_servers_cannot_share_a_folder(store: Store) -> None:
    script = f"from pathlib import Path; from facesnap.serving.store import Store; Store(Path({str(store.folder)!r}))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "UsageError" in ran.stderr
    assert "another server" in ran.stderr
    with pytest.raises(UsageError, match="another server"):
        Store(store.folder)


def test_a_newer_or_damaged_database_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "new").close()
    connection = sqlite3.connect(tmp_path / "new" / "service.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputError, match="newer"):
        Store(tmp_path / "new")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "service.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="damaged"):
        Store(tmp_path / "bad")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        Store(tmp_path / "file")


def test_the_folder_is_this_users_alone(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o077 == 0


def test_threads_share_it(store: Store) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(10):
                key = job(store, JobState.done)
                assert store.picture(key, 0) == png(1)
                store.counts()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert store.counts()["jobs"]["done"] == 40


def test_a_folder_that_was_there_before_becomes_private(tmp_path: Path) -> None:
    for folder in (tmp_path / "pre", tmp_path / "pre" / "identities"):
        folder.mkdir(mode=0o755)
    Store(tmp_path / "pre").close()
    for name, mode in (("identities", 0o700), ("results", 0o700), ("service.db", 0o600)):
        assert (tmp_path / "pre" / name).stat().st_mode & 0o777 == mode, name
