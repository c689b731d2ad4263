"""The REST API: every route with a scripted painter, errors as problems, event streams at a real socket."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.serving import apps
from tests.serving.scripted import Gate, Scripted

from facesnap.core.errors import AdapterError, OutputError
from facesnap.serving import problems
from facesnap.serving.api import create_app
from facesnap.serving.routes import stream
from facesnap.serving.server import Server
from facesnap.serving.service import Service

NOBODY = "x" * 16


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    limits = {"requests_per_minute": 10_000, "generations_per_minute": 10_000}
    with apps.served(apps.config_of(tmp_path, limits=limits), Scripted()) as client:
        yield client


def _asked(client: Any, identity: str, **settings: Any) -> dict[str, Any]:
    answer = client.post("/v1/generations", json={"identity": identity, "prompt": "a person", **settings})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def _done(client: Any, job: str) -> dict[str, Any]:
    apps.wait_until(lambda: client.get(f"/v1/generations/{job}").json()["state"] not in ("queued", "running"))
    return dict(client.get(f"/v1/generations/{job}").json())


def _problem(answer: httpx.Response, status: int, *words: str, kind: str | None = None) -> None:
    """The answer is a problem of RFC 9457 that says these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert kind is None or problem["type"] == problems.URN + kind
    for word in words:
        assert word in problem["detail"]


# --- people ---


def test_a_person_comes_and_goes(client: TestClient) -> None:
    files = [("photos", ("a.jpg", apps.photo_bytes())), ("photos", ("b.jpg", apps.photo_bytes()))]
    made = client.post("/v1/identities", files=files, data={"consent": "true", "name": "Eileen"})
    assert made.status_code == 201
    info = made.json()
    assert info["name"] == "Eileen"
    assert info["consent"] is True
    where = made.headers["location"]
    assert where == f"/v1/identities/{info['id']}"
    assert client.get(where).json() == info
    file = client.get(f"{where}/file")
    assert file.headers["content-disposition"].endswith(f'{info["id"]}.identity.safetensors"')
    again = client.post("/v1/identities", files={"file": file.content}, data={"consent": "true"})
    assert again.status_code == 201
    assert client.delete(where).status_code == 204
    _problem(client.get(where), 404, "no such identity", kind="MissingError")
    _problem(client.delete(where), 404)
    assert client.get(again.headers["location"]).status_code == 200


def test_nobody_is_enrolled_without_consent(client: TestClient) -> None:
    photo = {"photos": ("a.jpg", apps.photo_bytes())}
    _problem(client.post("/v1/identities", files=photo), 422, "consent", kind="UsageError")
    _problem(client.post("/v1/identities", files=photo, data={"consent": "false"}), 422, "consent")


@pytest.mark.parametrize(
    ("files", "data", "said"),
    [
        ([], {"consent": "true"}, "either photos, or one identity file"),
        ([("photos", b"x"), ("file", b"y")], {"consent": "true"}, "either photos, or one identity file"),
        ([("photos", b"x")] * 9, {"consent": "true"}, "9 are more than the 8"),
        ([("file", b"no tensors")], {"consent": "true"}, "the identity file is damaged"),
        ([("photos", b"x")], {"consent": "true", "face": "-1"}, "face: "),
        ([("photos", b"x")], {"consent": "true", "name": "n" * 81}, "name: "),
        ([("photos", b"x")], {"consent": "perhaps"}, "consent: "),
    ],
)
def test_wrong_forms_are_refused(client: TestClient, files: Any, data: dict[str, str], said: str) -> None:
    _problem(client.post("/v1/identities", files=files, data=data), 422, said)


def test_a_form_of_very_many_parts_is_refused(client: TestClient) -> None:
    _problem(client.post("/v1/identities", files=[("photos", b"x")] * 40), 400, "Too many files")
    _problem(client.post("/v1/identities", data={str(i): "x" for i in range(40)}, files={"a": b""}), 400, "Too many")


def test_content_is_told_by_its_bytes(client: TestClient) -> None:
    for route, field in (("identities", "photos"), ("faces", "photo"), ("poses", "photo"), ("comparisons", "first")):
        files = {field: ("me.jpg", b"GIF89a, it says", "image/jpeg"), "second": apps.photo_bytes()}
        answer = client.post(f"/v1/{route}", files=files, data={"consent": "true"})
        _problem(answer, 415, "not a JPEG, PNG or WebP", kind="ImageError")
    assert client.post("/v1/faces", files={"photo": ("x.exe", apps.photo_bytes(), "text/html")}).status_code == 200


def test_the_name_of_a_file_is_never_a_path(client: TestClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(apps.photo_bytes())
    answer = client.post("/v1/faces", files={"photo": (str(secret), b"")})
    _problem(answer, 422, "empty")
    answer = client.post("/v1/faces", data={"photo": str(secret)})
    _problem(answer, 422)
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("trick", ["..%2f..%2fserve.sqlite", "%2e%2e", "..", "a/../../b", "x" * 15 + ".", "%00" * 16])
def test_ids_are_no_paths(client: TestClient, trick: str) -> None:
    for route in (f"/v1/identities/{trick}", f"/v1/identities/{trick}/file", f"/v1/generations/{trick}/pictures/0"):
        assert client.get(route).status_code in (404, 405, 422)


def test_a_file_over_the_limit(tmp_path: Path) -> None:
    photo = apps.photo_bytes()
    config = apps.config_of(tmp_path, limits={"upload_bytes": len(photo) - 1})
    with apps.served(config, Scripted()) as client:
        _problem(client.post("/v1/faces", files={"photo": photo}), 413, f"at most {len(photo) - 1:,}")
        _problem(client.post("/v1/faces", files={"photo": bytes(len(photo) + 100_000)}), 413, "the request is larger")


# --- photos ---


def test_what_is_seen_in_photos(client: TestClient) -> None:
    photo = {"photo": apps.photo_bytes()}
    assert client.post("/v1/faces", files=photo).json() == {"faces": [[0, 0, 400, 400]]}
    pose = client.post("/v1/poses", files=photo).json()
    assert pose["yaw"] == 12
    assert "camera" not in pose
    same = {"first": apps.photo_bytes(), "second": apps.photo_bytes()}
    assert client.post("/v1/comparisons", files=same).json() == {"likeness": 1.0, "judge": "tiny"}


def test_landmarks_as_json_and_as_a_picture(client: TestClient) -> None:
    wanted = {"identity": apps.enrol(client), "pose": {"yaw": 20}, "width": 96, "height": 64}
    found = client.post("/v1/landmarks", json=wanted).json()
    assert (found["width"], found["height"]) == (96, 64)
    assert found["landmarks"] == [[20.0, 20.0]] * 72
    drawn = base64.b64decode(found["map"].removeprefix("data:image/png;base64,"))
    picture = client.post("/v1/landmarks", json=wanted, headers={"Accept": "image/png"})
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == drawn
    assert Image.open(io.BytesIO(drawn)).size == (96, 64)


# --- generations ---


def test_a_generation_from_asking_to_fetching(client: TestClient) -> None:
    identity = apps.enrol(client)
    answer = client.post(
        "/v1/generations", json={"identity": identity, "prompt": "a person", "seed": 5, "num_images": 2}
    )
    where = answer.headers["location"]
    job = answer.json()["id"]
    assert where == f"/v1/generations/{job}"
    status = _done(client, job)
    assert status["state"] == "done"
    assert status["seeds"] == [5, 6]
    assert status["pictures"] == 2
    assert status["step"] == status["steps"] == 4
    picture = client.get(f"{where}/pictures/1")
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size == (64, 64)
    _problem(client.get(f"{where}/pictures/2"), 404)
    assert client.delete(where).status_code == 204
    _problem(client.get(where), 404)
    _problem(client.get(f"{where}/pictures/1"), 404)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"num_images": 9}, "num_images"),
        ({"num_inference_steps": 101}, "use at most 100"),
        ({"width": 4096}, "width"),
        ({"width": 63}, "multiples of 8"),
        ({"pose": {"yaw": 200}}, "yaw=200 is out of range"),
        ({"pose": {"expression": {"grin": 1}}}, "unknown expression 'grin'"),
        ({"prompt": "x" * 2001}, "characters in prompt"),
        ({"colour": "red"}, "colour: "),
        ({"seed": -1}, "seed: "),
        ({"guidance_scale": "NaN"}, "guidance_scale: "),
        ({"identity": "../../etc/passwd"}, "identity: "),
    ],
)
def test_wrong_requests_are_refused_with_a_line(client: TestClient, settings: dict[str, Any], said: str) -> None:
    wanted = {"identity": apps.enrol(client), "prompt": "a person", **settings}
    _problem(client.post("/v1/generations", json=wanted), 422, said, kind="UsageError")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"a": Infinity}', b"[" * 50_000, b"1" * 5000]
)
def test_bodies_that_are_no_request(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/generations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 2000


def test_what_was_sent_is_not_sent_back(client: TestClient) -> None:
    answer = client.post("/v1/generations", json={"identity": NOBODY, "prompt": ["a private word"]})
    _problem(answer, 422, "prompt: ")
    assert "private" not in answer.text


def test_a_generation_of_nobody(client: TestClient) -> None:
    _problem(client.post("/v1/generations", json={"identity": NOBODY, "prompt": "a person"}), 404, "no such identity")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/pictures/0")):
        _problem(client.request(method, f"/v1/generations/{NOBODY}{path}"), 404, "no such job")


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    gate = Gate()
    config = apps.config_of(tmp_path, limits={"queue_per_client": 1, "batch": 1})
    with apps.served(config, Scripted(before=gate)) as client:
        identity = apps.enrol(client)
        _asked(client, identity)
        assert gate.reached.wait(10)
        waiting = _asked(client, identity)
        assert waiting["position"] == 0
        answer = client.post("/v1/generations", json={"identity": identity, "prompt": "a person"})
        _problem(answer, 429, "waiting", kind="BusyError")
        assert int(answer.headers["retry-after"]) >= 1
        gate.open.set()


def test_cancelling_stops_before_the_next_step(tmp_path: Path) -> None:
    gate = Gate()
    painter = Scripted(steps=50, before=gate)
    with apps.served(apps.config_of(tmp_path), painter) as client:
        job = _asked(client, apps.enrol(client))["id"]
        assert gate.reached.wait(10)
        assert client.post(f"/v1/generations/{job}/cancel").json()["state"] == "cancelled"
        gate.open.set()
        apps.wait_until(lambda: client.get("/v1/health").json()["running"] == 0)
        assert len(painter.steps_done) < 50
        _problem(client.get(f"/v1/generations/{job}/pictures/0"), 404)


# --- events ---


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in lines:
        if not line and "data" in event:
            yield {**event, **json.loads(event["data"])}
            event = {}
        elif line:
            name, _, value = line.partition(": ")
            event[name] = value


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[tuple[httpx.Client, Gate, Server]]:
    gate = Gate()
    config = apps.config_of(tmp_path)
    with apps.listening(config, Scripted(before=gate)) as (url, server), httpx.Client(base_url=url) as client:
        yield client, gate, server
        gate.open.set()


def test_events_arrive_while_it_is_painted_and_end_by_themselves(gated: Any) -> None:
    client, gate, _ = gated
    job = _asked(client, apps.enrol(client))["id"]
    with client.stream("GET", f"/v1/generations/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = _events(answer.iter_lines())
        seen = [next(events), next(events)]
        assert [event["state"] for event in seen] == ["queued", "running"]
        gate.open.set()
        seen += list(events)
    assert [event["event"] for event in seen] == ["progress"] * (len(seen) - 1) + ["end"]
    assert seen[-1]["state"] == "done"
    shown = [event for event in seen if event["preview"]]
    assert base64.b64decode(shown[-1]["preview"]) == b"jpeg"


def test_a_stream_that_broke_off_goes_on_where_it_was(gated: Any) -> None:
    client, gate, _ = gated
    job = _asked(client, apps.enrol(client))["id"]
    with client.stream("GET", f"/v1/generations/{job}/events") as answer:
        last = next(_events(answer.iter_lines()))["id"]
    gate.open.set()
    again = {"Last-Event-ID": last}
    with client.stream("GET", f"/v1/generations/{job}/events", headers=again) as answer:
        seen = list(_events(answer.iter_lines()))
    assert last not in [event["id"] for event in seen]
    assert seen[-1]["event"] == "end"
    over = client.get(f"/v1/generations/{job}/events", headers={"Last-Event-ID": seen[-1]["id"]})
    assert over.status_code == 204  # EventSource then stops asking


@pytest.mark.parametrize("last", ["other-run-7", "deadbeef-99999", "7", "", "-", "\u00b2", "9" * 70])
def test_ids_of_other_runs_count_as_none(client: TestClient, last: str) -> None:
    job = _asked(client, apps.enrol(client))["id"]
    _done(client, job)
    answer = client.get(f"/v1/generations/{job}/events", headers={"Last-Event-ID": last.encode()})
    assert "event: end" in answer.text


def test_an_id_beyond_all_events_doesn_t_wait_for_ever(client: TestClient) -> None:
    job = _asked(client, apps.enrol(client))["id"]
    _done(client, job)
    run = client.app.state.desk.run  # type: ignore[attr-defined]
    answer = client.get(f"/v1/generations/{job}/events", headers={"Last-Event-ID": f"{run}-99999"})
    assert answer.status_code == 204


def test_a_silent_stream_shows_that_it_lives(gated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TURN", 0.02)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    client, _, _ = gated
    job = _asked(client, apps.enrol(client))["id"]
    with client.stream("GET", f"/v1/generations/{job}/events") as answer:
        comments = [line for line in _first(answer.iter_lines(), ": still here", 2) if line.startswith(":")]
    assert len(comments) == 2


def _first(lines: Iterator[str], wanted: str, count: int) -> list[str]:
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        if seen.count(wanted) == count:
            break
    return seen


def test_a_job_that_is_deleted_ends_its_stream(gated: Any) -> None:
    client, _, _ = gated
    job = _asked(client, apps.enrol(client))["id"]
    with client.stream("GET", f"/v1/generations/{job}/events") as answer:
        events = _events(answer.iter_lines())
        assert next(events)["event"] == "progress"
        assert httpx.delete(f"{client.base_url}/v1/generations/{job}").status_code == 204
        assert list(events)[-1]["event"] == "end"


def test_stopping_ends_streams_and_what_runs(gated: Any) -> None:
    client, gate, server = gated
    job = _asked(client, apps.enrol(client))["id"]
    assert gate.reached.wait(10)
    with client.stream("GET", f"/v1/generations/{job}/events") as answer:
        events = _events(answer.iter_lines())
        assert next(events)["event"] == "progress"
        threading.Timer(0.2, server.stop).start()
        begun = time.monotonic()
        rest = list(events)
        assert time.monotonic() - begun < 4
    assert all(event["event"] == "progress" for event in rest)  # it isn't over: clients come again
    gate.open.set()


def test_there_is_an_end_to_the_number_of_streams(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _asked(client, apps.enrol(client))["id"]
    monkeypatch.setattr(client.app.state.desk.streams, "total_tokens", 0, raising=False)  # type: ignore[attr-defined]
    _problem(client.get(f"/v1/generations/{job}/events"), 429, "too many event streams")


def test_what_is_no_photo_waits_for_no_turn(tmp_path: Path) -> None:
    config = apps.config_of(tmp_path, limits={"request_seconds": 0.5, "upload_bytes": 100_000})
    with apps.served(config, Scripted()) as client:
        client.app.state.desk.photo_calls.total_tokens = 0  # type: ignore[attr-defined]
        for path, name in (("faces", "photo"), ("poses", "photo"), ("identities", "photos")):
            for data, status in ((b"no photo at all", 415), (b"", 422), (bytes(150_000), 413)):
                answer = client.post(f"/v1/{path}", files={name: ("a.jpg", data)}, data={"consent": "true"})
                assert answer.status_code == status, (path, status, answer.text)
        _problem(client.post("/v1/faces", files={"photo": apps.photo_bytes()}), 429, "too many photos")


# --- the service ---


class _Slow(Scripted):
    """A painter whose model takes its time, or can't be loaded."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.may_load, self.error = threading.Event(), error

    def model(self, name: str) -> Any:
        assert self.may_load.wait(20)
        if self.error is not None:
            raise self.error
        return super().model(name)


def test_requests_are_answered_while_models_load(tmp_path: Path) -> None:
    painter = _Slow()
    with apps.served(apps.config_of(tmp_path), painter, wait=False) as client:
        assert client.get("/v1/health").json()["status"] == "loading"
        assert client.get("/metrics").status_code == 200
        threading.Timer(0.2, painter.may_load.set).start()
        job = _asked(client, apps.enrol(client))["id"]  # waits for the model
        assert _done(client, job)["state"] == "done"
        assert client.get("/v1/health").json()["status"] == "ready"


def test_who_waited_long_enough_for_the_model_is_told_so(tmp_path: Path) -> None:
    painter = _Slow()
    with apps.served(apps.config_of(tmp_path, limits={"request_seconds": 0.2}), painter, wait=False) as client:
        for answer in (
            client.get("/v1/models"),
            client.post("/v1/generations", json={"identity": NOBODY, "prompt": "a person"}),
            client.post("/v1/faces", files={"photo": apps.photo_bytes()}),
        ):
            _problem(answer, 429, "still being loaded", kind="BusyError")
            assert answer.headers["retry-after"] == "10"
        painter.may_load.set()


def test_a_model_that_can_t_be_loaded_stops_the_server(tmp_path: Path) -> None:
    painter = _Slow(AdapterError("no weights at /srv/secret"))
    config = apps.config_of(tmp_path)
    app = create_app(Service(config, painter), config)
    server = Server(app, config)
    with TestClient(app, "http://127.0.0.1:7860") as client:
        painter.may_load.set()
        apps.wait_until(lambda: server.should_exit)
        assert client.get("/v1/health").json()["status"] == "failed"
        answer = client.get("/v1/models/default")
        _problem(answer, 500)
        assert "secret" not in answer.text
    assert app.state.desk.failure is painter.error


def test_stopping_waits_for_what_is_being_loaded(tmp_path: Path) -> None:
    painter = _Slow()
    with apps.served(apps.config_of(tmp_path), painter, wait=False):
        loading = [thread for thread in threading.enumerate() if thread.name == "facesnap-start"]
        threading.Timer(0.2, painter.may_load.set).start()
    assert loading
    assert not any(thread.is_alive() for thread in loading)


def test_what_is_not_loaded_is_listed_and_loaded_when_it_is_asked_for(
    tmp_path: Path, tiny_mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps.use_tiny(tiny_mini, monkeypatch)
    with apps.served(apps.config_of(tmp_path, models={"a/b": {"base": "mini"}})) as client:
        first, second = client.get("/v1/models").json()
        assert (first["name"], first["loaded"], first["width"]) == ("default", True, 32)
        assert (second["name"], second["loaded"], second["base"]) == ("a/b", False, "mini")
        assert {value for name, value in second.items() if name not in ("name", "loaded", "base")} == {None}
        told = client.get("/v1/models/a/b").json()
        assert (told["loaded"], told["width"]) == (True, 32)
        assert client.get("/v1/models").json() == [first, told]
        _problem(client.get("/v1/models/third"), 422, "no model is named 'third'")


@pytest.mark.parametrize("error", [OutputError("can't write /srv/x"), RuntimeError("in /srv/x"), KeyError("/srv/x")])
def test_faults_of_the_service_keep_their_words_to_the_log(
    error: Exception, client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(client.app.state.desk.service, "models", fail)  # type: ignore[attr-defined]
    _problem(client.get("/v1/models"), 500, "its log says what")
    assert "/srv" not in client.get("/v1/models").text
    assert "/srv/x" in caplog.text


def test_models_health_and_unknown_routes(client: TestClient) -> None:
    assert [model["name"] for model in client.get("/v1/models").json()] == ["default"]
    health = client.get("/v1/health").json()
    assert set(health) == {"status", "version", "uptime", "queue", "running"}
    _problem(client.get("/v1/nothing"), 404)
    _problem(client.put("/v1/models"), 405)
    assert "/docs" in client.get("/").text


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    pytest.importorskip("gradio")
    config = apps.config_of(
        tmp_path_factory.mktemp("data"), ui=True, token=apps.TOKEN, limits={"upload_bytes": 100_000}
    )
    with apps.served(config, Scripted()) as client:
        client.follow_redirects = False
        yield client


STUDIO_PATHS = (
    "/",
    "/config",
    "/gradio_api/info",
    "/gradio_api/queue/join",
    "/theme.css",
    "/gradio_api/file=/etc/passwd",
)


def test_the_studio_is_behind_the_same_door(studio: TestClient) -> None:
    for path in STUDIO_PATHS:
        assert studio.get(path).status_code == 401
        assert studio.post(path, headers={"Origin": "http://evil.example"}).status_code == 403
        assert studio.get(path, headers={"Host": "evil.example"}).status_code == 421
    studio.get(f"/?token={apps.TOKEN}")
    page = studio.get("/", headers={"Origin": "http://127.0.0.1:7860"})
    studio.cookies.clear()
    assert page.status_code == 200
    assert "FaceSnap" in page.text
    assert not [name for name in page.headers if name.startswith("access-control-")]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


def test_the_studio_s_uploads_and_files_are_bounded(studio: TestClient) -> None:
    bearer = {"Authorization": f"Bearer {apps.TOKEN}"}
    upload = studio.post("/gradio_api/upload", files={"files": ("a.png", bytes(2_000_000))}, headers=bearer)
    assert upload.status_code == 413
    assert studio.get("/gradio_api/file=/etc/passwd", headers=bearer).status_code in (403, 404)


def test_the_api_beside_the_studio_answers_for_itself(studio: TestClient) -> None:
    bearer = {"Authorization": f"Bearer {apps.TOKEN}"}
    _problem(studio.get("/v1/nothing", headers=bearer), 404)
    _problem(studio.put("/v1/models", headers=bearer), 405)
    assert "/v1/generations" in studio.get("/docs", headers=bearer).text
    assert studio.get("/openapi.json", headers=bearer).json()["info"]["title"] == "FaceSnap"


BROWSERS = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/nothing", "/docs/nothing", "/v2/models", "/nothing.php", "/static/nothing.js"])
def test_where_nothing_is_programs_get_a_problem_and_people_a_page(
    studio: TestClient, client: TestClient, path: str
) -> None:
    bearer = {"Authorization": f"Bearer {apps.TOKEN}"}
    for service in (studio, client):  # with the studio, and without
        _problem(service.get(path, headers=bearer), 404, "/docs says what there is" if "static" not in path else "")
        page = service.get(path, headers={**bearer, **BROWSERS})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is nothing here" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "{" not in studio.get("/v1/nothing", headers=bearer).json()["detail"]
    _problem(studio.get("/v1/nothing", headers={**bearer, **BROWSERS}), 404)  # the API is for programs


def test_gradio_answers_for_its_own_paths(studio: TestClient) -> None:
    bearer = {"Authorization": f"Bearer {apps.TOKEN}"}
    missing = studio.get("/gradio_api/nothing", headers={**bearer, **BROWSERS})
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/json")
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/robots.txt"):
        assert studio.get(path, headers={**bearer, **BROWSERS}).status_code == 200, path
    _problem(studio.put("/nothing", headers=bearer), 404)


def test_the_reference_is_whole_and_loads_nothing(client: TestClient) -> None:
    page = client.get("/docs")
    schema = client.get("/openapi.json").json()
    for path in schema["paths"]:
        assert f"<code>{path}</code>" in page.text
    for name, model in schema["components"]["schemas"].items():
        assert f'id="{name}"' in page.text or name.startswith("Body_")
        for field in model.get("properties", {}):
            assert f"<code>{field}" in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "src=" not in page.text


def test_every_operation_says_what_it_is_and_how_it_fails(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    operations = [each for path in schema["paths"].values() for each in path.values()]
    assert len(operations) == 18
    for operation in operations:
        assert operation["description"]
        faults = [about for status, about in operation["responses"].items() if status.startswith("4")]
        assert {"401", "429"} <= set(operation["responses"])
        assert all(list(about["content"]) == [problems.MEDIA_TYPE] for about in faults)


def test_logs_hold_no_token_address_or_upload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with apps.listening(apps.config_of(tmp_path, token=apps.TOKEN), Scripted()) as (url, _):
        bearer = {"Authorization": f"Bearer {apps.TOKEN}"}
        httpx.get(f"{url}/?token={apps.TOKEN}")
        photo = {"photos": ("my-private-name.jpg", apps.photo_bytes())}
        data = {"consent": "true", "name": "Eileen Private"}
        made = httpx.post(f"{url}/v1/identities", files=photo, data=data, headers=bearer).json()
        httpx.get(f"{url}/v1/identities/{made['id']}", headers=bearer)
        httpx.post(f"{url}/v1/generations", json={"identity": made["id"], "prompt": "secretly"}, headers=bearer)
    ours = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
    )
    assert "POST /v1/identities 201" in ours
    said = ours + "".join(capfd.readouterr())
    for private in (apps.TOKEN, "my-private-name", "Eileen Private", made["id"], "secretly"):
        assert private not in said
