from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from facesnap.core.errors import ImageError, InputError, OutputError, UsageError
from facesnap.world import shards
from facesnap.world.shards import SPLIT_SPAN, SPLITS, iterate_shards, read_shards, render_split


@pytest.fixture
def small(monkeypatch, renderer):
    """Small shards, and the session's renderer instead of one more for this process."""
    monkeypatch.setattr(shards, "PEOPLE_PER_SHARD", 2)
    monkeypatch.setattr(shards, "_renderer", lambda size: renderer)


@pytest.fixture
def painted(monkeypatch):
    """Small shards of pictures that need no OpenGL."""

    def pictures(job):
        png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
        for person in range(job.first, job.first + job.people):
            for index in range(job.settings.images_per_person):
                labels = json.dumps({"person_id": person, "index": index}).encode()
                yield f"{person:07d}_{index:04d}", png, labels

    monkeypatch.setattr(shards, "PEOPLE_PER_SHARD", 2)
    monkeypatch.setattr(shards, "_pictures", pictures)


def test_splits_cannot_meet():
    starts = sorted(SPLITS.values())
    assert all(b - a >= SPLIT_SPAN for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize("counts", [(3, 4), (3, 7), (7, 3), (5, 2, 3)])
def test_only_the_people_asked_for_last_are_read(painted, tmp_path, counts):
    for people in counts:
        folder = render_split(tmp_path, "val", people, images_per_person=2, workers=1)
        read = [(labels["person_id"] - SPLITS["val"], labels["index"]) for _, labels in iterate_shards(folder)]
        assert read == list(itertools.product(range(people), range(2)))


def test_shards_without_a_description_are_all_read(painted, tmp_path):
    folder = render_split(tmp_path, "val", 3, images_per_person=1, workers=1)
    (folder / "dataset.json").unlink()
    assert len(list(iterate_shards(folder))) == 3


@pytest.mark.parametrize("text", ["{", "3", '{"split": "val"}'])
def test_a_damaged_description_is_named(painted, tmp_path, text):
    folder = render_split(tmp_path, "val", 1, images_per_person=1, workers=1)
    (folder / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset\.json"):
        next(iterate_shards(folder))


def test_nothing_is_printed_without_a_terminal(painted, tmp_path, capsys):
    render_split(tmp_path, "val", 3, images_per_person=1, workers=1)
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_cannot_be_made_is_named(painted, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't make the folder"):
        render_split(tmp_path / "file", "val", 1, images_per_person=1, workers=1)


@pytest.mark.parametrize("ending", [OutputError("full disk"), KeyboardInterrupt(), None])
def test_an_early_end_starts_no_other_shard(monkeypatch, tmp_path, ending):
    started, ended = [], threading.Event()

    def render(job):
        started.append(job)
        if job is jobs[0]:
            ended.set()
            if ending is not None:
                raise ending
        ended.wait(10)
        return 1

    jobs = shards._jobs(tmp_path, shards.Settings("val", 1, 0, "cpu", 4), 20 * shards.PEOPLE_PER_SHARD)
    monkeypatch.setattr(shards, "ProcessPoolExecutor", lambda workers, **options: ThreadPoolExecutor(workers))
    monkeypatch.setattr(shards, "render_shard", render)
    running = shards._run(jobs, workers=2)
    if ending is None:  # whoever takes the results stops
        assert next(running) == 1
        running.close()
    else:
        with pytest.raises(type(ending)):
            list(running)
    assert len(started) < len(jobs)


@pytest.mark.world
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


@pytest.mark.world
@pytest.mark.slow
def test_worker_count_does_not_change_bytes(small, tmp_path):
    one = render_split(tmp_path / "one", "test", people=4, images_per_person=2, workers=1)
    two = render_split(tmp_path / "two", "test", people=4, images_per_person=2, workers=2)
    for path in one.glob("*.tar"):
        assert path.read_bytes() == (two / path.name).read_bytes()


@pytest.mark.world
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
