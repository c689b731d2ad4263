"""The whole run on painted pictures: what is kept, what is skipped, what a failure costs, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facesnap.core.errors import NoFaceError, UsageError
from facesnap.evaluation import run
from facesnap.evaluation.bench import Bench
from facesnap.evaluation.methods import BaseMethod, FaceSnapMethod, Task
from facesnap.evaluation.records import Seen
from facesnap.evaluation.subjects import Shot, Subject

SIZE, PEOPLE = 128, 4
HIDDEN = 2  # this person's reference shows no face


def paint(person: int) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), 10 * person + 10, dtype=np.uint8)


class FakeObserver:
    """Reads a person's number off the picture's colour; HIDDEN's face is not found anywhere."""

    def __init__(self, fakes: ModuleType) -> None:
        self.fakes = fakes
        self.face_judge = SimpleNamespace(signature="judge_face@111111111111", folder=Path("judge_face"))
        self.attribute_judge = None
        self.clip_judge = SimpleNamespace(
            signature="judge_clip@222222222222", folder=Path("judge_clip"), text_features=self.text_features
        )

    def text_features(self, prompts: list[str]) -> np.ndarray:
        return np.stack([self.fakes.unit(int(prompt.split()[-1])) for prompt in prompts])

    def look(self, image: np.ndarray) -> Seen:
        seen: Seen = self.fakes.seen(round(int(image[0, 0, 0]) / 10) - 1)
        return seen


class FakeMethod:
    def __init__(self, name: str, who: Callable[[Task], int]) -> None:
        self.name, self.who, self.made = name, who, 0

    def portray(self, task: Task) -> np.ndarray:
        if self.name == "facesnap" and task.identity is None:
            raise NoFaceError(task.problem)
        self.made += 1
        return paint(self.who(task))


@pytest.fixture
def bench(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Bench:
    def enroll(image: np.ndarray) -> Any:
        if image[0, 0, 0] == paint(HIDDEN)[0, 0, 0]:
            raise NoFaceError("no face found in the photograph")
        return SimpleNamespace(shape=np.zeros(32))

    bench = Bench(
        snap=SimpleNamespace(enroll=enroll),  # type: ignore[arg-type]
        predictor=SimpleNamespace(predict=lambda shape, pose, size: fakes.points()),  # type: ignore[arg-type]
        methods=(FakeMethod("facesnap", lambda task: task.trial.person), FakeMethod("base", lambda task: 0)),
        observer=FakeObserver(fakes),  # type: ignore[arg-type]
        encoders={},
        weights={"base": "base@333333333333"},
        device="cpu",
        size=SIZE,
        default_steps=7,
        default_guidance=2.5,
    )
    monkeypatch.setattr(run, "assemble", lambda device: bench)
    monkeypatch.setattr(Bench, "check_judges", lambda self: None)
    monkeypatch.setattr(Bench, "fits", lambda self, prompt: True)
    monkeypatch.setattr(run, "load_subjects", lambda folder, split, people, *rest: subjects(fakes)[:people])
    return bench


def subjects(fakes: ModuleType) -> list[Subject]:
    def shot(person: int) -> Shot:
        return Shot(paint(person), (f"person {person}",), fakes.trial().pose, fakes.points(), fakes.SHOWN)

    return [Subject(person, [shot(person) for _ in range(4)], np.zeros(100)) for person in range(PEOPLE)]


def go(folder: Path, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    options = {"people": PEOPLE, "command": "facesnap evaluate", "say": said.append, **settings}
    path = run.evaluate("mini", folder / "docs", work=folder / "work", **options)
    assert path == folder / "docs" / "RESULTS.md"
    return json.loads((folder / "docs" / "results.json").read_text()), said


def cell(results: dict[str, Any], key: str, column: str) -> float:
    return next(row for row in results["rows"] if row["key"] == key)["cells"][column]["value"]


def test_a_run_measures_everybody_and_a_refused_reference_counts(bench: Bench, tmp_path: Path) -> None:
    results, said = go(tmp_path)
    assert cell(results, "rank1", "facesnap") == pytest.approx(3 / 4)
    assert cell(results, "rank1", "base") == pytest.approx(1 / 4)
    assert cell(results, "refused", "facesnap") == pytest.approx(1 / 4)
    assert cell(results, "nme", "facesnap") == pytest.approx(1 / 4)  # three perfect, one miss at the cap
    assert results["facts"]["steps"] == 7
    assert results["facts"]["judge: likeness"] == "judge_face@111111111111"
    assert [trial["prompt"] for trial in results["protocol"]["trials"]][:2] == ["person 0", "person 1"]
    assert said[-1].startswith("person 4/4")
    pictures = {path.name for path in (tmp_path / "work" / "images").iterdir()}
    assert {"00001_facesnap.png", "00001_map.png", "00001_gallery_1.png", "00002_base.png"} <= pictures
    assert "00002_facesnap.png" not in pictures


def test_a_second_run_makes_nothing_and_says_the_same(bench: Bench, tmp_path: Path) -> None:
    first, _ = go(tmp_path)
    made = bench.methods[1].made  # type: ignore[attr-defined]
    second, said = go(tmp_path)
    assert bench.methods[1].made == made == PEOPLE  # type: ignore[attr-defined]
    assert said == ["4 of 4 people are there from an earlier run"]
    assert first["rows"] == second["rows"]


def test_more_people_continue_and_other_settings_start_anew(bench: Bench, tmp_path: Path) -> None:
    base: Any = bench.methods[1]
    go(tmp_path, people=2)
    go(tmp_path, people=4)
    assert base.made == 4
    go(tmp_path, steps=8)
    assert base.made == 8


def test_another_device_or_library_starts_anew(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base: Any = bench.methods[1]
    go(tmp_path)
    monkeypatch.setattr(Bench, "versions", "torch 99")
    go(tmp_path)
    assert base.made == 2 * PEOPLE
    monkeypatch.setattr(run, "machine", lambda device: device)  # asks CUDA for the card's name
    monkeypatch.setattr(run, "assemble", lambda device: replace(bench, device="cuda"))
    go(tmp_path)
    assert base.made == 3 * PEOPLE


def test_an_interrupted_run_keeps_what_it_has(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base: Any = bench.methods[1]
    look = bench.observer.look

    def stop_at_three(image: np.ndarray) -> Seen:
        if base.made == 3:
            raise KeyboardInterrupt
        return look(image)

    monkeypatch.setattr(bench.observer, "look", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    monkeypatch.setattr(bench.observer, "look", look)
    _, said = go(tmp_path)
    assert said[0].startswith("2 of 4")
    assert base.made == 3 + 2


def test_wrong_requests_are_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown suite"):
        run.evaluate("arena", tmp_path)
    with pytest.raises(UsageError, match="at least 2"):
        run.evaluate("mini", tmp_path, people=1)


def test_both_methods_are_asked_for_the_same(fakes: ModuleType) -> None:
    asked: list[dict[str, Any]] = []

    def call(*prompt: Any, **options: Any) -> Any:
        from PIL import Image

        asked.append({"prompt": prompt[0], **options})
        return SimpleNamespace(images=[Image.fromarray(paint(0))])

    call.adapter = SimpleNamespace(control_scale=1.0)  # type: ignore[attr-defined]
    points = fakes.points()
    task = Task(fakes.trial(5), paint(5), SimpleNamespace(), "", 7, 2.5, SIZE, points, points)  # type: ignore[arg-type]
    for method in (FaceSnapMethod(call), BaseMethod(call)):  # type: ignore[arg-type]
        assert method.portray(task).shape == (SIZE, SIZE, 3)
    shared = ("prompt", "num_inference_steps", "guidance_scale", "width", "height")
    assert [asked[0][name] for name in shared] == [asked[1][name] for name in shared]
    assert asked[0]["seed"] == asked[1]["generator"].initial_seed() == 12
    with pytest.raises(NoFaceError, match="nobody"):
        FaceSnapMethod(call).portray(replace(task, identity=None, problem="nobody"))  # type: ignore[arg-type]
