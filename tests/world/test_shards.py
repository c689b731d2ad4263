from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from facesnap.core.errors import ImageError, InputError, OutputError, UsageError
from facesnap.world import shards
from facesnap.world.shards import SPLIT_SPAN, SPLITS, read_shards, render_split

pytestmark = pytest.mark.world


@pytest.fixture
def small(monkeypatch, renderer):
    """Small shards, and the session's renderer instead of one more for this process."""
    monkeypatch.setattr(shards, "PEOPLE_PER_SHARD", 2)
    monkeypatch.setattr(shards, "_renderer", lambda size: renderer)


def test_splits_cannot_meet():
    starts = sorted(SPLITS.values())
    assert all(b - a >= SPLIT_SPAN for a, b in itertools.pairwise(starts))


def test_round_trip_and_resume(small, tmp_path):
    folder = render_split(tmp_path, "val", people=3, images_per_person=2, workers=1)
    paths = sorted(folder.glob("*.tar"))
    assert [p.name for p in paths] == ["val-2000000-02.tar", "val-2000002-01.tar"]
    data = read_shards(folder)
    assert data.images.shape == (6, 128, 128, 3)
    assert data.images.dtype == np.uint8
    assert data.person.tolist() == [2000000, 2000000, 2000001, 2000001, 2000002, 2000002]
    assert data.landmarks2d.shape == (6, 72, 2)
    assert data.expression.shape == (6, 53)
    assert len(data.captions[0]) == 3
    assert len(read_shards(folder, limit=4)) == 4
    before = paths[0].read_bytes()
    stamp = paths[0].stat().st_mtime_ns
    paths[1].unlink()
    render_split(tmp_path, "val", people=3, images_per_person=2, workers=1)
    assert paths[0].stat().st_mtime_ns == stamp
    assert paths[1].exists()
    assert not list(folder.glob(".*"))
    other = render_split(tmp_path / "other", "val", people=3, images_per_person=2, workers=1)
    assert (other / paths[0].name).read_bytes() == before
    assert json.loads((folder / "dataset.json").read_text())["people"] == 3


@pytest.mark.slow
def test_worker_count_does_not_change_bytes(small, tmp_path):
    one = render_split(tmp_path / "one", "test", people=4, images_per_person=2, workers=1)
    two = render_split(tmp_path / "two", "test", people=4, images_per_person=2, workers=2)
    for path in one.glob("*.tar"):
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_mistakes_are_named(small, tmp_path):
    with pytest.raises(UsageError, match="unknown split"):
        render_split(tmp_path, "exam", 1, 1)
    with pytest.raises(UsageError, match="unknown preset"):
        render_split(tmp_path, "val", 1, 1, preset="huge")
    with pytest.raises(InputError, match="no shards"):
        read_shards(tmp_path)
    folder = render_split(tmp_path, "val", people=1, images_per_person=1, workers=1)
    with pytest.raises(OutputError, match="size=128"):
        render_split(tmp_path, "val", people=1, images_per_person=1, workers=1, size=64)
    path = next(folder.glob("*.tar"))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ImageError, match=path.name):
        read_shards(folder)
