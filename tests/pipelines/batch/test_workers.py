"""A batch on several workers: the same as on one, whoever they are, and however often they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pipelines.batch.conftest import assert_same, pictures

from facesnap.core.workers import Backend
from facesnap.pipelines.batch import run_batch

Write = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def jobs(write: Write, me: str) -> Path:
    return write(
        {"identity": me, "pose": [None, {"yaw": 20}], "seed": 5, "count": 2},
        {"name": "weak", "identity": me, "identity_scale": 0.3, "prompt": ["a hat", "words " * 200]},
    )


@pytest.mark.slow
def test_two_processes_make_the_same_as_one(jobs: Path, tmp_path: Path) -> None:
    alone = run_batch(jobs, tmp_path / "one", size=2)
    both = run_batch(jobs, tmp_path / "two", size=2, backend=Backend(2))
    assert (alone.made, alone.failed) == (both.made, both.failed) == (5, 1)
    assert_same(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_two_workers_on_ray_make_the_same_as_one(jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by itself 15: on a busy machine they would hardly get a turn
    alone = run_batch(jobs, tmp_path / "one", size=2)
    both = run_batch(jobs, tmp_path / "two", size=2, backend=Backend(2, ray=True))
    assert (alone.made, alone.failed) == (both.made, both.failed) == (5, 1)
    assert_same(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_killed_then_interrupted_then_finished(write: Write, me: str, folder: Path, tmp_path: Path) -> None:
    jobs = write({"name": "me", "identity": me, "seed": 1, "count": 16, "num_inference_steps": 40})
    out = tmp_path / "out"
    started = _start(jobs, out)
    kept = _until(started, out, 2)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    _ended(started.pid)
    kept |= _stamps(out)
    assert 2 <= len(kept) < 16
    started = _start(jobs, out)
    _until(started, out, len(kept) + 2)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to everyone
    said = started.communicate()[1]
    assert started.returncode == 130, said
    assert said == "what is made is kept: the same command goes on from there\nerror: interrupted\n"
    _ended(started.pid)
    then = _stamps(out)
    assert len(kept) < len(then) < 16
    outcome = run_batch(jobs, out, size=1)
    assert (outcome.kept, outcome.made) == (len(then), 16 - len(then))
    assert {name: stamp for name, stamp in _stamps(out).items() if name in then} == {**then, **kept}
    run_batch(jobs, tmp_path / "at once", size=4)
    assert_same(out, tmp_path / "at once")


def _start(jobs: Path, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "facesnap.cli.app", "batch", str(jobs), "--out", str(out), "--carry", "none"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [*words, "--workers", "2", "--batch", "1", "--device", "cpu"],
        **{"env": environment, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL},
        start_new_session=True,
        text=True,
    )


def _stamps(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("me/*.png")}


def _until(started: subprocess.Popen[str], out: Path, count: int) -> dict[str, int]:
    for _ in range(6000):
        if len(there := _stamps(out)) >= count:
            return there
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.02)
    raise AssertionError(f"{len(pictures(out))} pictures after two minutes")


def _ended(group: int) -> None:
    """Workers end by themselves."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("workers outlive their run")
