"""A batch in this process: what it makes, what it keeps, what fails alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipelines.batch.conftest import assert_same, pictures, results

from facesnap.core.errors import OutputError, UsageError
from facesnap.core.folders import only_run
from facesnap.core.images import save_png
from facesnap.core.pose import Pose
from facesnap.core.workers import Backend, LostWorkerError
from facesnap.pipelines.batch import looking, planned, read_jobs, run_batch
from facesnap.pipelines.batch import run as running
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.loading.choice import ModelChoice

Write = Callable[..., Path]


def stamps(out: Path) -> dict[str, int]:
    return {name: (out / name).stat().st_mtime_ns for name in pictures(out)}


def test_pictures_are_those_of_single_calls(folder: Path, write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs = write(
        {"name": "a", "reference": "a.png", "pose": [None, {"yaw": 20}, {"from": "b.png"}], "seed": 7, "count": 2},
        {"reference": ["a.png", "b.png"], "prompt": ["one", "two"], "negative_prompt": "blue", "identity_scale": 0.5},
    )
    outcome = run_batch(jobs, out, size=4)
    assert (outcome.asked, outcome.made, outcome.kept, outcome.failed) == (8, 8, 0, 0)
    snap = FaceSnap.from_pretrained("mini", device="cpu")
    a, both = snap.enroll(folder / "a.png"), snap.enroll([folder / "a.png", folder / "b.png"])
    singles = {
        "a/0001.png": snap("a face", a, carry=(), seed=8),
        "a/0002.png": snap("a face", a, Pose(yaw=20), carry=(), seed=7),
        "a/0004.png": snap("a face", a, folder / "b.png", carry=(), seed=7),
        "2/0001.png": snap("two", both, carry=(), seed=0, negative_prompt="blue", identity_scale=0.5),
    }
    made = pictures(out)
    assert list(made) == ["2/0000.png", "2/0001.png", *(f"a/{index:04d}.png" for index in range(6))]
    for name, single in singles.items():
        assert np.abs(np.asarray(made[name]).astype(int) - np.asarray(single.images[0])).max() <= 1
        (file,) = single.save(tmp_path / "single", name.replace("/", "-"))
        assert made[name].info["facesnap"] == Image.open(file).info["facesnap"]
    line = results(out)[3]
    assert {name: line[name] for name in ("job", "name", "index", "person", "prompt", "pose", "seed", "file")} == {
        **{"job": 1, "name": "a", "index": 3, "person": 0, "prompt": 0, "pose": 1, "seed": 8, "file": "a/0003.png"}
    }
    assert line["error"] is None
    assert line["seconds"] > 0
    assert line["report"]["seed"] == 8
    assert line["settings"] == json.loads(made["a/0003.png"].info["facesnap batch"])["settings"]


def test_batches_of_any_size_make_the_same(folder: Path, write: Write, tmp_path: Path) -> None:
    jobs = write({"reference": "a.png", "pose": [None, {"yaw": -15}], "seed": 1, "count": 2}, {"reference": "b.png"})
    for size in (1, 3):
        run_batch(jobs, tmp_path / f"by{size}", size=size)
    assert_same(tmp_path / "by1", tmp_path / "by3")
    run_batch(jobs, tmp_path / "again", size=3)
    for name in pictures(tmp_path / "again"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "by3" / name).read_bytes()


def test_a_second_run_loads_nothing(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, out = write({"reference": "a.png", "count": 3}), tmp_path / "out"
    run_batch(jobs, out)
    before, lines = stamps(out), results(out)
    monkeypatch.setattr(ModelChoice, "load", lambda *_: pytest.fail("the model was loaded"))
    assert planned(read_jobs(jobs), out) == (3, 3)
    outcome = run_batch(jobs, out)
    assert (outcome.kept, outcome.made) == (3, 0)
    assert stamps(out) == before
    assert results(out) == lines  # seconds and reports, too
    (out / "results.jsonl").write_text('{"torn')
    run_batch(jobs, out)
    assert results(out) == [{**line, "seconds": None} for line in lines]


def test_only_what_is_missing_or_asked_otherwise_is_made(folder: Path, write: Write, tmp_path: Path) -> None:
    jobs = [{"name": "a", "reference": "a.png", "count": 4}, {"name": "b", "reference": "b.png", "count": 2}]
    out = tmp_path / "out"
    run_batch(write(*jobs), out)
    before = stamps(out)
    (out / "a" / "0001.png").unlink()
    whole = {name: (out / name).read_bytes() for name in before if name != "a/0001.png"}
    (out / "b" / "0000.png").write_bytes(whole["b/0000.png"][:1000])
    (out / "a" / "0002.png").write_bytes(whole["a/0002.png"][:-30])
    wrong = bytearray(whole["a/0003.png"])
    wrong[-13] ^= 1  # of the checksum before the 12 bytes of the end mark
    (out / "a" / "0003.png").write_bytes(wrong)
    (out / "a" / ".0123.tmp").write_bytes(b"half")
    outcome = run_batch(write(*jobs), out)
    assert (outcome.made, outcome.kept) == (4, 2)
    after = stamps(out)
    assert {name for name in after if after[name] == before.get(name)} == {"a/0000.png", "b/0001.png"}
    assert planned(read_jobs(folder / "jobs.jsonl"), out) == (6, 6)
    assert not list(out.rglob("*.tmp"))
    jobs[1]["num_inference_steps"] = 3
    assert run_batch(write(*jobs), out).made == 2
    assert pictures(out)["b/0000.png"].info["facesnap"].count('"num_inference_steps": 3') == 1
    save_png(folder / "a.png", np.random.default_rng(9).integers(0, 256, (160, 160, 3), dtype=np.uint8))
    assert run_batch(write(*jobs), out).made == 4


def test_the_model_is_part_of_what_is_asked(write: Write, tmp_path: Path) -> None:
    jobs, out = write({"reference": "a.png"}), tmp_path / "out"
    run_batch(jobs, out)
    assert run_batch(jobs, out, ModelChoice(scheduler="DDIMScheduler")).made == 1
    assert '"scheduler": "DDIMScheduler"' in pictures(out)["1/0000.png"].info["facesnap"]


def test_what_fails_fails_alone(write: Write, tmp_path: Path) -> None:
    said: list[str] = []
    bad = {
        "text": ({"reference": "text.png", "count": 2}, "text.png is not a picture that can be read"),
        "black": ({"reference": ["a.png", "black.png"]}, "a.png, black.png: no face"),
        "driver": ({"reference": "a.png", "pose": {"from": "black.png"}}, "black.png: no face"),
        "long": ({"reference": "a.png", "prompt": "word " * 200}, "the prompt is longer than"),
        "wide": ({"reference": "a.png", "width": 65}, "width and height must be multiples of"),
        "file": ({"identity": "a.png"}, "a.png is damaged, or not an identity file"),
    }
    jobs = [{"name": name, **job} for name, (job, _) in bad.items()]
    jobs[2:2] = [{"name": "good", "reference": "a.png", "count": 3}]
    outcome = run_batch(write(*jobs), tmp_path / "out", size=8, say=said.append)
    assert (outcome.made, outcome.failed) == (3, 7)
    assert list(pictures(tmp_path / "out")) == [f"good/000{i}.png" for i in range(3)]
    lines = results(tmp_path / "out")
    for name, (_, why) in bad.items():
        assert all(why in line["error"] for line in lines if line["name"] == name), name
        assert all(line["file"] is None for line in lines if line["name"] == name)
        assert sum(line.startswith(f"{name}: ") and why in line for line in said) == 1
    assert len(said) == len(bad)
    assert run_batch(write(*jobs), tmp_path / "out").made == 0  # and each is tried again
    assert [line["error"] for line in results(tmp_path / "out")] == [line["error"] for line in lines]


def test_where_memory_runs_out_batches_get_smaller(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint, sizes = FaceSnap.many, []

    def many(snap: FaceSnap, portraits: Any, **settings: Any) -> Any:
        sizes.append(len(portraits))
        if len(portraits) > 2 or portraits[0].prompt == "huge":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return paint(snap, portraits, **settings)

    monkeypatch.setattr(FaceSnap, "many", many)
    jobs = write({"reference": "a.png", "count": 9}, {"reference": "a.png", "prompt": "huge"})
    outcome = run_batch(jobs, tmp_path / "o", size=5)
    assert (outcome.made, outcome.failed) == (9, 1)
    assert sizes == [5, 3, 2, 1, 2, 2, 2, 1]  # what was too much is not tried again
    assert results(tmp_path / "o")[-1]["error"] == "not enough memory for one picture of this size"


def test_people_and_drivers_are_looked_at_once(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled, driven = [], []
    enroll = FaceSnap.enroll
    monkeypatch.setattr(FaceSnap, "enroll", lambda *given: enrolled.append(len(given[1])) or enroll(*given))
    decode = looking.decode_image
    monkeypatch.setattr(looking, "decode_image", lambda content, name: driven.append(name) or decode(content, name))
    pose = {"from": "b.png"}
    run_batch(
        write({"reference": "a.png", "pose": pose, "count": 3}, {"reference": ["a.png", "b.png"], "pose": pose}),
        tmp_path / "out",
        size=2,
    )
    assert enrolled == [1, 2]
    assert driven == ["a.png", "b.png", "a.png", "b.png"]  # two people, and one driver


def test_a_photo_that_changes_meanwhile_is_told(folder: Path, write: Write, tmp_path: Path) -> None:
    def progress(what: str, more: int, of: int | None) -> None:
        if not more:
            save_png(folder / "a.png", np.full((160, 160, 3), 99, np.uint8))

    outcome = run_batch(write({"reference": "a.png"}, {"reference": "b.png"}), tmp_path / "out", progress=progress)
    assert (outcome.made, outcome.failed) == (1, 1)
    assert results(tmp_path / "out")[0]["error"] == "a.png was changed meanwhile: run again"


def test_the_bar_is_told_what_there_is_to_do(write: Write, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    jobs, out = write({"reference": "a.png", "count": 3}), tmp_path / "out"
    run_batch(jobs, out, size=2)
    (out / "1" / "0001.png").unlink()
    run_batch(write({"reference": "a.png", "count": 5}), out, size=2, progress=lambda *each: told.append(each))
    assert told == [("portraits", 0, 3), ("portraits", 2, 3), ("portraits", 1, 3)]


def test_strangers_pictures_stay(write: Write, tmp_path: Path) -> None:
    jobs, out = write({"reference": "a.png"}), tmp_path / "out"
    save_png(out / "1" / "0000.png", np.full((9, 9, 3), 50, np.uint8))
    before = stamps(out)
    with pytest.raises(OutputError, match=r"0000\.png is there, and no picture of a batch"):
        run_batch(jobs, out)
    assert stamps(out) == before


@pytest.mark.parametrize("what", ["text", "folder"])
def test_what_is_no_picture_stays_too(write: Write, tmp_path: Path, what: str) -> None:
    jobs, out = write({"reference": "a.png"}), tmp_path / "out"
    place = out / "1" / "0000.png"
    place.parent.mkdir(parents=True)
    _ = place.mkdir() if what == "folder" else place.write_text("notes")
    with pytest.raises(OutputError, match=r"0000\.png is .*: use another folder"):
        run_batch(jobs, out)
    assert place.is_dir() if what == "folder" else place.read_text() == "notes"


def test_one_run_at_a_time(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with only_run(out, out / running.LOCK), pytest.raises(OutputError, match="another run is at work"):
        run_batch(write({"reference": "a.png"}), out)


def test_a_batch_has_a_size(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size=0"):
        run_batch(write({"reference": "a.png"}), tmp_path / "out", size=0)


def test_where_workers_are_killed_batches_get_smaller(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    said: list[str] = []

    def run(task: Any, jobs: Any, backend: Backend, heavy: bool) -> Any:
        assert heavy
        painter = task.start("cpu")
        for job in jobs:
            sizes.append(len(job.orders))
            if len(job.orders) > most:
                raise LostWorkerError("a worker was killed")
            yield painter(job)

    monkeypatch.setattr(running, "run", run)
    most = 1
    assert run_batch(write({"reference": "a.png", "count": 5}), tmp_path / "out", size=4, say=said.append).made == 5
    assert sizes == [4, 2, 1, 1, 1, 1, 1]
    assert said[-1] == "a worker was killed (out of memory?): going on with batches of 1"
    most = 0
    with pytest.raises(LostWorkerError):
        run_batch(write({"reference": "b.png"}), tmp_path / "out", size=4)
