"""The service over HTTP for tests: the tiny model behind it, in this process."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from facesnap.serving.api import create_app
from facesnap.serving.config import ServeConfig
from facesnap.serving.painter import Painter
from facesnap.serving.server import Server, listen
from facesnap.serving.service import Service

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "eileen_collins.jpg"
TOKEN = "not-a-guess"


def use_tiny(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model as the embedded one. Its random E_3d can't tell faces from anything, so the cascades alone do."""
    from facesnap.faces.detect import HaarDetector
    from facesnap.pipelines import analyser

    monkeypatch.setenv("FACESNAP_MINI", str(mini))
    monkeypatch.setattr(analyser, "HaarDetector", lambda refine: HaarDetector())


def config_of(folder: Path, **settings: Any) -> ServeConfig:
    """Settings of a service for tests: no studio, and on the CPU."""
    return ServeConfig.of({"data": folder, "ui": False, "device": "cpu", **settings})


@contextmanager
def served(config: ServeConfig, painter: Painter | None = None, wait: bool = True) -> Iterator[TestClient]:
    """A client of a service without a socket; ``wait``: until it is ready."""
    with TestClient(create_app(Service(config, painter), config), "http://127.0.0.1:7860") as client:
        if wait:
            wait_until(lambda: client.get("/v1/health").json()["status"] == "ready")
        yield client


@contextmanager
def listening(config: ServeConfig, painter: Painter | None = None) -> Iterator[tuple[str, Server]]:
    """A service at a real socket: its address, and the server."""
    bound = listen(config.host, 0)
    config = config.model_copy(update={"port": bound.getsockname()[1]})
    server = Server(create_app(Service(config, painter), config), config)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    url = f"http://127.0.0.1:{config.port}"
    try:
        wait_until(lambda: httpx.get(f"{url}/v1/health").json()["status"] == "ready")
        yield url, server
    finally:
        server.stop()
        thread.join(30)
        bound.close()
    assert not thread.is_alive()


def wait_until(true: Any, seconds: float = 30.0) -> None:
    """Ask until the answer is yes."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)


def photo_bytes(side: int = 400) -> bytes:
    """A small JPEG with a face."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(PHOTO).convert("RGB").resize((side, side)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def enrol(client: TestClient, **about: Any) -> str:
    """Id of a new identity."""
    files = {"photos": ("me.jpg", photo_bytes())}
    answer = client.post("/v1/identities", files=files, data={"consent": "true", **about})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
