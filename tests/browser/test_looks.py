"""Phones, the dark, and hands that hold no mouse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser import acting
from tests.browser.conftest import DESKTOP, PHONE, Studio

Open = Callable[..., Page]
Shoot = Callable[..., None]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(studio: Studio, open_page: Open, shoot: Shoot, photo: Path, scheme: str) -> None:
    page = open_page(studio, PHONE, scheme, has_touch=True, is_mobile=True)
    shoot(page, f"phone-{scheme}-empty", whole=True)
    _fits(page)
    acting.generate(page)
    expect(page.locator("#status .fs-bad")).to_be_visible()
    shoot(page, f"phone-{scheme}-error")
    acting.bring(page, photo)
    acting.slide(page, "yaw", -20)
    acting.describe(page, "yellow hat")
    for fold in page.locator(".label-wrap").all():
        fold.click()
    shoot(page, f"phone-{scheme}-ready", whole=True)
    _fits(page)
    studio.painter.gate.clear()
    acting.generate(page)
    page.wait_for_function("document.querySelector('.fs-stage').getBoundingClientRect().top < 100")
    expect(page.locator("#forming img")).to_be_in_viewport(ratio=0.9)
    shoot(page, f"phone-{scheme}-running")
    studio.painter.gate.set()
    acting.status(page, "Done in")
    expect(page.locator("#results img").first).to_be_in_viewport()
    expect(page.locator("#generate")).to_be_in_viewport()
    shoot(page, f"phone-{scheme}-finished")
    _fits(page)
    page.get_by_role("tab", name="Compare faces").click()
    shoot(page, f"phone-{scheme}-compare", whole=True)
    _fits(page)


def _fits(page: Page) -> None:
    wide = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{wide} pixels too wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(studio: Studio, open_page: Open, shoot: Shoot, photo: Path, scheme: str) -> None:
    page = open_page(studio, DESKTOP, scheme)
    shoot(page, f"desktop-{scheme}-empty", whole=True)
    acting.bring(page, photo)
    acting.describe(page, "red hat")
    acting.generate(page)
    acting.status(page, "Done in")
    shoot(page, f"desktop-{scheme}-whole", whole=True)
    for part in ("#status p", ".fs-heading", "#details dd", "#consent .label-text", "#yaw label span", ".fs-card p"):
        assert _contrast(page, part) >= 4.5, part
    _fits(page)


def _contrast(page: Page, part: str) -> float:
    """WCAG's contrast of a text with what is behind it."""
    text, behind = page.locator(part).first.evaluate(
        """element => {
          let behind = element, colour;
          do { colour = getComputedStyle(behind).backgroundColor; behind = behind.parentElement; }
          while (behind && (colour === "transparent" || colour.endsWith(", 0)")));
          const numbers = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
          return [numbers(getComputedStyle(element).color), numbers(colour)];
        }"""
    )
    light, dark = sorted((_luminance(text), _luminance(behind)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_with_the_keyboard_alone(studio: Studio, open_page: Open, photo: Path) -> None:
    page = open_page(studio)
    with page.expect_file_chooser() as chooser:
        _tab_to(page, "#photos button")
        page.keyboard.press("Enter")
    chooser.value.set_files(photo)
    _tab_to(page, "#consent input")
    page.keyboard.press("Space")
    expect(page.locator("#map img")).to_be_visible()
    _tab_to(page, "#prompt textarea")
    page.keyboard.type("red hat")
    _tab_to(page, "#yaw input[type=range]")
    before = acting.the_map(page)
    page.keyboard.press("ArrowRight")
    acting.map_changes(page, before)
    expect(page.locator("#yaw input[type=number]")).to_have_value("1")
    _tab_to(page, "#mood input[value=smile]")
    before = acting.the_map(page)
    page.keyboard.press("Space")
    acting.map_changes(page, before)
    _tab_to(page, "#generate")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    acting.status(page, "Done in")
    acting.pictures(page, 1)


def _tab_to(page: Page, part: str, most: int = 80) -> None:
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("part => document.activeElement.matches(part)", part):
            return
    pytest.fail(f"the Tab key doesn't reach {part}")
