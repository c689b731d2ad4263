"""From a photo to a picture, and everything that can come between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from tests.browser import acting
from tests.browser.conftest import Studio
from tests.serving.apps import wait_until

from facesnap.core.identity import Identity
from facesnap.serving.requests import GenerationRequest, JobState
from facesnap.serving.studio import words

Open = Callable[..., Page]
Shoot = Callable[..., None]


def test_photo_consent_slider_map_picture(
    studio: Studio, open_page: Open, shoot: Shoot, photo: Path, tmp_path: Path
) -> None:
    page = open_page(studio)
    shoot(page, "desktop-light-empty")
    acting.bring(page, photo)
    before = acting.the_map(page)
    acting.slide(page, "yaw", 30)
    acting.map_changes(page, before)
    before = acting.the_map(page)
    page.locator("#mood label", has_text="Smile").click()
    acting.map_changes(page, before)
    acting.describe(page, "red hat")
    page.locator("#styles label", has_text="Pencil").click()
    expect(page.locator("#prompt textarea")).to_have_value("red hat, pencil sketch")
    page.locator("#styles label", has_text="Pencil").click()
    expect(page.locator("#prompt textarea")).to_have_value("red hat")
    acting.set_steps(page, 6)
    studio.painter.gate.clear()
    acting.generate(page)
    acting.status(page, "Step 1 of 6")
    expect(page.locator("#forming img")).to_be_visible()
    expect(page.locator("#generate")).to_be_disabled()
    shoot(page, "desktop-light-running")
    studio.painter.gate.set()
    acting.status(page, "Done in")
    acting.pictures(page, 1)
    for told in ("red hat", "Likeness", "Seed"):
        expect(page.locator("#details")).to_contain_text(told)
    shoot(page, "desktop-light-finished")
    with page.expect_download() as saved:
        page.locator("#download").click()
    path = tmp_path / "saved.png"
    saved.value.save_as(path)
    told = json.loads(Image.open(path).info["facesnap"])
    assert saved.value.suggested_filename == f"portrait-{told['seed']}.png"
    assert told["prompt"] == "red hat"
    assert told["num_inference_steps"] == 6


def test_cancel_stops(studio: Studio, open_page: Open, shoot: Shoot, photo: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    acting.describe(page, "red hat")
    acting.generate_and_hold(page, studio.painter.gate, 50)
    page.locator("#cancel").click()
    acting.status(page, words.CANCELLING)
    studio.painter.gate.set()
    acting.status(page, words.CANCELLED)
    assert max(studio.painter.steps) < 50
    assert [job.state for job in studio.service.jobs()] == [JobState.cancelled]
    expect(page.locator("#cancel")).to_be_hidden()
    expect(page.locator("#empty")).to_be_visible()
    shoot(page, "desktop-light-cancelled")
    acting.generate(page)  # and the next one runs
    acting.status(page, "Done in")


def test_what_is_missing_is_said(studio: Studio, open_page: Open, shoot: Shoot, photo: Path, wall: Path) -> None:
    page = open_page(studio)
    acting.generate(page)
    acting.status(page, words.NO_PERSON)
    acting.add_photo(page, photo)
    acting.generate(page)
    acting.status(page, words.NO_CONSENT)
    assert not studio.service.identities()
    shoot(page, "desktop-light-error")
    acting.consent(page)
    expect(page.locator("#map img")).to_be_visible()
    acting.generate(page)
    acting.status(page, words.NO_PROMPT)
    page.locator("#forget").click()
    expect(page.locator("#person-note")).to_contain_text(words.WHO_GONE)
    expect(page.locator("#map img")).to_have_count(0)
    assert not studio.service.identities()
    acting.add_photo(page, wall)
    acting.consent(page)
    expect(page.locator("#person-note")).to_contain_text("No face")
    assert not studio.service.jobs()


def test_without_consent_the_person_is_forgotten(studio: Studio, open_page: Open, photo: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    assert len(studio.service.identities()) == 1
    page.locator("#consent input").uncheck()
    expect(page.locator("#map img")).to_have_count(0)
    assert not studio.service.identities()


def test_busy_queue(studio: Studio, open_page: Open, shoot: Shoot, photo: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    acting.describe(page, "red hat")
    identity = studio.service.identities()[0].id
    studio.painter.gate.clear()
    first = studio.service.submit(GenerationRequest(identity=identity, prompt="red hat"), "another")
    wait_until(lambda: studio.service.job(first.id).state is JobState.running)
    waiting = studio.service.submit(GenerationRequest(identity=identity, prompt="red hat"), "one more")
    acting.generate(page)
    expect(page.locator("#status .fs-bad")).to_be_visible()
    line = page.locator("#status").inner_text()
    assert "queue" in line
    assert "Traceback" not in line
    shoot(page, "desktop-light-busy")
    studio.service.cancel(waiting.id)
    acting.generate(page)
    acting.status(page, words.QUEUED_NEXT)
    shoot(page, "desktop-light-queued")
    studio.painter.gate.set()
    acting.status(page, "Done in")


def test_two_tabs(studio: Studio, open_page: Open, photo: Path) -> None:
    first, second = open_page(studio), open_page(studio)
    acting.bring(first, photo)
    acting.describe(first, "green hat")
    acting.generate(first)
    acting.status(first, "Done in")
    acting.pictures(first, 1)
    expect(second.locator("#empty")).to_be_visible()
    expect(second.locator("#map img")).to_have_count(0)
    acting.generate(second)
    acting.status(second, words.NO_PERSON)
    acting.bring(second, photo)
    acting.describe(second, "blue hat")
    acting.generate(second)
    acting.status(second, "Done in")
    expect(second.locator("#details")).to_contain_text("blue")
    acting.pictures(second, 1)
    expect(first.locator("#details")).to_contain_text("green")
    assert len(studio.service.identities()) == 2


def test_one_of_two_faces(studio: Studio, open_page: Open, shoot: Shoot, couple: Path) -> None:
    page = open_page(studio)
    acting.add_photo(page, couple)
    expect(page.locator(".fs-numbered img").first).to_be_visible()
    acting.consent(page)
    expect(page.locator("#map img")).to_be_visible()
    first = studio.service.identities()[0]
    shoot(page, "desktop-light-faces", whole=True)
    page.locator("#face-1 label", has_text="Face 2").click()
    wait_until(lambda: [each.id for each in studio.service.identities()] not in ([], [first.id]))
    assert len(studio.service.identities()) == 1


def test_identity_files(studio: Studio, open_page: Open, photo: Path, tmp_path: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    with page.expect_download() as saved:
        page.locator("#save-identity").click()
    path = tmp_path / "me.identity.safetensors"
    saved.value.save_as(path)
    assert Identity.load(path).photos == 1
    other = open_page(studio)
    acting.load_identity(other, path)
    expect(other.locator("#person-note")).to_contain_text("Consent is missing")
    acting.consent(other)
    acting.load_identity(other, path)
    expect(other.locator("#person-note")).to_contain_text("me is ready, from an identity file")
    expect(other.locator("#map img")).to_be_visible()
    acting.load_identity(other, photo)
    expect(other.locator("#person-note .fs-bad")).to_be_visible()


def test_results_go_on(studio: Studio, open_page: Open, shoot: Shoot, photo: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    acting.describe(page, "red hat")
    acting.generate(page)
    acting.status(page, "Done in")
    acting.unfold(page, "advanced")
    page.locator("#same-seed").click()
    acting.status(page, "is set")
    seed = page.locator("#seed input").input_value()
    expect(page.locator("#details")).to_contain_text(seed)
    acting.generate(page)
    acting.pictures(page, 2)
    assert page.locator("#results").inner_text().count(seed) >= 1
    page.locator("#compare-this").click()
    expect(page.locator("#comparison")).to_be_visible()
    expect(page.locator("#compare-first img")).to_be_visible()
    expect(page.locator("#compare-second img")).to_be_visible()
    shoot(page, "desktop-light-compare")
    page.locator("#compare-second input[type=file]").set_input_files(photo)
    page.locator("#compare").click()
    expect(page.locator("#comparison strong")).to_have_text("1.00")
    expect(page.locator("#comparison")).to_contain_text("tiny-judge")


def test_a_pose_from_a_photo(studio: Studio, open_page: Open, photo: Path) -> None:
    page = open_page(studio)
    acting.bring(page, photo)
    before = acting.the_map(page)
    acting.unfold(page, "driving")
    page.locator("#driver input[type=file]").set_input_files(photo)
    expect(page.locator("#pose-note")).to_contain_text(words.DRIVER_DONE)
    acting.map_changes(page, before)
    page.locator("#reset-pose").click()
    expect(page.locator("#map img")).to_have_attribute("src", before)


@pytest.mark.parametrize(
    ("prompt", "part", "outcome"),
    [
        ("<b>${1+1}</b>", "#details", "Done in"),
        ("<img src=x onerror=alert(1)> <script>alert(1)</script>", "#status", "The prompt is longer"),
    ],
)
def test_prompts_stay_text(studio: Studio, open_page: Open, photo: Path, prompt: str, part: str, outcome: str) -> None:
    page = open_page(studio)
    page.on("dialog", lambda dialog: pytest.fail("a prompt ran as a script"))
    acting.bring(page, photo)
    acting.describe(page, prompt)
    acting.generate(page)
    acting.status(page, outcome)
    expect(page.locator(part)).to_contain_text(prompt[-9:])
    assert page.locator("#details b, #status img, #status script").count() == 0
