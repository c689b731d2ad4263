"""A real browser before a real server: Debian's Chromium, the tiny model, and painting that a test can hold."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.serving.apps import PHOTO, use_tiny, wait_until

from facesnap.serving.config import ServeConfig
from facesnap.serving.local import LocalPainter
from facesnap.serving.painter import Order, Painted, Watch
from facesnap.serving.service import Service

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("gradio")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
#: Nothing that a browser does of its own accord: updates, reports, suggestions.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--no-default-browser-check", "--no-pings"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
    *("--disable-domain-reliability", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
sync_api.expect.set_options(timeout=30_000)
SCREENSHOTS = Path(__file__).resolve().parents[2] / "out" / "browser"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker("browser")
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="no Chromium: make test-browser installs it, or set CHROMIUM"))


class Held(LocalPainter):
    """The local painter; while ``gate`` is shut it waits after each step."""

    def __init__(self, config: ServeConfig) -> None:
        super().__init__(config)
        self.gate = threading.Event()
        self.gate.set()
        self.steps: list[int] = []

    def paint(self, orders: Sequence[Order], watch: Watch) -> list[Painted]:
        return super().paint(orders, _Held(watch, self))


class _Held:
    def __init__(self, watch: Watch, painter: Held) -> None:
        self.watch, self.painter = watch, painter

    def step(self, step: int, steps: int, previews: Mapping[str, bytes] | None) -> None:
        self.painter.steps.append(step)
        self.watch.step(step, steps, previews)
        self.painter.gate.wait(30)

    def stopped(self) -> Collection[str]:
        return self.watch.stopped()


@dataclass(frozen=True)
class Studio:
    """A server, and what tests look at behind the page."""

    url: str
    config: ServeConfig
    service: Service
    painter: Held


def studio_of(config: ServeConfig, port: int = 0) -> Iterator[Studio]:
    """Serve until the test is over; ``port`` 0: at a free one."""
    from facesnap.serving.api import create_app
    from facesnap.serving.server import Server, listen

    bound = listen(config.host, port)
    config = config.model_copy(update={"port": bound.getsockname()[1]})
    painter = Held(config)
    service = Service(config, painter)
    server = Server(create_app(service, config), config)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    url = f"http://127.0.0.1:{config.port}"
    try:
        wait_until(lambda: _ready(url), 60)
        yield Studio(url, config, service, painter)
    finally:
        painter.gate.set()
        server.stop()
        thread.join(30)
        bound.close()


def _ready(url: str) -> bool:
    import httpx

    try:
        return bool(httpx.get(f"{url}/v1/health").json()["status"] == "ready")
    except httpx.ConnectError:
        return False


@pytest.fixture
def studio(tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """The studio with the tiny model: one job paints, one may wait."""
    use_tiny(tiny_mini, monkeypatch)
    limits = {"queue": 1, "queue_per_client": 1, "batch": 1}
    yield from studio_of(ServeConfig.of({"data": tmp_path / "data", "device": "cpu", "limits": limits}))


@pytest.fixture(scope="session")
def chromium() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: sync_api.Browser) -> Iterator[Callable[..., sync_api.Page]]:
    """Opens the studio in a context of its own; afterwards: no script failed, and nothing left this machine."""
    contexts, troubles = [], []

    def opened(
        studio: Studio, size: Mapping[str, int] = DESKTOP, scheme: str = "light", **options: object
    ) -> sync_api.Page:
        context = chromium.new_context(viewport=dict(size), color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: troubles.append(f"script: {error}"))
        page.on("request", lambda request: _check_local(request.url, studio.url, troubles))
        page.on(
            "response", lambda answer: troubles.append(f"{answer.status} {answer.url}") if answer.status > 399 else 0
        )
        page.goto(studio.url)
        page.wait_for_selector("#generate")
        sync_api.expect(page.locator("#status")).to_contain_text("Ready")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not troubles


def _check_local(url: str, home: str, troubles: list[str]) -> None:
    if not url.startswith((home, "data:", "blob:")):
        troubles.append(f"asked {url}")


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps a screenshot under out/browser/, which git ignores."""

    def taken(page: sync_api.Page, name: str, whole: bool = False) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(250)  # what turns or fades
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    return taken


# --- photos ---


@pytest.fixture(scope="session")
def photo() -> Path:
    return PHOTO


@pytest.fixture(scope="session")
def couple(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces: the photo beside a smaller copy of itself."""
    image = Image.open(PHOTO).convert("RGB").resize((400, 400))
    both = Image.new("RGB", (700, 400), "gray")
    both.paste(image, (0, 0))
    both.paste(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((300, 300)), (400, 50))
    path = tmp_path_factory.mktemp("photos") / "couple.jpg"
    both.save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No face at all."""
    path = tmp_path_factory.mktemp("photos") / "wall.png"
    Image.fromarray(np.full((300, 300, 3), 120, np.uint8)).save(path)
    return path
