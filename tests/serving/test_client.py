"""The Python client against a service at a real socket, with a scripted painter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.serving import apps
from tests.serving.scripted import Gate, Scripted

from facesnap.core.errors import BusyError, FaceSnapError, ImageError, InputError, MissingError, UsageError
from facesnap.core.pose import Pose
from facesnap.serving import client as client_module
from facesnap.serving.client import Client
from facesnap.serving.requests import IdentityInfo, JobState, PoseRequest

LIMITS = {"requests_per_minute": 1000, "generations_per_minute": 1000}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = apps.config_of(tmp_path_factory.mktemp("data"), token=apps.TOKEN, limits=LIMITS)
    with apps.listening(config, Scripted()) as (url, _):
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, apps.TOKEN) as client:
        yield client


@pytest.fixture
def me(client: Client) -> IdentityInfo:
    return client.enroll(apps.photo_bytes(), consent=True, name="me")


def test_portraits_with_progress_kept_in_a_folder(client: Client, me: IdentityInfo, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    made = client.generate(
        me, "a person", pose=Pose(yaw=20), seed=3, num_images=2, progress=seen.append, output=tmp_path / "out"
    )
    assert [image.size for image in made] == [(64, 64)] * 2
    assert seen[-1]["state"] == "done"
    assert [event["step"] for event in seen] == sorted(event["step"] for event in seen)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    assert Image.open(tmp_path / "out" / "1.png").tobytes() == made[1].tobytes()


@pytest.mark.parametrize("pose", [Pose(yaw=9), PoseRequest(yaw=9), {"yaw": 9}])
def test_poses_in_every_form(client: Client, me: IdentityInfo, pose: Any) -> None:
    job = client.submit(me.id, "a person", pose=pose)
    assert job.request.pose is not None
    assert job.request.pose.pose() == Pose(yaw=9)
    assert client.preview(me, pose, width=96, height=64).size == (96, 64)


def test_people_photos_and_jobs(client: Client, me: IdentityInfo, tmp_path: Path) -> None:
    assert client.identity(me) == me
    (tmp_path / "me.identity.safetensors").write_bytes(client.identity_file(me))
    again = client.import_identity(tmp_path / "me.identity.safetensors", consent=True)
    client.forget(again)
    with pytest.raises(MissingError, match="no such identity"):
        client.identity(again)
    assert client.faces(apps.PHOTO)[0][:2] == (0, 0)
    assert client.pose_from(apps.photo_bytes()) == Pose(yaw=12)
    assert client.compare(apps.photo_bytes(), apps.photo_bytes())["likeness"] == 1
    job = client.submit(me, "a person")
    assert [event["state"] for event in client.events(job.id)][-1] == "done"
    assert client.status(job.id).state is JobState.done
    assert client.picture(job.id).startswith(b"\x89PNG")
    client.delete(job.id)
    with pytest.raises(MissingError):
        client.status(job.id)


def test_the_service_itself(client: Client) -> None:
    assert client.health()["status"] == "ready"
    assert client.models() == [client.model()]


def test_errors_are_those_of_local_calls(client: Client, me: IdentityInfo, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="consent"):
        client.enroll(apps.photo_bytes())
    with pytest.raises(UsageError, match="yaw=100"):
        client.submit(me, "a person", pose={"yaw": 100})
    with pytest.raises(ImageError, match="not a JPEG"):
        client.faces(b"nothing")
    with pytest.raises(InputError, match="can't read"):
        client.faces(tmp_path / "nobody.jpg")
    with pytest.raises(MissingError):
        client.submit("x" * 16, "a person")


def test_a_wrong_token_or_address(url: str) -> None:
    with Client(url, "wrong-token") as client, pytest.raises(FaceSnapError, match="show the token"):
        client.models()
    with Client("http://127.0.0.1:9", timeout=2) as client, pytest.raises(FaceSnapError, match="can't be reached"):
        client.models()


def test_busy_answers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", slept.append)
    busy = {"type": "urn:facesnap:error:BusyError", "title": "", "status": 429, "detail": "the queue is full"}
    answers = [httpx.Response(429, json=busy, headers={"Retry-After": "7"})] * 2 + [httpx.Response(200, json=[])]
    with Client("http://x", transport=httpx.MockTransport(lambda request: answers.pop(0))) as client:
        assert client.models() == []
    assert slept == [7, 7]
    never = httpx.MockTransport(lambda request: httpx.Response(429, json=busy))
    with Client("http://x", transport=never) as client, pytest.raises(BusyError, match="the queue is full"):
        client.models()


def test_another_server_s_errors_are_told_as_such() -> None:
    other = httpx.MockTransport(lambda request: httpx.Response(502, text="<html>"))
    with Client("http://x", transport=other) as client, pytest.raises(FaceSnapError, match="answered 502"):
        client.health()


def test_a_stream_that_breaks_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module.time, "sleep", lambda seconds: None)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID", ""))
        if len(asked) == 2:
            raise httpx.ReadError("gone")
        name, number = ("progress", 1) if len(asked) == 1 else ("end", 2)
        return httpx.Response(
            200, text=f'retry: 5\n\n: still here\n\nid: r-{number}\nevent: {name}\ndata: {{"step":1}}\n\n'
        )

    with Client("http://x", transport=httpx.MockTransport(answer)) as client:
        assert len(list(client.events("a" * 16))) == 2
    assert asked == ["", "r-1", "r-1"]


def test_who_stops_waiting_cancels(tmp_path: Path) -> None:
    gate = Gate()
    with apps.listening(apps.config_of(tmp_path), Scripted(steps=50, before=gate)) as (url, _), Client(url) as client:
        me = client.enroll(apps.photo_bytes(), consent=True)
        seen: list[str] = []

        def stop(event: dict[str, Any]) -> None:
            seen.append(event["state"])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.generate(me, "a person", progress=stop)
        gate.open.set()
        apps.wait_until(lambda: client.health()["running"] == 0)
        assert httpx.get(f"{url}/v1/metrics").text.count('facesnap_jobs{state="cancelled"} 1.0') == 1
