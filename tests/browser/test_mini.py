"""The embedded model as people meet it: the example photo, a real portrait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser import acting
from tests.browser.conftest import Studio, studio_of
from tests.serving.apps import wait_until

from facesnap.serving.config import ServeConfig
from facesnap.serving.studio import words

pytestmark = [pytest.mark.slow, pytest.mark.mini]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Studio]:
    yield from studio_of(ServeConfig.of({"data": tmp_path / "data", "device": "cpu"}))


def test_a_portrait_by_mini(real: Studio, open_page: Callable[..., Page], shoot: Callable[..., None]) -> None:
    page = open_page(real)
    page.locator("#example").click()
    acting.consent(page)
    expect(page.locator("#map img")).to_be_visible()
    before = acting.the_map(page)
    acting.slide(page, "yaw", 20)
    acting.map_changes(page, before)
    page.locator("#mood label", has_text="Smile").click()
    acting.describe(page, "a portrait of a person in a red jacket, in a park")
    acting.unfold(page, "advanced")
    page.locator("#count input[type=number]").fill("3")
    page.locator("#count input[type=number]").press("Tab")
    page.locator("#speed label", has_text="Balanced").click()
    acting.generate(page)
    page.wait_for_selector("#forming img")
    shoot(page, "mini-running")
    acting.status(page, "3 pictures")
    acting.pictures(page, 3)
    expect(page.locator("#details")).to_contain_text("mini-judge")
    shoot(page, "mini-finished")
    page.locator("#results .thumbnail-small").nth(1).click()
    page.locator("#compare-this").click()
    expect(page.locator("#comparison strong")).to_be_visible()
    shoot(page, "mini-compare")
    page.get_by_role("tab", name=words.TAB_MAKE).click()
    (first,) = real.service.identities()
    page.locator("#use").click()  # the portrait is the person now
    wait_until(lambda: [each.id for each in real.service.identities()] not in ([], [first.id]))
    expect(page.locator("#person-note")).to_contain_text("is ready")
    acting.describe(page, "a pencil sketch of a person")
    acting.generate(page)
    acting.pictures(page, 6)
    newest = real.service.jobs()[0]
    assert newest.request.identity == real.service.identities()[0].id
    assert newest.request.speed == "balanced"
    shoot(page, "mini-from-a-portrait")
