from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError
from tests.serving.scripted import png, request

from facesnap.core.errors import BusyError, NoFaceError
from facesnap.serving.requests import PoseRequest
from facesnap.serving.studio import attempt, showing, words
from facesnap.serving.studio.visit import Shot

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&"


def shot(**values: object) -> Shot:
    report = {"identity": 0.5, "judge": EVIL, "pose_error": 3.04, "landmark_nme": 0.06, "note": EVIL}
    return Shot("/nowhere.png", (64, 80), 7, request(prompt=EVIL, negative_prompt=EVIL), report, EVIL, "job")


@pytest.mark.parametrize(
    "html",
    [
        showing.line(EVIL, "bad"),
        showing.heading(EVIL, 1),
        showing.landmark_map(b"png", EVIL),
        showing.forming(EVIL, EVIL, 0.5),
        showing.details(shot()),
        showing.comparison(0.3, EVIL),
    ],
)
def test_nothing_from_outside_becomes_markup(html: str) -> None:
    assert "<script" not in html
    assert "<img src=x" not in html
    assert not re.search(r'="[^"]*"[^ >/]', html)  # no attribute was left early


def test_details_say_what_made_a_picture() -> None:
    html = showing.details(shot())
    for told in ("0.50", "3.0°", "6%", "64 × 80", ">7<"):
        assert told in html
    unmeasured = Shot(
        "/nowhere.png", (64, 64), 7, request(), {"identity": None, "note": "no face found"}, "default", "job"
    )
    assert f"{words.LIKENESS_NONE} (no face found)" in showing.details(unmeasured)


def test_sizes_come_from_the_header() -> None:
    assert showing.size_of(png(side=40)) == (40, 40)


def test_faces_are_numbered_on_the_photo() -> None:
    photo = np.full((2000, 1000, 3), 200, np.uint8)
    html = showing.numbered(photo, [(100, 100, 400, 500), (500, 900, 700, 1100)], 3)
    assert 'alt="Photo 3 with its faces numbered from 1 to 2"' in html
    assert len(html) < 60_000


def test_errors_become_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def fails(error: Exception) -> str:
        def work() -> None:
            raise error

        made, line = attempt.attempt(work)
        assert made is None
        assert "\n" not in line
        return line

    assert fails(NoFaceError("no face\nwas found")) == "No face was found."
    assert fails(BusyError("the queue is full")) == "The queue is full."
    assert not caplog.records
    with pytest.raises(ValidationError) as wrong:
        PoseRequest(yaw=99)
    assert fails(wrong.value) == "Yaw=99 is out of range: use -60 to 60 degrees."
    assert fails(KeyError("secret")) == words.INTERNAL
    assert "secret" in caplog.text
    assert attempt.attempt(lambda: 3) == (3, "")
