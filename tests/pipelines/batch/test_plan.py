"""Which portraits a job asks for, in which order, which hash, and which of them go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facesnap.core.pose import Pose
from facesnap.pipelines.batch.jobs import Job, Shared
from facesnap.pipelines.batch.plan import asked_for, together
from facesnap.pipelines.batch.values import Person
from facesnap.pipelines.loading.choice import ModelChoice

MODEL = {"base": "abc"}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "b.jpg").write_bytes(b"b")
    people = tuple(Person((tmp_path / name,)) for name in ("a.jpg", "b.jpg"))
    return Job(1, "me", people, ("p", "q"), (None, Pose(yaw=9)), (3, 4))


def test_people_come_first_and_seeds_change_first(job: Job) -> None:
    asked = asked_for([replace(job, name="other", seeds=(1,)), job], MODEL)
    assert len(asked) == 8 + 16
    assert [each.number for each in asked] == list(range(24))
    own = asked[8:]
    assert [each.at for each in own[:5]] == [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 1, 1), (0, 1, 0, 0)]
    assert own[-1].at == (1, 1, 1, 1)
    last = own[-1]
    assert (last.person, last.prompt, last.pose, last.seed) == (job.people[1], "q", Pose(yaw=9), 4)
    assert (own[0].file, last.file) == ("me/0000.png", "me/0015.png")
    assert len({each.settings for each in own}) == 16


def test_the_hash_is_of_all_that_is_asked_and_of_nothing_else(job: Job, tmp_path: Path) -> None:
    one = replace(job, people=job.people[:1], prompts=("p",), poses=(tmp_path / "b.jpg",), seeds=(3,))

    def settings(job: Job, model: dict[str, str] = MODEL) -> str:
        (only,) = asked_for([job], model)
        return only.settings

    before = settings(one)
    assert settings(replace(one, name="you", line=9)) == before
    others = [
        replace(one, prompts=("q",)),
        replace(one, negative_prompt="x"),
        replace(one, seeds=(4,)),
        replace(one, poses=(None,)),
        replace(one, people=job.people[1:]),
        replace(one, people=(replace(one.people[0], known=True),)),
        *(
            replace(one, shared=Shared(**changed))
            for changed in ({"width": 64}, {"carry": ()}, {"guidance_scale": 2.0})
        ),
    ]
    assert len({before, *map(settings, others)}) == 1 + len(others)
    assert settings(one, {"base": "another"}) != before
    for name in ("a.jpg", "b.jpg"):  # the person's photo, and the driver's
        known = settings(one)
        (tmp_path / name).write_bytes(b"changed, and longer")
        assert settings(one) != known
    (tmp_path / "copy.jpg").write_bytes(b"changed, and longer")
    assert settings(replace(one, people=(Person((tmp_path / "copy.jpg",)),))) == settings(one)  # wherever it lies


def test_what_differs_in_size_or_knobs_is_made_apart(job: Job) -> None:
    large = replace(job, name="large", shared=Shared(width=512), seeds=(1,))
    asked = asked_for([job, large, replace(job, name="third", seeds=(1,))], MODEL)
    batches = together(asked, 5, 1)
    assert [len(some) for some in batches] == [5, 5, 5, 5, 4, 5, 3]
    assert all(len({each.job.shared for each in some}) == 1 for some in batches)
    assert sorted(each.number for some in batches for each in some) == list(range(32))
    assert [each.number for each in batches[0]] == [0, 1, 2, 3, 4]


def test_nobody_idles_where_there_is_little_to_do(job: Job) -> None:
    asked = asked_for([job], MODEL)[:6]
    assert [len(some) for some in together(asked, 8, 2)] == [3, 3]
    assert [len(some) for some in together(asked, 8, 20)] == [1] * 6


def test_the_stamp_of_a_model_is_its_weights(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    plain = ModelChoice()
    assert ModelChoice(base=str(tiny_mini / "base")).stamp() == plain.stamp()
    assert ModelChoice(scheduler="DDIMScheduler").stamp() != plain.stamp()
    (tmp_path / "style.safetensors").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    styled = ModelChoice(loras=(("style.safetensors", 0.5),)).absolute()
    assert styled.loras == ((str(tmp_path / "style.safetensors"), 0.5),)
    assert styled.base == "mini"
    first = styled.stamp()
    (tmp_path / "style.safetensors").write_bytes(b"22")
    assert styled.stamp() != first
    assert ModelChoice(base="owner/name").stamp()["base"] == "owner/name"
