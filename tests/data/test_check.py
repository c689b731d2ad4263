from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.data.examples import example

from facesnap.core.errors import InputError
from facesnap.data.check import check
from facesnap.data.layout import DESCRIPTION, DatasetInfo, SplitInfo, encode, key_of, read_dataset, shard_name
from facesnap.data.shards import write_shard
from facesnap.data.stats import as_text, statistics_of


def _sample(person, index, **other):
    return example(10 * person + index, key=key_of(person, index), person=f"p{person}", **other)


def _write(folder, split, number, examples):
    write_shard(folder / shard_name(split, number), [(each.key, encode(each)) for each in examples])


@pytest.fixture
def made(tmp_path):
    _write(tmp_path, "train", 0, [_sample(person, index) for person in (0, 1) for index in (0, 1)])
    _write(tmp_path, "val", 0, [_sample(2, 0), _sample(2, 1)])
    splits = {"train": SplitInfo(2, 4, 1), "val": SplitInfo(1, 2, 1)}
    (tmp_path / DESCRIPTION).write_bytes(DatasetInfo(32, 2, splits, {"face": "f@1"}).to_json())
    return tmp_path


def _said(folder):
    lines = []
    found = check(folder, lines.append)
    assert found.damages == len(lines)
    return [line.removeprefix(f"{folder}/") for line in lines]


def test_a_whole_data_set_is_whole(made):
    assert _said(made) == []


def test_a_missing_shard_and_a_foreign_one(made):
    (made / "val-000000.tar").rename(made / "val-000007.tar")
    said = _said(made)
    assert said[0] == "val-000000.tar: is missing"
    assert said[-1] == "val-000007.tar: is not named in dataset.json"
    assert "dataset.json: val has 0 photos, not 2" in said


def test_a_cut_shard(made):
    path = made / "train-000000.tar"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    assert _said(made)[0].startswith("train-000000.tar: is damaged after 000000")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"size": 40}, "the picture is 40 x 40, not 32 x 32"),
        ({"f_id": np.ones((2, 8), np.float16)}, "f_id is no unit vector"),
        ({"f_clip": np.full((2, 5, 12), np.nan)}, "f_clip is not finite"),
        ({"f_clip": np.zeros((2, 6, 12))}, "f_clip has shape (2, 6, 12), elsewhere (2, 5, 12)"),
        ({"f_id": np.eye(1, 8), "f_clip": np.zeros((1, 5, 12))}, "it has 1 views, not 2"),
        ({"landmarks": np.full((72, 2), 90.0)}, "only 0% of the landmarks lie in the picture"),
        ({"captions": ()}, "is damaged: it has no caption"),
    ],
)
def test_a_sample_that_is_wrong(made, other, said):
    _write(made, "val", 0, [_sample(2, 0), _sample(2, 1, **other)])
    assert f"val-000000.tar: 0000002-00001: {said}" in _said(made)


def test_people_in_two_places(made):
    _write(made, "val", 0, [_sample(2, 0), dataclasses.replace(_sample(2, 1), person="p1")])
    assert "val-000000.tar: 0000002-00001: p1 is in train-000000.tar too" in _said(made)
    _write(made, "train", 0, [_sample(0, 0), _sample(1, 0), _sample(0, 1), _sample(1, 1)])
    assert "train-000000.tar: 0000000-00001: the photos of p0 are apart" in _said(made)
    _write(made, "train", 0, [_sample(0, 0), _sample(1, 0), _sample(0, 0), _sample(1, 1)])
    assert "train-000000.tar: 0000000-00000: is there twice, or its members are apart" in _said(made)


def test_members_that_do_not_belong(made):
    one = _sample(2, 0)
    write_shard(made / "val-000000.tar", [(one.key, {**encode(one), "exe": b"?"})])
    assert _said(made)[0] == "val-000000.tar: 0000002-00000.exe: does not belong here"


def test_no_data_set_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match="no prepared data set"):
        check(tmp_path, print)


def test_statistics_are_of_the_shards(made):
    found = statistics_of(made)
    assert (found["people"], found["photos"]) == (3, 6)
    assert found["yaw"] == {"p0": 10.0, "p5": 10.0, "p50": 10.0, "p95": 10.0, "p100": 10.0}
    assert found["photos_per_person"]["p50"] == 2
    assert found["licences"] == {"CC0": 6}
    assert found["consents"] == {"yes": 6}
    text = as_text(found)
    assert text.startswith("6 photos of 3 people (train 2 people 4 photos, val 1 people 2 photos)\n32 pixels, 2 views")
    assert "       6 a photo of a person" in text
    assert read_dataset(made).views == found["views"]


def test_statistics_of_damage_name_it(made):
    one = _sample(2, 0)
    write_shard(made / "val-000000.tar", [(one.key, {**encode(one), "json": b"{}"})])
    with pytest.raises(InputError, match=r"val-000000\.tar is damaged at 0000002-00000"):
        statistics_of(made)
