"""The door: hosts, sites, tokens, rates, sizes and times, before an app that would answer anything."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from starlette.types import Message, Scope
from starlette.websockets import WebSocketDisconnect
from tests.serving.apps import wait_until

from facesnap.serving import problems
from facesnap.serving.access import STUDIO_RATE, Access
from facesnap.serving.config import Limits, ServeConfig
from facesnap.serving.exchange import FORM_BYTES, JSON_BYTES, LINGER, body_limit
from facesnap.serving.rates import MAX_CLIENTS, Rates, address_of
from facesnap.serving.routes.common import Desk
from facesnap.serving.server import Server

TOKEN = "a-token-of-this-test"
HERE = "http://127.0.0.1:7860"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def _app(config: ServeConfig, names: tuple[str, ...] = ()) -> FastAPI:
    """Echoes the size of a body, says who asks, or fails."""
    app = FastAPI()

    @app.api_route("/fail", methods=["GET"])
    async def fail() -> None:
        raise ZeroDivisionError("a secret at /etc/shadow")

    @app.get("/v1/large")
    async def large() -> Response:
        return Response(bytes(50_000_000))

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE", "OPTIONS"])
    async def echo(request: Request) -> Response:
        size = len(await request.body())
        cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}
        return Response(f"{request.state.client} {size}", headers=cors)

    problems.install(app)
    app.add_middleware(Access, config=config, names=names)
    return app


def _client(names: tuple[str, ...] = (), url: str = HERE, **settings: object) -> TestClient:
    config = ServeConfig.of({"ui": False, **settings})
    return TestClient(_app(config, names), url, follow_redirects=False)


# --- hosts ---


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST.:80", "[::1]:9", "127.3.2.1"])
def test_this_machine_s_own_names_are_known(host: str) -> None:
    assert _client().get("/v1/x", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.8", ""])
def test_other_names_are_refused_as_rebound(host: str) -> None:
    answer = _client().get("/v1/x", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == problems.MEDIA_TYPE


def test_names_can_be_added_and_addresses_count_beside_a_token() -> None:
    assert _client(("faces.example",)).get("/v1/x", headers={"Host": "faces.example:443"}).status_code == 200
    client = _client(host="0.0.0.0", token=TOKEN)
    assert client.get("/v1/x", headers={**BEARER, "Host": "10.0.0.8:7860"}).status_code == 200
    assert client.get("/v1/x", headers={**BEARER, "Host": socket.gethostname()}).status_code == 200
    assert client.get("/v1/x", headers={**BEARER, "Host": "evil.example"}).status_code == 421


# --- other sites ---


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},  # another server on the same machine
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_other_sites_pages_are_refused(method: str, headers: dict[str, str]) -> None:
    assert _client().request(method, "/v1/x", headers=headers).status_code == 403


def test_own_pages_and_followed_links_are_answered() -> None:
    own = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert _client().post("/v1/x", headers=own).status_code == 200
    assert _client().get("/", headers=link).status_code == 200
    assert _client().post("/", headers=link).status_code == 403


def test_no_answer_opens_anything_to_other_sites() -> None:
    answer = _client().get("/", headers={"Origin": HERE})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    api = _client().get("/v1/x")
    assert api.headers["content-security-policy"].startswith("default-src 'none'")
    assert api.headers["cache-control"] == "no-store"


def test_refusals_carry_the_same_headers() -> None:
    answer = _client().get("/", headers={"Host": "evil.example"})
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_websockets_are_closed() -> None:
    with pytest.raises(WebSocketDisconnect), _client().websocket_connect("/v1/x"):
        pass


# --- tokens ---


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer "},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": f"facesnap-7860={TOKEN}"},
        {"Cookie": "facesnap-7860="},
    ],
)
def test_without_the_token_nothing_is_answered(headers: dict[str, str]) -> None:
    answer = _client(token=TOKEN).get("/v1/x", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in answer.text


def test_with_the_token_all_is() -> None:
    client = _client(token=TOKEN)
    assert client.get("/v1/x", headers=BEARER).status_code == 200
    assert client.get("/v1/x", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert client.get("/v1/health").status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/metrics", "/v1/metrics", "/gradio_api/queue/join", "/"])
def test_the_token_guards_everything_else(path: str) -> None:
    assert _client(token=TOKEN).get(path).status_code == 401


@pytest.mark.parametrize("path", ["/v1/health/", "//v1/health", "/v1/health/../x", "/V1/HEALTH", "/v1/healthy"])
def test_paths_like_the_open_one_are_not_open(path: str) -> None:
    assert _client(token=TOKEN).get(path).status_code == 401


def test_the_studio_s_cookie() -> None:
    client = _client(token=TOKEN)
    entered = client.get(f"/?token={TOKEN}")
    assert entered.status_code == 303
    assert entered.headers["location"] == "/"
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200  # the client keeps it
    assert client.get("/gradio_api/x").status_code == 200
    assert (
        "secure" in _client(token=TOKEN, url="https://127.0.0.1").get(f"/?token={TOKEN}").headers["set-cookie"].lower()
    )


def test_a_token_in_the_address_counts_only_at_the_front_door() -> None:
    client = _client(token=TOKEN)
    assert client.get(f"/v1/x?token={TOKEN}").status_code == 401
    assert client.post(f"/?token={TOKEN}").status_code == 401
    assert client.get("/?token=wrong").status_code == 401


def test_a_browser_is_asked_for_the_token() -> None:
    answer = _client(token=TOKEN).get("/?token=%3Cscript%3E", headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert "<form" in answer.text
    assert "<script>" not in answer.text


def test_who_guesses_tokens_has_to_wait_but_not_who_knows_it() -> None:
    client = _client(token=TOKEN)
    answers = [client.get("/v1/x", headers={"Authorization": f"Bearer {i}"}) for i in range(25)]
    assert [answer.status_code for answer in answers[:20]] == [401] * 20
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert client.get("/v1/x", headers=BEARER).status_code == 200


def test_a_client_s_id_tells_neither_token_nor_address() -> None:
    config = ServeConfig.of({"ui": False, "token": TOKEN})
    first, again, other = (
        TestClient(_app(config), HERE, client=(host, 5)).get("/v1/x", headers=BEARER).text.split()[0]
        for host in ("10.0.0.8", "10.0.0.8", "10.0.0.9")
    )
    assert first == again != other
    assert "10.0.0.8" not in first
    assert TOKEN not in first


# --- rates ---


def test_too_many_requests() -> None:
    client = _client(limits={"requests_per_minute": 3, "generations_per_minute": 1})
    assert [client.get("/v1/x").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get("/v1/x")
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert answer.json()["status"] == 429
    assert client.get("/v1/health").status_code == 200
    assert [client.get("/assets/a.js").status_code for _ in range(20)] == [200] * 20


def test_generations_have_a_rate_of_their_own() -> None:
    client = _client(limits={"requests_per_minute": 100, "generations_per_minute": 2})
    assert [client.post("/v1/generations").status_code for _ in range(3)] == [200, 200, 429]
    assert client.post("/v1/landmarks").status_code == 200


def test_the_studio_may_talk_more() -> None:
    client = _client(limits={"requests_per_minute": 2})
    answers = [client.post("/gradio_api/queue/join").status_code for _ in range(2 * STUDIO_RATE + 1)]
    assert answers == [200] * 2 * STUDIO_RATE + [429]


def test_buckets_fill_up_again() -> None:
    now = 0.0
    rates = Rates(60, clock=lambda: now)
    assert [rates.take("a") for _ in range(60)] == [0.0] * 60
    assert rates.take("a") == pytest.approx(1.0)
    assert rates.take("b") == 0.0
    now = 0.5
    assert rates.take("a") == pytest.approx(0.5)
    now = 1.01
    assert rates.take("a") == 0.0
    assert rates.take("a") > 0.9


def test_the_number_of_remembered_clients_is_bounded() -> None:
    rates = Rates(5)
    for i in range(MAX_CLIENTS + 50):
        rates.take(str(i))
    assert len(rates._buckets) == MAX_CLIENTS


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("10.0.0.8", "10.0.0.8"),
        ("::1", "::1"),
        ("::ffff:10.0.0.8", "10.0.0.8"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        (None, "unknown"),
    ],
)
def test_addresses(host: str | None, said: str) -> None:
    assert address_of(host) == said


# --- bodies ---


def test_how_much_is_taken_where() -> None:
    limits = Limits(upload_bytes=1000, photos=3)
    assert body_limit("/v1/identities", limits) == 3000 + FORM_BYTES
    assert body_limit("/v1/poses", limits) == 1000 + FORM_BYTES
    assert body_limit("/v1/comparisons", limits) == 2000 + FORM_BYTES
    assert body_limit("/v1/generations", limits) == JSON_BYTES
    assert body_limit("/gradio_api/upload", limits) == 3000 + FORM_BYTES


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    client = _client()
    assert client.post("/v1/x", content=bytes(JSON_BYTES)).text.split()[1] == str(JSON_BYTES)
    answer = client.post("/v1/x", content=bytes(JSON_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["status"] == 413
    assert answer.headers["connection"] == "close"


def test_a_body_that_does_not_say_its_size_is_cut_while_it_streams() -> None:
    piece, taken = bytes(16_384), 0
    answers: list[Message] = []

    async def endless() -> Message:
        nonlocal taken
        taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def keep(message: Message) -> None:
        answers.append(message)

    asyncio.run(_app(ServeConfig())(_scope("POST"), endless, keep))
    assert answers[0]["status"] == 413
    assert JSON_BYTES < taken <= JSON_BYTES + LINGER[0] + 2 * len(piece)


def test_who_goes_away_while_they_send_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def keep(message: Message) -> None:
        answers.append(message)

    asyncio.run(_app(ServeConfig())(_scope("POST"), gone, keep))
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]


def _scope(method: str) -> Scope:
    path = {"path": "/v1/x", "raw_path": b"/v1/x", "query_string": b"", "root_path": "", "scheme": "http"}
    who = {"client": ("127.0.0.1", 9), "server": ("127.0.0.1", 7860), "headers": [(b"host", b"localhost")]}
    return {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, **path, **who}


def test_an_error_inside_is_answered_without_its_words() -> None:
    answer = TestClient(_app(ServeConfig()), HERE, raise_server_exceptions=False).get("/fail")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


# --- time, at a real socket ---


@contextmanager
def _running(**settings: object) -> Iterator[tuple[Server, int]]:
    config = ServeConfig.of({"ui": False, "port": 0, **settings})
    app = _app(config)
    app.state.desk = Desk(None, config, None)  # type: ignore[arg-type]
    bound = socket.create_server(("127.0.0.1", 0))
    server = Server(app, config)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server, bound.getsockname()[1]
    finally:
        server.stop()
        thread.join(20)
        bound.close()


def _talk(port: int, words: bytes, seconds: float = 5.0) -> bytes:
    """Say something and listen until the connection is closed; fails if it isn't."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(words)
        heard = b""
        while piece := connection.recv(65536):
            heard += piece
        return heard


HEAD = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


def test_a_body_that_dawdles_is_given_up() -> None:
    with _running(limits={"request_seconds": 0.3}) as (_, port):
        begun = time.monotonic()
        heard = _talk(port, HEAD + b"ten bytes.")
        assert b" 408 " in heard.split(b"\r\n")[0]
        assert time.monotonic() - begun < 4


@pytest.mark.parametrize("words", [b"", b"GET / HT", HEAD[:40]])
def test_a_head_that_dawdles_is_given_up(words: bytes) -> None:
    with _running(limits={"request_seconds": 0.3}) as (_, port):
        assert _talk(port, words) == b""


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    with _running(limits={"request_seconds": 0.3}) as (server, port), socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: server.server_state.total_requests == 1)
        assert server.server_state.connections
        wait_until(lambda: not server.server_state.connections, 3)


SIZED = HEAD.replace(b"100", b"900000") + bytes(900_000)
CHUNKED = (
    HEAD.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")
    + b"dbba0\r\n"
    + bytes(0xDBBA0)
    + b"\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("words", [SIZED, CHUNKED], ids=["sized", "chunked"])
def test_who_sends_too_much_still_hears_why(words: bytes) -> None:
    with _running() as (_, port):
        heard = _talk(port, words)
        assert b" 413 " in heard.split(b"\r\n")[0]
        assert heard.endswith(b"}")


def test_who_asks_before_sending_too_much_is_told_before() -> None:
    with _running() as (_, port), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(HEAD.replace(b"100", b"900000").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_the_server_does_not_say_what_it_is() -> None:
    with _running() as (_, port):
        assert "server" not in httpx.get(f"http://127.0.0.1:{port}/v1/x").headers


def test_problems_of_unknown_routes_name_no_path(tmp_path: Path) -> None:
    text = f"can't read {tmp_path}/deep/file.bin: damaged, and/or 1/2 of https://a.example/b"
    assert problems.without_paths(text) == "can't read file.bin: damaged, and/or 1/2 of https://a.example/b"


def test_the_studio_takes_no_more_than_it_may_hold(tmp_path: Path) -> None:
    client = _client(data=str(tmp_path), limits={"studio_bytes": 1000})
    held = tmp_path / "studio" / "abc"
    held.mkdir(parents=True)
    (held / "a.png").write_bytes(bytes(900))
    assert client.post("/gradio_api/upload").status_code == 200
    (held / "b.png").write_bytes(bytes(200))
    answer = client.post("/gradio_api/upload")
    assert answer.status_code == 507
    assert "try again later" in answer.json()["detail"]
    assert client.post("/v1/landmarks").status_code == 200
