"""``facesnap serve`` as a process: it answers soon, says where, and ends as it is told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from facesnap.cli import app, serve
from facesnap.core import lazy


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert app.run(["serve", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@contextmanager
def _running(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address that it says."""
    command = [sys.executable, "-m", "facesnap.cli.app", "serve", "--no-ui", "--port", "0", "--data", str(folder)]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        yield process, found.group() if found else line
    finally:
        process.kill()
        process.communicate()


def test_it_answers_before_the_model_is_there_and_ends_at_sigterm(tmp_path: Path, tiny_mini: Path) -> None:
    with _running(tmp_path, FACESNAP_MINI=str(tiny_mini)) as (process, url):
        first = httpx.get(f"{url}/v1/health").json()
        assert first["status"] in ("loading", "ready")
        while httpx.get(f"{url}/v1/health").json()["status"] != "ready":
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == err == ""


def test_a_token_from_the_environment_is_asked_for_and_never_printed(tmp_path: Path, tiny_mini: Path) -> None:
    token = "a-token-of-this-test"
    kept = {"FACESNAP_MINI": str(tiny_mini), "FACESNAP_TOKEN": token}
    with _running(tmp_path, "--log-requests", **kept) as (process, url):
        assert httpx.get(f"{url}/docs").status_code == 401
        assert httpx.get(f"{url}/?token={token}").status_code == 303
        assert httpx.get(f"{url}/docs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert token not in url + out + err
    assert re.search(r"GET other 401 \d+ ms\n", err)
    assert re.search(r"GET /docs 200 \d+ ms\n", err)


def test_a_model_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with _running(tmp_path / "data", FACESNAP_MINI=str(tmp_path / "nothing")) as (process, _):
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("error: the embedded model is not (whole)")
    assert err.count("\n") == 1


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in _refused(capsys, "--port", port, "--no-ui", "--data", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "give a token"),
        (["--host", "0.0.0.0", "--token", "short"], "token"),
        (["--port", "70000"], "--port"),
        (["--base", "no/such/base"], "no base model at no/such/base"),
        (["--host", "192.0.2.1", "--token", "long-enough", "--no-ui"], "can't listen at 192.0.2.1"),
        (["--host", "no-such-host.invalid", "--token", "long-enough", "--no-ui"], "--host no-such-host.invalid"),
    ],
)
def test_wrong_settings_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _refused(capsys, "--data", tmp_path / "data", *arguments)


def test_a_file_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('port = 8000\nwatermark = false\n[limits]\nsteps = 20\n[models.other]\nbase = "./sd15"\n')
    settings = serve._settings(file, {"port": 9000})
    assert (settings.port, settings.watermark, settings.limits.steps) == (9000, False, 20)
    assert settings.models["other"].base == "./sd15"
    file.write_text("[limits]\nstepz = 20\n")
    assert "limits.stepz" in _refused(capsys, "--config", file)
    file.write_text("port = = 1")
    assert "--config" in _refused(capsys, "--config", file)


def test_without_gradio_there_is_no_studio_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    from facesnap.serving.server import Server

    monkeypatch.setattr(util, "find_spec", lambda name: None)
    monkeypatch.setattr(Server, "run", lambda self, sockets: None)
    assert app.run(["serve", "--port", "0", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert 'pip install "facesnap[ui]"' in said.err
    assert said.out.startswith("FaceSnap is at http://127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ""),
        (["--ray"], "starting Ray ... "),
        (["--ray-address", "auto"], "starting Ray (the cluster at auto) ... "),
    ],
)
def test_who_starts_ray_is_told_before_it_takes_its_time(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from facesnap.serving import ray_start
    from facesnap.serving.server import Server

    seen: list[str] = []
    monkeypatch.setattr(ray_start, "painter_of", lambda config: seen.append(capsys.readouterr().err))
    monkeypatch.setattr(Server, "run", lambda self, sockets: None)
    assert app.run(["serve", "--port", "0", "--no-ui", "--data", str(tmp_path), *arguments]) == 0
    assert seen[0].startswith(said)
    assert seen[0].count("\n") == bool(said)
    assert capsys.readouterr().err == ""


def test_without_its_extra_it_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def import_module(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(lazy, "importlib", SimpleNamespace(import_module=import_module))
    assert 'pip install "facesnap[serve]"' in _refused(capsys, "--data", tmp_path)


def test_importing_the_command_loads_nothing_heavy() -> None:
    heavy = "'fastapi', 'uvicorn', 'gradio', 'pydantic', 'httpx', 'numpy'"
    code = f"import sys, facesnap.cli.app; print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_service_s_modules_load_no_torch() -> None:
    modules = "facesnap.serving.api, facesnap.serving.server, facesnap.serving.client"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
