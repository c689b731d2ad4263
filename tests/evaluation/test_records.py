"""A run that stopped goes on where it was; results of other settings are never mixed in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facesnap.core.errors import OutputError
from facesnap.evaluation.protocol import Protocol, Trial
from facesnap.evaluation.records import Ledger, Record

PICTURE = np.full((8, 8, 3), 127, dtype=np.uint8)


def protocol(fakes: ModuleType, people: int = 3) -> Protocol:
    return Protocol("mini", 0, "test", 128, 20, 3.0, tuple(fakes.trial(i) for i in range(people)))


def keep(fakes: ModuleType, ledger: Ledger, person: int) -> Record:
    result = fakes.record(person, fakes.seen(person, 5.0), fakes.seen(0, found=False))
    for picture in result.seen:
        ledger.save_image(person, picture, PICTURE)
    ledger.append(result)
    return result


def test_a_protocol_survives_json(fakes: ModuleType) -> None:
    plain = json.loads(json.dumps(protocol(fakes).to_json()))
    assert Protocol.from_json(plain).to_json() == protocol(fakes).to_json()
    assert Trial.from_json(plain["trials"][0]).pose == fakes.trial(0).pose


def test_reference_and_target_must_differ(fakes: ModuleType) -> None:
    with pytest.raises(ValueError, match="different renders"):
        replace(fakes.trial(), reference=1)


def test_the_hash_follows_settings_and_not_the_number_of_people(fakes: ModuleType) -> None:
    assert protocol(fakes, 2).hash_with(judge="a") == protocol(fakes, 3).hash_with(judge="a")
    assert protocol(fakes).hash_with(judge="a") != protocol(fakes).hash_with(judge="b")
    assert protocol(fakes).hash_with() != replace(protocol(fakes), steps=21).hash_with()


def test_results_are_read_back_as_they_were(fakes: ModuleType, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "abc")
    kept = keep(fakes, ledger, 1)
    read = Ledger(tmp_path, "abc").read(protocol(fakes).trials)
    assert read.keys() == {1}
    assert read[1].to_json() == kept.to_json()
    assert not read[1].seen["base"].found
    np.testing.assert_array_equal(ledger.load_image(1, "facesnap"), PICTURE)


def test_other_settings_other_trials_and_cut_lines_are_dropped(fakes: ModuleType, tmp_path: Path) -> None:
    keep(fakes, Ledger(tmp_path, "old"), 0)
    keep(fakes, Ledger(tmp_path, "new"), 1)
    keep(fakes, Ledger(tmp_path, "new"), 2)
    with open(tmp_path / "people.jsonl", "a", encoding="utf-8") as file:
        file.write('{"settings": "new", "tri')
    trials = (fakes.trial(0), fakes.trial(1), replace(fakes.trial(2), seed=99))
    assert Ledger(tmp_path, "new").read(trials).keys() == {1}
    assert len((tmp_path / "people.jsonl").read_text().splitlines()) == 1


def test_a_result_whose_picture_is_gone_is_made_again(fakes: ModuleType, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "abc")
    keep(fakes, ledger, 0)
    ledger.image_path(0, "facesnap").unlink()
    assert ledger.read(protocol(fakes).trials) == {}


def test_fewer_people_do_not_lose_the_others(fakes: ModuleType, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "abc")
    for person in range(3):
        keep(fakes, ledger, person)
    assert ledger.read(protocol(fakes, 1).trials).keys() == {0}
    assert ledger.read(protocol(fakes, 3).trials).keys() == {0, 1, 2}


def test_an_unwritable_folder_is_said(fakes: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Ledger(tmp_path / "file", "abc")
