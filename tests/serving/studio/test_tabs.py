"""What a tab made comes back with it, stays away from others, and goes when it is gone."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.serving.apps import wait_until
from tests.serving.scripted import Gate, person

from facesnap.core.errors import OutputError
from facesnap.serving.requests import GenerationRequest, JobState
from facesnap.serving.service import Service
from facesnap.serving.studio.visit import Visit

pytest.importorskip("gradio")
from facesnap.serving.studio import shelf
from facesnap.serving.studio.tabs import Tabs

KEY, OTHER = "0" * 31 + "1", "0" * 31 + "2"


def session(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def arrived(tabs: Tabs, key: str = KEY, page: str = "page") -> Visit:
    visit = Visit()
    tabs.arrive(session(page), visit, key)
    return visit


def enrolled(service: Service, visit: Visit) -> str:
    visit.identity = service.store.add_identity(person(), "", True, visit.client, "default").id
    return visit.identity


def painted(service: Service, visit: Visit, number: int = 1, **settings: Any) -> str:
    request = GenerationRequest(identity=visit.identity, prompt="red hat", num_images=number, **settings)
    job = service.submit(request, visit.client).id
    wait_until(lambda: service.job(job).state is JobState.done)
    return job


def test_a_key_makes_a_client_that_does_not_tell_it(service: Service) -> None:
    tabs = Tabs(service)
    first, again, other = (arrived(tabs, key) for key in (KEY, KEY, OTHER))
    assert first.client == again.client != other.client
    assert KEY not in first.client


@pytest.mark.parametrize("key", ["", "x", KEY + "0", KEY.upper().replace("0", "G"), None])
def test_what_is_no_key_gets_one(service: Service, key: str | None) -> None:
    tabs = Tabs(service)
    first, second = arrived(tabs, key), arrived(tabs, key)  # type: ignore[arg-type]
    assert first.client != second.client
    assert re.fullmatch("[0-9a-f]{32}", first.key)


def test_pictures_come_back_to_their_tab_alone(service: Service) -> None:
    tabs = Tabs(service)
    visit = arrived(tabs)
    enrolled(service, visit)
    jobs = [painted(service, visit, 2, seed=5), painted(service, visit, seed=9)]
    again, other = arrived(tabs), arrived(tabs, OTHER)
    newest = shelf.restore(service, again)
    assert newest is not None
    assert newest.id == jobs[1]
    assert [(shot.job, shot.seed) for shot in again.shots] == [(jobs[1], 9), (jobs[0], 5), (jobs[0], 6)]
    assert all(Path(shot.path).read_bytes().startswith(b"\x89PNG") for shot in again.shots)
    assert shelf.restore(service, other) is None
    assert other.shots == []


def test_deleting_takes_the_job_and_its_files(service: Service) -> None:
    visit = arrived(Tabs(service))
    enrolled(service, visit)
    jobs = [painted(service, visit), painted(service, visit, 2)]
    shelf.restore(service, visit)
    files = [Path(shot.path) for shot in visit.shots]
    visit.selected = 1
    assert shelf.delete(service, visit) == 2
    assert [job.id for job in service.jobs()] == jobs[:1]
    assert [shot.job for shot in visit.shots] == jobs[:1]
    assert [file.exists() for file in files] == [False, False, True]
    shelf.clear(service, visit)
    assert service.jobs() == visit.shots == []
    assert not files[2].exists()
    assert shelf.delete(service, visit) == 0


def test_what_cannot_be_deleted_stays_in_sight(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = arrived(Tabs(service))
    enrolled(service, visit)
    painted(service, visit)
    shelf.restore(service, visit)

    def full(job: str) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(service, "delete_job", full)
    for away in (shelf.delete, shelf.clear):
        with pytest.raises(OutputError):
            away(service, visit)
        assert len(visit.shots) == 1


def test_with_its_last_page_a_visit_goes(service: Service, tmp_path: Path) -> None:
    tabs = Tabs(service)
    first = arrived(tabs, page="first")
    enrolled(service, first)
    painted(service, first)
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"photo")
    first.photos = (str(photo),)
    second, other = arrived(tabs, page="second"), arrived(tabs, OTHER, "other")
    enrolled(service, other)
    tabs.end(first)
    assert not photo.exists()
    assert len(service.identities()) == 2  # the same tab's second page still needs it
    assert len(service.jobs()) == 1
    tabs.end(second)
    assert [each.id for each in service.identities()] == [other.identity]
    assert service.jobs() == []
    tabs.end(Visit())  # a page that never said its key
    assert len(service.identities()) == 1


@pytest.mark.parametrize("back", [True, False])
def test_a_closed_tab_cancels_its_jobs_unless_it_comes_back(service: Service, back: bool) -> None:
    painter: Any = service.painter
    painter.before = gate = Gate()
    tabs = Tabs(service, patience=0.2)
    visit = arrived(tabs)
    request = GenerationRequest(identity=enrolled(service, visit), prompt="red hat")
    jobs = [service.submit(request, visit.client).id for _ in range(2)]
    assert gate.reached.wait(20)
    tabs.leave(session("page"))
    if back:
        arrived(tabs, page="again")
        tabs.leave(session("a page that nobody opened"))
        time.sleep(0.5)
    else:
        wait_until(lambda: service.job(jobs[1]).state is JobState.cancelled)
    gate.open.set()
    final = JobState.done if back else JobState.cancelled
    wait_until(lambda: all(service.job(job).state is final for job in jobs))
