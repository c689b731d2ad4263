"""What people do on the page, and what they see then."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from playwright.sync_api import Page, expect


def add_photo(page: Page, *photos: Path) -> None:
    page.locator("#photos input[type=file]").first.set_input_files(list(photos))
    expect(page.locator("#photos .thumbnail-item")).to_have_count(len(photos))


def consent(page: Page) -> None:
    page.locator("#consent input").check()


def bring(page: Page, photo: Path) -> None:
    """A person who is ready, whose map is shown."""
    add_photo(page, photo)
    consent(page)
    expect(page.locator("#person-note")).to_contain_text("is ready")
    expect(page.locator("#map img")).to_be_visible()


def load_identity(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#load-identity").click()
    chooser.value.set_files(path)


def the_map(page: Page) -> str:
    return str(page.locator("#map img").get_attribute("src"))


def slide(page: Page, slider: str, value: float) -> None:
    page.locator(f"#{slider} input[type=range]").fill(str(value))


def map_changes(page: Page, before: str) -> None:
    expect(page.locator("#map img")).not_to_have_attribute("src", before)


def describe(page: Page, prompt: str) -> None:
    page.locator("#prompt textarea").fill(prompt)


def unfold(page: Page, part: str) -> None:
    page.locator(f"#{part} > button").click()


def set_steps(page: Page, steps: int) -> None:
    unfold(page, "advanced")
    field = page.locator("#steps input[type=number]")
    field.fill(str(steps))
    field.press("Tab")


def generate(page: Page) -> None:
    page.locator("#generate").click()


def generate_and_hold(page: Page, gate: Event, steps: int) -> None:
    """A job of so many steps that waits after its first one, until the painter's ``gate`` is open."""
    set_steps(page, steps)
    gate.clear()
    generate(page)
    status(page, f"Step 1 of {steps}")


def status(page: Page, text: str) -> None:
    expect(page.locator("#status")).to_contain_text(text)


def pictures(page: Page, number: int) -> None:
    expect(page.locator("#results .thumbnail-small")).to_have_count(number)
