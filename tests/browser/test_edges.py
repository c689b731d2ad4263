"""Where things end: a camera, a limit, a file that is too large, a server that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.browser import acting
from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS, Studio, studio_of
from tests.serving.apps import use_tiny, wait_until

from facesnap.serving.config import ServeConfig

Open = Callable[..., Page]
Shoot = Callable[..., None]
serving = contextmanager(studio_of)

BANNER = ".fs-banner[role=alert]"
GONE, OFTEN = f"{BANNER}[data-kind=gone]", f"{BANNER}[data-kind=often]"


@pytest.fixture
def config(tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServeConfig:
    use_tiny(tiny_mini, monkeypatch)
    return ServeConfig.of({"data": tmp_path / "data", "device": "cpu"})


@pytest.fixture
def open_troubled(chromium: Browser) -> Iterator[Open]:
    """Opens the studio where requests may fail: that is what is tested."""
    contexts = []

    def opened(studio: Studio) -> Page:
        contexts.append(chromium.new_context(viewport=dict(DESKTOP)))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.goto(studio.url)
        expect(page.locator("#status")).to_contain_text("Ready")
        return page

    yield opened
    for context in contexts:
        context.close()


# --- the camera ---


@pytest.fixture
def camera(photo: Path, tmp_path: Path) -> Iterator[Browser]:
    """A browser whose camera sees the photo."""
    video = tmp_path / "camera.y4m"
    video.write_bytes(y4m(np.array(Image.open(photo).convert("RGB").resize((640, 480)).convert("YCbCr"))))
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={video}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


def y4m(picture: np.ndarray, frames: int = 3) -> bytes:
    """A film of one picture, (H, W, 3) YCbCr, as YUV4MPEG2 with half the colour."""
    height, width = picture.shape[:2]
    colour = picture[:, :, 1:].reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3)).round().astype(np.uint8)
    frame = b"FRAME\n" + b"".join(plane.tobytes() for plane in (picture[:, :, 0], colour[..., 0], colour[..., 1]))
    return f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode() + frame * frames


def test_a_photo_from_the_camera_becomes_a_person(config: ServeConfig, camera: Browser, shoot: Shoot) -> None:
    with serving(config) as studio:
        page = camera.new_page(viewport=dict(DESKTOP))
        page.set_default_timeout(30_000)
        page.goto(studio.url)
        expect(page.locator("#status")).to_contain_text("Ready")
        page.locator("#take").click()
        page.locator("#webcam").get_by_role("button").first.click()
        page.wait_for_function("document.querySelector('#webcam video')?.videoWidth > 0")
        shoot(page, "desktop-light-camera")
        page.locator("#webcam button[aria-label='capture photo']").click()
        expect(page.locator("#photos .thumbnail-item")).to_have_count(1)
        expect(page.locator("#webcam")).to_be_hidden()
        acting.consent(page)
        expect(page.locator("#person-note")).to_contain_text("is ready: 1 photo")
        expect(page.locator("#map img")).to_be_visible()
        (person,) = studio.service.identities()
        assert person.photos == 1


# --- limits ---


def test_who_asks_too_often_is_told_so_and_loses_nothing(
    config: ServeConfig, open_troubled: Open, photo: Path, shoot: Shoot
) -> None:
    limits = config.limits.model_copy(update={"requests_per_minute": 3})  # the studio has ten times that
    with serving(config.model_copy(update={"limits": limits})) as studio:
        page = open_troubled(studio)
        refused: list[str] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status == 429 else None)
        while not refused:
            acting.generate(page)
            page.wait_for_timeout(20)
        expect(page.locator(OFTEN)).to_contain_text("more than this server takes in a minute. It goes on by itself")
        expect(page.locator(OFTEN)).to_have_count(1)
        shoot(page, "desktop-light-too-often")
        acting.add_photo(page, photo)  # uploads are refused, too, and sent again
        expect(page.locator("#person-note")).to_contain_text("Now say below")
        expect(page.locator(OFTEN)).to_have_count(0)
        expect(page.locator(".toast-body")).to_have_count(0)


def test_a_studio_that_is_full_says_so(config: ServeConfig, open_troubled: Open, photo: Path, shoot: Shoot) -> None:
    limits = config.limits.model_copy(update={"studio_bytes": 1})
    with serving(config.model_copy(update={"limits": limits})) as studio:
        page = open_troubled(studio)
        (studio.config.data / "studio" / "held").mkdir()
        (studio.config.data / "studio" / "held" / "photo.jpg").write_bytes(bytes(2))
        page.locator("#photos input[type=file]").first.set_input_files(photo)
        toast = page.locator(".toast-body")
        expect(toast).to_contain_text("the studio holds as many files as it may: try again later")
        expect(toast).not_to_contain_text("{")
        shoot(page, "desktop-light-full")


# --- files ---


def test_a_photo_that_is_too_large_is_told_before_it_is_sent(
    config: ServeConfig, open_page: Open, photo: Path, shoot: Shoot, tmp_path: Path
) -> None:
    limits = config.limits.model_copy(update={"upload_bytes": 1_572_864})
    large = tmp_path / "large & <b>photo.jpg"
    large.write_bytes(photo.read_bytes() + bytes(1_600_000))
    with serving(config.model_copy(update={"limits": limits})) as studio:
        page = open_page(studio)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if "/upload" in request.url else None)
        page.locator("#photos input[type=file]").first.set_input_files(large)
        said = "“large & <b>photo.jpg” has 1.7 MB: a file may have at most 1.5 MB."
        expect(page.locator(BANNER)).to_contain_text(said)
        expect(page.locator(BANNER)).to_have_count(1)
        shoot(page, "desktop-light-too-large")
        drop(page, "#photos", "dropped.jpg", 2_000_000)
        expect(page.locator(BANNER)).to_contain_text("“dropped.jpg” has 2 MB")
        expect(page.locator("#photos .thumbnail-item")).to_have_count(0)
        assert not sent
        acting.add_photo(page, photo)  # and one that fits is taken
        expect(page.locator(BANNER)).to_have_count(0)
        expect(page.locator("#person-note")).to_contain_text("Now say below")


def drop(page: Page, target: str, name: str, size: int) -> None:
    """As if a file of zeros were dragged there."""
    page.evaluate(
        """([target, name, size]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(size)], name, {type: "image/jpeg"}));
          const options = {bubbles: true, cancelable: true, dataTransfer: data};
          document.querySelector(`${target} button`).dispatchEvent(new DragEvent("drop", options));
        }""",
        [target, name, size],
    )


# --- the server ---


def test_a_page_whose_server_is_gone_says_so_and_comes_back(
    config: ServeConfig, open_troubled: Open, photo: Path, shoot: Shoot
) -> None:
    with serving(config) as first:
        page = open_troubled(first)
        acting.bring(page, photo)
        acting.describe(page, "not sent yet")
        page.evaluate("window.before = true")
    expect(page.locator(GONE)).to_contain_text("The server doesn't answer.")
    expect(page.locator(GONE)).to_have_count(1)
    shoot(page, "desktop-light-gone")
    assert page.evaluate("window.before")
    with serving(config, first.config.port):
        page.wait_for_function("!window.before")
        expect(page.locator("#status")).to_contain_text("Ready")
        expect(page.locator(GONE)).to_have_count(0)
        expect(page.locator("#person-note")).to_contain_text("is still here")
        expect(page.locator("#prompt textarea")).to_have_value("not sent yet")
        acting.generate(page)  # and it is what Gradio sends
        acting.status(page, "Done in")
        expect(page.locator("#details")).to_contain_text("not sent yet")


def test_one_answer_that_is_missing_is_nothing(studio: Studio, open_troubled: Open) -> None:
    page = open_troubled(studio)
    asked: list[bool] = []

    def answer(route: Any) -> None:
        asked.append(len(asked) % 2 == 0)
        (route.abort if asked[-1] else route.continue_)()

    page.route("**/v1/health", answer)
    page.evaluate("window.before = true")
    wait_until(lambda: page.wait_for_timeout(200) or len(asked) >= 4)
    expect(page.locator(GONE)).to_have_count(0)
    assert page.evaluate("window.before")


def test_a_hidden_page_asks_nothing(studio: Studio, open_page: Open) -> None:
    page = open_page(studio)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/v1/health") else None)
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); }"
    page.evaluate(hide, True)
    page.wait_for_timeout(500)
    asked.clear()
    page.wait_for_timeout(9_000)
    assert not asked
    page.evaluate(hide, False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.wait_for_timeout(50) or len(asked) == 1, 3)
