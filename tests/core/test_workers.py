"""Workers: devices in turn, jobs as they are wanted, and an end at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from facesnap.core.errors import UsageError
from facesnap.core.workers import Backend, LostWorkerError, run


@dataclass(frozen=True)
class Echo:
    """Says where it works; the job "die" ends its process, "sleep" takes long. ``broken``: it can't be started."""

    broken: bool = False

    def start(self, device: str) -> Callable[[str], tuple[str, str, int, int]]:
        if self.broken:
            raise UsageError("no such model")

        def work(job: str) -> tuple[str, str, int, int]:
            if job == "die":
                os._exit(9)
            if job == "sleep":
                time.sleep(600)
            time.sleep(0.3)
            return job, device, torch.get_num_threads(), os.getpid()

        return work


def test_this_process_takes_jobs_one_by_one_and_keeps_its_threads() -> None:
    taken = []

    def jobs() -> Iterator[str]:
        for job in "abc":
            taken.append(job)
            yield job

    before = torch.get_num_threads()
    done = run(Echo(), jobs(), Backend(devices=("cpu:0",), threads=3))
    assert next(done) == ("a", "cpu:0", 3, os.getpid())
    assert taken == ["a"]
    done.close()
    assert torch.get_num_threads() == before
    (alone,) = run(Echo(), ["a"], Backend(threads=None))
    assert alone[2] == before
    assert list(run(Echo(broken=True), [], Backend())) == []  # nothing to do needs nothing loaded


@pytest.mark.slow
def test_processes_have_a_device_each_and_end_at_once(tmp_path: Path) -> None:
    backend = Backend(2, devices=("first", "second"), threads=2)
    taken = []

    def jobs() -> Iterator[str]:
        for job in (*"abcdefgh", "sleep", "sleep", *"ijkl"):
            taken.append(job)
            yield job

    done = run(Echo(), jobs(), backend)
    results = [next(done) for _ in range(8)]
    assert sorted(job for job, *_ in results) == list("abcdefgh")
    assert {device for _, device, _, _ in results} == {"first", "second"}
    assert {threads for _, _, threads, _ in results} == {2}
    pids = {pid for *_, pid in results}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert len(taken) <= 10
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        done.throw(KeyboardInterrupt())
    assert time.monotonic() - began < 60  # not the 600 seconds of a job
    assert "i" not in taken
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "jobs", "error"), [(Echo(), ["a", "die"], LostWorkerError), (Echo(broken=True), ["a", "b"], UsageError)]
)
def test_what_ends_a_worker_is_told(task: Echo, jobs: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        list(run(task, jobs, Backend(2)))
