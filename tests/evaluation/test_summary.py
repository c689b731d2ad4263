"""The table's arithmetic on people whose numbers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from facesnap.evaluation.metrics import Interval
from facesnap.evaluation.records import Record, Seen
from facesnap.evaluation.summary import Columns, summarise


def table(fakes: ModuleType, records: Sequence[Record]) -> dict[tuple[str, str], Interval]:
    texts = np.stack([fakes.unit(r.trial.person) for r in records])
    rows = summarise(records, texts, ["facesnap", "base"], seed=0)
    return {(row.key, column): interval for row in rows for column, interval in row.cells.items()}


@pytest.fixture
def cells(fakes: ModuleType) -> dict[tuple[str, str], Interval]:
    """Four people: FaceSnap right and 5 px off; the base always shows person 0, 20 px off."""
    return table(fakes, [fakes.record(i, fakes.seen(i, 5.0), fakes.seen(0, 20.0)) for i in range(4)])


def value(cells: dict[tuple[str, str], Interval], key: str, column: str) -> float:
    return cells[key, column].value


def test_identity(cells: dict[tuple[str, str], Interval]) -> None:
    assert [value(cells, "rank1", c) for c in ("facesnap", "base", "real", "chance")] == [1, 0.25, 1, 0.25]
    assert value(cells, "rank1_over_chance", "facesnap") == 4
    for key in ("facesim_reference", "facesim_other"):
        assert [value(cells, key, c) for c in ("facesnap", "base", "real", "chance")] == [1, 0.25, 1, 0]


def test_shares_have_an_interval_even_at_their_ends(cells: dict[tuple[str, str], Interval]) -> None:
    assert cells["rank1", "facesnap"].high == 1
    assert cells["rank1", "facesnap"].low == pytest.approx(0.5101, abs=1e-4)  # 4 of 4
    assert cells["rank1_over_chance", "facesnap"].low == pytest.approx(4 * 0.5101, abs=1e-3)
    for key, column in (("no_face", "facesnap"), ("no_face", "real"), ("refused", "base")):
        assert (cells[key, column].value, cells[key, column].low) == (0, 0)
        assert cells[key, column].high == pytest.approx(1 - 0.5101, abs=1e-4)


def test_landmarks_and_pose(cells: dict[tuple[str, str], Interval]) -> None:
    assert [value(cells, "nme", c) for c in ("facesnap", "base", "real")] == pytest.approx([0.1, 0.4, 0.02])
    assert value(cells, "nme_ratio", "facesnap") == pytest.approx(4)
    assert value(cells, "nme_labels", "real") == pytest.approx(0.02)
    assert value(cells, "nme_request", "real") == 0
    assert [value(cells, "yaw", c) for c in ("facesnap", "base", "real")] == pytest.approx([5, 20, 1])
    assert value(cells, "roll", "base") == 0


def test_prompts(cells: dict[tuple[str, str], Interval]) -> None:
    assert [value(cells, "clip_t", c) for c in ("facesnap", "base", "real", "chance")] == [1, 0.25, 1, 0]


def test_a_miss_never_helps(fakes: ModuleType) -> None:
    clean = [fakes.record(i, fakes.seen(i, 5.0), fakes.seen(0, 20.0)) for i in range(3)]
    no_face = fakes.record(3, fakes.seen(3, found=False), fakes.seen(0, 20.0))
    refused = fakes.record(4, None, fakes.seen(0, 20.0), {"facesnap": "no face found"})
    cells = table(fakes, [*clean, no_face, refused])
    assert value(cells, "rank1", "facesnap") == pytest.approx(3 / 5)
    assert value(cells, "facesim_reference", "facesnap") == pytest.approx(3 / 5)
    assert cells["facesim_reference_found", "facesnap"] == Interval(1, 1, 1, 3)
    assert value(cells, "nme", "facesnap") == pytest.approx((3 * 0.1 + 2 * 1.0) / 5)
    assert cells["nme_found", "facesnap"].count == 3
    assert value(cells, "clip_t", "facesnap") == pytest.approx(4 / 5)
    assert value(cells, "no_face", "facesnap") == pytest.approx(1 / 5)
    assert value(cells, "refused", "facesnap") == pytest.approx(1 / 5)
    assert value(cells, "refused", "base") == 0


def test_a_method_that_never_shows_a_face_still_gets_its_row(fakes: ModuleType) -> None:
    cells = table(fakes, [fakes.record(i, fakes.seen(i), fakes.seen(i, found=False)) for i in range(3)])
    assert value(cells, "rank1", "base") == 0
    assert value(cells, "nme", "base") == 1
    assert cells["nme_found", "base"].count == 0


def test_the_gallery_is_the_mean_of_the_pictures_with_a_face(fakes: ModuleType) -> None:
    people = [fakes.record(i, fakes.seen(i), fakes.seen(0)) for i in range(3)]
    people[1].seen["gallery_0"] = fakes.seen(1, found=False)  # type: ignore[index]
    assert value(table(fakes, people), "rank1", "facesnap") == 1
    people[1].seen["gallery_1"] = fakes.seen(1, found=False)  # type: ignore[index]
    assert value(table(fakes, people), "rank1", "facesnap") == pytest.approx(2 / 3)
    people[2].seen["gallery_0"] = fakes.seen(5)  # type: ignore[index]  # half of the template is somebody else
    gallery = Columns(people, seed=0).gallery()
    np.testing.assert_allclose(gallery[2], (fakes.unit(2) + fakes.unit(5)) / np.sqrt(2))
    assert np.isnan(gallery[1]).all()


def test_expression_and_verification_are_told_where_they_can_be(fakes: ModuleType) -> None:
    def seen(person: int) -> Seen:
        asked = fakes.trial().pose.weights()
        return replace(fakes.seen(person), expression=asked + 0.1, embedding=fakes.unit(person, 40))

    def record(person: int) -> Record:
        made = fakes.record(person, seen(person), seen(0))
        return replace(made, seen={name: seen(person) if name != "base" else seen(0) for name in made.seen})

    cells = table(fakes, [record(person) for person in range(40)])
    assert value(cells, "expression", "facesnap") == pytest.approx(0.1)
    assert value(cells, "verified", "facesnap") == value(cells, "verified", "real") == 1
    assert value(cells, "verified", "base") == pytest.approx(1 / 40)
    assert value(cells, "verified", "chance") == 0.001
    few = table(fakes, [fakes.record(i, fakes.seen(i), fakes.seen(0)) for i in range(4)])
    assert not {key for key, _ in few} & {"expression", "verified"}
