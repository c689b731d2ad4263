"""`facesnap batch` on the tiny model: options, exit codes, what is said where."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.pipelines.batch.conftest import _mini, folder, pictures, results, write  # noqa: F401  (fixtures)
from tests.pipelines.conftest import mini  # noqa: F401  (the same)

from facesnap.cli import app
from facesnap.core.images import load_image
from facesnap.core.workers import Backend
from facesnap.pipelines import batch
from facesnap.pipelines.loading.choice import ModelChoice

Write = Callable[..., Path]


def run(*arguments: object) -> int:
    return app.run(["batch", *map(str, arguments), "--device", "cpu"])


def test_all_is_made_and_told(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    jobs, out = write({"name": "a", "reference": "a.png", "prompt": ["x", "y"]}, {"reference": "b.png"}), tmp_path / "o"
    assert run(jobs, "--out", out, "--seed", 4, "--count", 2, "--steps", 3, "--map-scale", 0.5, "--json") == 0
    said = capsys.readouterr()
    told = {"asked": 6, "kept": 0, "made": 6, "failed": 0}
    assert json.loads(said.out) == {"output": str(out), "results": str(out / "results.jsonl"), **told}
    assert said.err == ""
    assert [line["seed"] for line in results(out)] == [4, 5] * 3
    settings = json.loads(pictures(out)["a/0003.png"].info["facesnap"])
    assert (settings["prompt"], settings["num_inference_steps"], settings["map_scale"]) == ("y", 3, 0.5)
    sheet = tmp_path / "sheet.png"
    assert run(jobs, "--out", out, "--seed", 4, "--count", 2, "--steps", 3, "--map-scale", 0.5, "--sheet", sheet) == 0
    assert capsys.readouterr().out.startswith("0 portraits made, 6 kept from before")
    assert load_image(sheet).shape == (16 + 2 * 176, 4 * 160, 3)


def test_some_that_fail_are_exit_3(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    jobs = write({"reference": "black.png", "count": 2}, {"reference": "a.png"})
    assert run(jobs, "--out", tmp_path / "out") == 3
    said = capsys.readouterr()
    assert said.out.startswith("1 portraits made, 0 kept")
    first, last = said.err.splitlines()
    assert first.startswith("1: black.png: no face")
    assert last.startswith("error: 2 of 3 portraits could not be made")
    assert list(pictures(tmp_path / "out")) == ["2/0000.png"]


def test_a_file_with_faults_is_exit_2_and_loads_nothing(
    write: Write,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ModelChoice, "load", lambda *_: pytest.fail("the model was loaded"))
    jobs = write({"reference": "a.png"}, *[{"reference": "a.png", "sed": 1}] * 12)
    assert run(jobs, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == f'error: {jobs}:2: unknown key "sed": did you mean seed?'
    assert lines[-1] == "error: and 2 more such faults"
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    jobs, out = write({"reference": "a.png", "count": 3}), tmp_path / "out"
    assert run(jobs, "--out", out, "--dry-run") == 0
    assert capsys.readouterr().out == "1 jobs, 3 portraits, 0 of them are there\n"
    assert not out.exists()


def test_the_example_of_the_docs_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).resolve().parents[2]
    script = (root / "docs" / "BATCH.md").read_text(encoding="utf-8").split("```bash\n")[1].split("```")[0]
    lines, command = script.split("<<'END'\n")[1].split("\nEND\n")
    (tmp_path / "examples").symlink_to(root / "examples")
    (tmp_path / "jobs.jsonl").write_text(lines)
    monkeypatch.chdir(tmp_path)
    assert app.run([*shlex.split(command)[1:], "--dry-run"]) == 0
    assert capsys.readouterr().out == "2 jobs, 6 portraits, 0 of them are there\n"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--small-faces"], 2, "--small-faces is for single pictures"),
        (["--device", "cuda:0,abacus"], 2, "unknown device 'abacus'"),
        (["--device", "cuda:0,cuda:1", "--workers", "1"], 2, "1 workers for 2 devices"),
        (["--device", "cuda:0,cuda:1", "--ray-address", "auto"], 2, "Ray gives each worker a GPU of its own"),
        (["--num-gpus", "1"], 2, "--num-gpus is for Ray"),
        (["--identity-window", "1,0"], 2, "must lie between 0 and 1, its start before its end"),
        (["--carry", "hat"], 2, 'carry=["hat"]'),
        (["--base", "./nowhere"], 2, "no base model at ./nowhere"),
        (["--scheduler", "Euler"], 2, "unknown scheduler Euler"),
        (["--sheet", "x.txt"], 2, "--sheet x.txt"),
        (["--out", "jobs.jsonl"], 4, "can't write to jobs.jsonl"),
    ],
)
def test_mistakes_are_one_line(
    write: Write,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"reference": "a.png", **({} if "--carry" not in options else {"carry": None})})
    assert app.run(["batch", "jobs.jsonl", "--out", "out", *options]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("options", "backend"),
    [
        ([], Backend(1, devices=("cpu",), threads=None)),
        (["--workers", "2"], Backend(2, devices=("cpu",), threads=3)),
        (["--workers", "9"], Backend(9, devices=("cpu",), threads=1)),
        (["--threads", "5"], Backend(1, devices=("cpu",), threads=5)),
        (["--device", "cuda:0,cuda:1"], Backend(2, devices=("cuda:0", "cuda:1"), threads=3)),
        (["--device", "cuda:0,cuda:1", "--workers", "4"], Backend(4, devices=("cuda:0", "cuda:1"), threads=1)),
        (["--ray-address", "local", "--workers", "2"], Backend(2, True, "", ("cpu",), 3)),
        (["--ray-address", "a:1", "--num-gpus", "0.5"], Backend(1, True, "a:1", ("cpu",), 6, 0.5)),
    ],
)
def test_who_works(
    write: Write,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    backend: Backend,
) -> None:
    asked: list[Any] = []

    def run_batch(*given: Any, **named: Any) -> Any:
        asked.append(named["backend"])
        return batch.Outcome(tmp_path / "results.jsonl", 1, 0, 1, 0)

    monkeypatch.setattr(batch, "run_batch", run_batch)
    monkeypatch.setattr("facesnap.core.machine.cores", lambda: 6)
    jobs = write({"reference": "a.png"})
    assert app.run(["batch", str(jobs), "--out", str(tmp_path / "out"), "--device", "cpu", *options]) == 0
    assert asked == [backend]
