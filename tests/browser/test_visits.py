"""A page that is loaded anew, a server that was restarted, and what deleting deletes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser import acting
from tests.browser.conftest import Studio, studio_of
from tests.serving.apps import use_tiny, wait_until

from facesnap.serving.config import ServeConfig
from facesnap.serving.requests import JobState
from facesnap.serving.studio import words

Open = Callable[..., Page]
Shoot = Callable[..., None]


def made(page: Page, photo: Path, prompt: str = "red hat") -> None:
    acting.bring(page, photo)
    acting.describe(page, prompt)
    acting.generate(page)
    acting.status(page, "Done in")


def test_a_reload_loses_nothing(studio: Studio, open_page: Open, shoot: Shoot, photo: Path) -> None:
    page = open_page(studio)
    made(page, photo)
    page.reload()
    acting.pictures(page, 1)
    expect(page.locator("#details")).to_contain_text("red hat")
    acting.status(page, words.BACK)
    expect(page.locator("#person-note")).to_contain_text("is still here")
    expect(page.locator("#map img")).to_be_visible()
    shoot(page, "desktop-light-reloaded", whole=True)
    acting.describe(page, "blue hat")
    acting.generate(page)
    acting.pictures(page, 2)
    assert len(studio.service.identities()) == 1
    other = page.context.new_page()  # another tab of the same browser has nothing of it
    other.goto(studio.url)
    expect(other.locator("#status")).to_contain_text(words.IDLE)
    expect(other.locator("#empty")).to_be_visible()
    acting.describe(other, "red hat")
    acting.generate(other)
    acting.status(other, words.NO_PERSON)


def test_a_reload_goes_on_with_the_job(studio: Studio, open_page: Open, photo: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    acting.describe(page, "red hat")
    acting.generate_and_hold(page, studio.painter.gate, 30)
    page.reload()
    expect(page.locator("#cancel")).to_be_visible()
    expect(page.locator("#generate")).to_be_disabled()
    studio.painter.gate.set()
    acting.status(page, "Done in")
    acting.pictures(page, 1)
    assert [job.state for job in studio.service.jobs()] == [JobState.done]


def test_a_restart_loses_nothing(
    tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open, photo: Path
) -> None:
    use_tiny(tiny_mini, monkeypatch)
    config = ServeConfig.of({"data": tmp_path / "data", "device": "cpu"})
    serving = contextmanager(studio_of)
    with serving(config) as first:
        page = open_page(first)
        made(page, photo)
        page.goto("about:blank")
    with serving(config, first.config.port) as second:
        page.goto(second.url)
        acting.pictures(page, 1)
        expect(page.locator("#person-note")).to_contain_text("is still here")
        acting.describe(page, "blue hat")
        acting.generate(page)
        acting.pictures(page, 2)


def test_what_is_deleted_is_gone(studio: Studio, open_page: Open, shoot: Shoot, photo: Path) -> None:
    page = open_page(studio)
    made(page, photo)
    for number in (2, 3):
        acting.generate(page)
        acting.pictures(page, number)
    page.locator("#delete").click()
    acting.pictures(page, 2)
    acting.status(page, "Deleted from this server: 1 picture.")
    assert len(studio.service.jobs()) == 2
    shoot(page, "desktop-light-deleted")
    page.locator("#clear").click()
    acting.status(page, words.CLEARED)
    expect(page.locator("#empty")).to_be_visible()
    assert studio.service.jobs() == []
    assert list((studio.config.data / "results").iterdir()) == []
    page.locator("#forget").click()
    expect(page.locator("#person-note")).to_contain_text(words.WHO_GONE)
    page.reload()
    acting.status(page, words.IDLE)
    expect(page.locator("#person-note")).to_contain_text("Add a photo")
    wait_until(lambda: studio.service.identities() == [])
