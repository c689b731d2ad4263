"""The embedded model on canvases wider than its own: two people side by side, and faces that are small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesnap import FaceSnap, Pose, Subject
from facesnap.core.errors import FaceSnapError
from facesnap.core.identity import Identity
from facesnap.faces.align import align
from facesnap.pipelines.passes.small_faces import SmallFaces

PHOTO = Path(__file__).resolve().parents[1] / "examples" / "eileen_collins.jpg"
#: Three people of the split ``test`` who look unlike each other.
TEST_PEOPLE = (2_000_000, 2_000_001, 2_000_003)

pytestmark = pytest.mark.mini


@pytest.fixture(scope="module")
def snap() -> FaceSnap:
    return FaceSnap.from_pretrained("mini", device="cpu")


@pytest.fixture(scope="module")
def people(snap: FaceSnap) -> list[tuple[Identity, np.ndarray]]:
    """Identities of rendered people, and how the judge sees them."""
    pytest.importorskip("moderngl", reason="portrait world not there: pip install facesnap[world]")
    from facesnap.world.moments import sample_conditions
    from facesnap.world.people import sample_person
    from facesnap.world.render.renderer import Renderer

    try:
        renderer = Renderer(snap.size()[0])
    except FaceSnapError as error:
        pytest.skip(f"portrait world not there: {error}")
    plain = {"style": "photo", "yaw": 0.0, "occluder": "none", "glasses": "none", "light": "soft"}
    found = []
    for number in TEST_PEOPLE:
        person = sample_person(0, number)
        photo = renderer.render(person, replace(sample_conditions(0, person, 0, "cpu"), **plain)).image
        found.append((snap.enroll(photo), judged(snap, photo)))
    return found


def judged(snap: FaceSnap, picture: np.ndarray) -> np.ndarray:
    """The largest face as the judge sees it."""
    assert snap.judge is not None
    face = snap.analyser.detector.detect(picture)[0]
    return snap.judge.encode([align(picture, face.points5)])[0]


@pytest.mark.world
@pytest.mark.slow
@pytest.mark.parametrize(("left", "right"), [(0, 1), (1, 0), (2, 0)])
def test_two_people_are_each_their_own(
    snap: FaceSnap, people: list[tuple[Identity, np.ndarray]], left: int, right: int
) -> None:
    side = snap.size()[0]
    here = Subject(people[left][0], Pose(yaw=8), region=(0, 0, side, side))
    there = Subject(people[right][0], Pose(yaw=-8), region=(side, 0, 2 * side, side))
    made = snap("a portrait of two people", [here, there], width=2 * side, height=side, seed=1)
    picture = np.asarray(made.images[0])
    for half, own, other in ((picture[:, :side], left, right), (picture[:, side:], right, left)):
        seen = judged(snap, half)
        assert seen @ people[own][1] > seen @ people[other][1] + 0.1
    assert all(report.pose_error is not None and report.pose_error < 15 for report in made.report)


@pytest.mark.slow
def test_a_small_face_on_a_wide_canvas_is_made_anew(snap: FaceSnap) -> None:
    me, side = snap.enroll(PHOTO), snap.size()[0]
    found = []
    for again in (False, SmallFaces(under=0.5)):
        made = snap(
            "a portrait of a person in a red jacket",
            me,
            Pose(yaw=10, scale=0.4),
            seed=2,
            width=2 * side,
            height=side,
            small_faces=again,
        )
        found += made.report
    first, second = (1.0 if report.landmark_nme is None else report.landmark_nme for report in found)
    assert second < min(0.08, first)
