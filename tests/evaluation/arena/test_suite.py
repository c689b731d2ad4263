"""The arena's run on made-up people: resumed, extended by one more contestant, merged, told in a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facesnap.core.errors import NoFaceError
from facesnap.evaluation.arena import report, suite
from facesnap.evaluation.arena.bench import Arena
from facesnap.evaluation.arena.suite import Outcome, folder_name, method_of, run_arena
from facesnap.evaluation.arena.summary import over_trainings
from facesnap.evaluation.metrics import Interval
from facesnap.evaluation.subjects import Shot, Subject
from facesnap.evaluation.summary import Row
from facesnap.training.config import AdapterConfig

PEOPLE, SIZE = 4, 16
HIDDEN = 0  # whose reference shows no face


def paint(person: int, shift: int = 0) -> np.ndarray:
    """A picture that tells who it shows, and how many pixels off."""
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 10 * person + 5, shift
    return picture


@dataclass
class Fake:
    """A contestant that shows somebody."""

    name: str
    shows: Callable[[int], int]
    shift: int = 0
    strength: float = 1.0
    seed_offset: int = 0
    identity_guidance: float | None = None
    made: list[tuple[str, float, int, int]] = field(default_factory=list)
    step: int = 200

    @property
    def settings(self) -> AdapterConfig:
        return AdapterConfig(steps=300, batch_size=2, learning_rate=1e-3)

    @property
    def rival(self) -> Any:
        return SimpleNamespace(parameters=list, guidances=(0.5, 1.0), identity_guidance=0.5)

    def at(
        self, name: str, strength: float = 1.0, seed_offset: int = 0, identity_guidance: float | None = None
    ) -> Fake:
        return replace(self, name=name, strength=strength, seed_offset=seed_offset, identity_guidance=identity_guidance)

    def portray(self, task: Any) -> np.ndarray:
        if task.identity is None and not self.name.startswith("base"):
            raise NoFaceError(task.problem)
        self.made.append((self.name, self.strength, self.seed_offset, task.trial.person))
        return paint(self.shows(task.trial.person), self.shift)


def people(fakes: ModuleType) -> list[Subject]:
    def subject(person: int) -> Subject:
        shot = Shot(paint(person), (f"a person <{person}>",), fakes.trial().pose, fakes.points(), fakes.SHOWN)
        return Subject(person, [shot] * 5, np.zeros(100))

    return [subject(person) for person in range(PEOPLE)]


@pytest.fixture
def arena(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Arena:
    def enroll(image: np.ndarray) -> Any:
        if image[0, 0, 0] == paint(HIDDEN)[0, 0, 0]:
            raise NoFaceError("no face found in the photograph")
        return SimpleNamespace(shape=np.zeros(32))

    def look(image: np.ndarray) -> Any:
        return fakes.seen(int(image[0, 0, 0]) // 10, float(image[0, 0, 1]))

    predictor = SimpleNamespace(
        predict=lambda shape, pose, size: fakes.points(), morphable=SimpleNamespace(shape_from_full=lambda full: full)
    )
    ours = Fake("facesnap", lambda person: person, 5)
    clip = SimpleNamespace(text_features=lambda prompts: np.stack([fakes.unit(0) for _ in prompts]))
    made = Arena(
        SimpleNamespace(enroll=enroll, predictor=predictor),  # type: ignore[arg-type]
        SimpleNamespace(look=look, clip_judge=clip, attribute_judge=None),  # type: ignore[arg-type]
        pipeline=None,
        contestants=[ours, Fake("instantid", lambda person: 1, 1)],  # type: ignore[list-item]
        weights={"facesnap": "facesnap-0@1", "instantid": "instantid-0@2"},
        judges={},
        parts={},
        device="cpu",
        size=SIZE,
    )
    monkeypatch.setattr(Arena, "fits", lambda self, prompt: True)
    monkeypatch.setattr(suite, "BaseMethod", lambda _, name="base", offset=0: Fake(name, lambda person: 0, 20))
    monkeypatch.setattr(suite, "load_subjects", lambda folder, split, count, *rest: people(fakes)[:count])
    monkeypatch.setattr(suite, "assemble", lambda run, methods, device: made)
    return made


def go(folder: Path, said: list[str] | None = None, **settings: Any) -> Outcome:
    say = (lambda _: None) if said is None else said.append
    return run_arena(folder, (), PEOPLE, 0, "cpu", work=folder / "work", say=say, **settings)


def test_everybody_is_portrayed_once_and_a_refused_reference_counts(arena: Arena, tmp_path: Path) -> None:
    outcome = go(tmp_path)
    assert [record.trial.person for record in outcome.records] == list(range(PEOPLE))
    assert HIDDEN in [r.trial.person for r in outcome.records if r.failures.get("facesnap")]
    seen = outcome.records[1].seen
    assert {"reference", "own", "target", "gallery_0", "base", "facesnap", "facesnap@0.5", "instantid#1"} <= set(seen)
    ours: Any = arena.contestants[0]
    asked = [(name, strength, offset) for name, strength, offset, person in ours.made if person == 1]
    whole = ("facesnap%1.0", 1.0, 0)
    strengths = [(f"facesnap@{each}", each, 0) for each in suite.STRENGTHS]
    assert asked == [("facesnap", 1.0, 0), *strengths, *((f"facesnap#{n}", 1.0, n) for n in suite.NOISES), whole]
    assert {"base#1", "base#2"} <= set(seen)
    pictures = list(outcome.pictures("facesnap"))
    assert [picture is None for picture in pictures] == [person == HIDDEN for person in range(PEOPLE)]
    assert pictures[1] is not None
    np.testing.assert_array_equal(pictures[1], paint(1, 5))


def test_a_second_run_makes_nothing_and_one_more_contestant_its_own_alone(arena: Arena, tmp_path: Path) -> None:
    go(tmp_path)
    ours: Any = arena.contestants[0]
    before = len(ours.made)
    said: list[str] = []
    go(tmp_path, said)
    assert said == []
    more = Fake("faceid", lambda person: person)
    changed = replace(
        arena, contestants=[*arena.contestants, more], weights={**arena.weights, "faceid": "faceid-0@3"}  # type: ignore[list-item]
    )  # fmt: skip
    suite.assemble = lambda run, methods, device: changed  # type: ignore[assignment] (undone by the fixture)
    go(tmp_path, said)
    assert len(ours.made) == before
    assert {line.split(":")[0] for line in said} == {"faceid"}
    trained_anew = replace(arena, weights={**arena.weights, "facesnap": "facesnap-0@9"})
    suite.assemble = lambda run, methods, device: trained_anew  # type: ignore[assignment]
    go(tmp_path)
    assert len(ours.made) == 2 * before


def test_the_report_says_first_where_rivals_win(arena: Arena, tmp_path: Path) -> None:
    outcome = go(tmp_path)
    path = report.write_report(outcome, tmp_path / "docs", "facesnap evaluate")
    text = path.read_text()
    first = text.index("Rivals are better than FaceSnap in")
    assert first < text.index("## FaceSnap and its rivals")
    told = text[first : text.index("## FaceSnap and its rivals")]
    assert "landmark NME" in told
    assert "instantid" in told
    assert "rank-1" not in told
    assert "200 of 300 steps of 2 pairs" in text
    numbers = json.loads((tmp_path / "docs" / report.NUMBERS).read_text())
    cells = {row["key"]: row["cells"] for row in numbers["rows"]}
    assert cells["rank1"]["facesnap"]["value"] == pytest.approx(3 / 4)
    assert cells["rank1"]["instantid"]["value"] == pytest.approx(1 / 4)
    assert set(cells["clip_t%1.0"]) == {"facesnap", "instantid"} == set(cells["facesim_other%0.5"])
    assert "## The face guided by half, and in full" in text
    assert cells["nme_found"]["facesnap"]["value"] == pytest.approx(0.1)
    assert cells["refused"]["facesnap"]["value"] == pytest.approx(1 / 4)
    assert [point["strength"] for point in numbers["curves"]["facesnap"]] == [0.25, 0.5, 0.75, 1.0]
    for name in (report.SHEET, "arena-strength.png", "arena-yaw.png"):
        assert (tmp_path / "docs" / name).stat().st_size > 1000
    html = (outcome.work / report.PAGE).read_text()
    assert "a person &lt;0&gt;" in html
    assert "<0>" not in html
    assert "no face found in the photograph" in html
    assert f"facesnap/images/{1:05d}_facesnap.png" in html


def test_whose_picture_a_name_is() -> None:
    assert [method_of(n) for n in ("reference", "own", "gallery_3", "target", "base")] == ["base"] * 5
    assert method_of("facesnap, f_id only@0.5") == "facesnap, f_id only"
    assert method_of("faceid#2") == "faceid"
    assert method_of("facesnap~1#2") == "facesnap~1"
    assert method_of("instantid%0.5") == "instantid"
    assert folder_name("facesnap, f_id only") == "facesnap--f-id-only"


def test_several_trainings_are_averaged_with_students_interval() -> None:
    def cell(value: float) -> Interval:
        return Interval(value, 0, 1, 100)

    cells = {"facesnap": cell(0.5), "facesnap~1": cell(0.6), "facesnap~2": cell(0.7), "facesnap, no L_id": cell(0.1)}
    found = over_trainings([Row("rank1", "", "%", "higher", cells)], "facesnap")["rank1"]
    half = 4.303 * 0.1 / 3**0.5
    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half))
    assert over_trainings([Row("rank1", "", "%", "higher", cells)], "facesnap, no L_id") == {}
