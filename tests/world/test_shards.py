from __future__ import annotations

import json
import re
import resource
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from facesnap.cli import app
from facesnap.core.errors import InputError, OutputError, UsageError
from facesnap.world.datasets import shards, splits
from facesnap.world.datasets.reading import read_shards
from facesnap.world.datasets.shards import render_split

RANGES = {"preset": "cpu", "size": 128}


@pytest.fixture
def small(monkeypatch, renderer):
    """Small shards, and the session's renderer instead of one more for this process."""
    monkeypatch.setattr(splits, "PEOPLE_PER_SHARD", 2)
    monkeypatch.setattr(shards, "_renderer", lambda size: renderer)


def test_nothing_is_printed_without_a_terminal(painted, tmp_path, capsys):
    render_split(tmp_path, "val", 3, images_per_person=1, workers=1)
    assert capsys.readouterr() == ("", "")


def test_a_picture_has_three_members_that_tell_nothing_of_the_machine(painted, tmp_path):
    folder = render_split(tmp_path, "val", 1, images_per_person=1, workers=1)
    with tarfile.open(next(folder.glob("*.tar"))) as tar:
        members = tar.getmembers()
    assert sorted(m.name for m in members) == [f"2000000_0000.{end}" for end in ("json", "png", "seg.png")]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


def test_finished_shards_are_kept_and_missing_ones_made(painted, tmp_path):
    folder = render_split(tmp_path, "val", 3, images_per_person=2, workers=1)
    first, second = sorted(folder.glob("*.tar"))
    content, stamp = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    said = []
    render_split(tmp_path, "val", 3, images_per_person=2, workers=1, say=said.append)
    assert said == ["2 pictures rendered, 4 kept from before"]
    assert first.stat().st_mtime_ns == stamp
    assert second.read_bytes() == content
    assert not list(folder.glob(".*"))


def _without_a_map(content):
    """The shard's first class map under another name, its header's checksum set right."""
    name, other = b"2000000_0000.seg.png", b"2000000_0000.sog.png"
    start = content.index(name)
    info = tarfile.TarInfo.frombuf(content[start : start + 512], "utf-8", "strict")
    info.name = other.decode()
    return content[:start] + info.tobuf() + content[start + 512 :]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: b"", "empty file"),
        (lambda content: content[:100], "truncated header"),
        (lambda content: content[:2000], "unexpected end of data"),
        (lambda content: b"\0" * len(content), "lacks 12 of 12 files"),
        (lambda content: content[:512] + b"?" * (len(content) - 512), "lacks 11 of 12 files"),
        (_without_a_map, "lacks 1 of 12 files"),
    ],
)
def test_a_damaged_shard_is_rendered_anew(painted, tmp_path, caplog, damage, said):
    folder = render_split(tmp_path, "val", 4, images_per_person=2, workers=1)
    first, second = sorted(folder.glob("*.tar"))
    content, stamp = first.read_bytes(), second.stat().st_mtime_ns
    first.write_bytes(damage(content))
    render_split(tmp_path, "val", 4, images_per_person=2, workers=1)
    assert first.read_bytes() == content
    assert second.stat().st_mtime_ns == stamp
    (line,) = caplog.messages
    assert re.fullmatch(rf"{first} is damaged \(({said})\): it is rendered anew", line)


def test_the_command_says_what_is_new_and_prints_the_folder_alone(painted, tmp_path, capsys):
    pytest.importorskip("moderngl")
    arguments = ["world", "render", "-o", str(tmp_path), "--split", "val", "--images-per-person", "1", "--workers", "1"]
    arguments += ["--people", "1"]
    for said in ("1 picture rendered, 0 kept", "0 pictures rendered, 1 kept"):
        assert app.run(arguments) == 0
        captured = capsys.readouterr()
        assert captured.out == f"{tmp_path / 'val'}\n"
        assert captured.err == f"{said} from before\n"
    next((tmp_path / "val").glob("*.tar")).write_bytes(b"")
    assert app.run(arguments) == 0
    note, end = capsys.readouterr().err.splitlines()
    assert note.startswith("note: ")
    assert note.endswith("val-2000000-01.tar is damaged (empty file): it is rendered anew")
    assert end == "1 picture rendered, 0 kept from before"


def test_shards_that_nothing_describes_are_not_mixed(painted, tmp_path):
    folder = render_split(tmp_path, "val", 3, images_per_person=1, workers=1)
    (folder / "dataset.json").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for people in (3, 8):
        with pytest.raises(OutputError, match=r"holds 2 shards, but no dataset\.json"):
            render_split(tmp_path, "val", people, images_per_person=1, workers=1, size=32)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for path in folder.glob("*.tar"):
        path.rename(folder / f"other-{path.name}")  # no shard's name: never read as one
    render_split(tmp_path, "val", 3, images_per_person=1, workers=1)


def test_other_settings_and_older_formats_are_not_mixed(painted, tmp_path):
    folder = render_split(tmp_path, "val", 1, images_per_person=1, workers=1, size=16)
    with pytest.raises(OutputError, match="size=16, not 32"):
        render_split(tmp_path, "val", 1, images_per_person=1, workers=1, size=32)
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**description, "format": 1}))
    with pytest.raises(OutputError, match=f"format=1, not {splits.FORMAT}"):
        render_split(tmp_path, "val", 1, images_per_person=1, workers=1, size=16)


def test_a_folder_that_cannot_be_made_is_named(painted, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"can't write .*file/val/dataset\.json: .* is a file, not a folder"):
        render_split(tmp_path / "file", "val", 1, images_per_person=1, workers=1)
    (tmp_path / "val").touch()
    with pytest.raises(OutputError, match=r"can't write .*val/dataset\.json: .* is a file, not a folder"):
        render_split(tmp_path, "val", 1, images_per_person=1, workers=1)


def test_a_start_without_the_head_model_leaves_nothing(painted, monkeypatch, tmp_path):
    def absent():
        raise InputError("the head model is absent")

    render_split(tmp_path / "done", "val", 1, images_per_person=1, workers=1)
    monkeypatch.setattr(shards, "find_head_file", absent)
    with pytest.raises(InputError, match="head model"):
        render_split(tmp_path / "new" / "world", "val", 1, images_per_person=1, workers=1)
    assert not (tmp_path / "new").exists()
    render_split(tmp_path / "done", "val", 1, images_per_person=1, workers=1)  # rendered elsewhere: nothing to do


@pytest.mark.parametrize("problem", [InputError("no OpenGL"), KeyboardInterrupt()])
def test_a_first_shard_that_fails_leaves_nothing(painted, monkeypatch, tmp_path, problem):
    def fail(job):
        raise problem
        yield

    kept = render_split(tmp_path / "kept", "val", 2, images_per_person=1, workers=1)
    monkeypatch.setattr(shards, "_samples", fail)
    with pytest.raises(type(problem)):
        render_split(tmp_path / "new" / "world", "val", 1, images_per_person=1, workers=1)
    assert not (tmp_path / "new").exists()
    with pytest.raises(type(problem)):
        render_split(tmp_path / "kept", "val", 4, images_per_person=1, workers=1)
    assert sorted(path.name for path in kept.iterdir()) == ["dataset.json", "val-2000000-02.tar"]


def test_a_full_disk_is_one_line_and_leaves_no_part(painted, tmp_path):
    folder = render_split(tmp_path, "val", 2, images_per_person=1, workers=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=r"can't write .*val-2000002-02\.tar: File too large"):
            render_split(tmp_path, "val", 4, images_per_person=1, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "val-2000000-02.tar"]


@pytest.mark.parametrize("ending", [OutputError("full disk"), KeyboardInterrupt(), None])
def test_an_early_end_starts_no_other_shard(monkeypatch, tmp_path, ending):
    started, ended, counter = [], threading.Event(), SimpleNamespace(value=0)

    def render(job):
        started.append(job)
        counter.value += 1
        if job is jobs[0]:
            ended.set()
            if ending is not None:
                raise ending
        ended.wait(10)

    jobs = shards._jobs(tmp_path, splits.Settings("val", 1, 0, "cpu", 4), 20 * splits.PEOPLE_PER_SHARD)
    context = SimpleNamespace(Value=lambda kind, value: counter)
    monkeypatch.setattr(shards, "get_context", lambda method: context)
    monkeypatch.setattr(shards, "ProcessPoolExecutor", lambda workers, **options: ThreadPoolExecutor(workers))
    monkeypatch.setattr(shards, "render_shard", render)
    running = shards._run(jobs, workers=2)
    if ending is None:  # whoever takes the results stops
        assert next(running) >= 1
        running.close()
    else:
        with pytest.raises(type(ending)):
            list(running)
    assert len(started) < len(jobs)


@pytest.mark.world
def test_rendered_pictures_come_back(small, tmp_path):
    folder = render_split(tmp_path, "val", people=3, images_per_person=2, workers=1, **RANGES)
    paths = sorted(folder.glob("*.tar"))
    assert [p.name for p in paths] == ["val-2000000-02.tar", "val-2000002-01.tar"]
    data = read_shards(folder, segmentation=True)
    assert data.images.shape == (6, 128, 128, 3)
    assert data.segmentation is not None
    assert data.segmentation.shape == (6, 128, 128)
    assert (data.segmentation == 1).any(axis=(1, 2)).all()
    assert data.person.tolist() == [2000000, 2000000, 2000001, 2000001, 2000002, 2000002]
    other = render_split(tmp_path / "other", "val", people=3, images_per_person=2, workers=1, **RANGES)
    assert (other / paths[0].name).read_bytes() == paths[0].read_bytes()


@pytest.mark.world
@pytest.mark.slow
def test_worker_count_does_not_change_bytes(small, tmp_path):
    one = render_split(tmp_path / "one", "test", people=4, images_per_person=2, workers=1, **RANGES)
    two = render_split(tmp_path / "two", "test", people=4, images_per_person=2, workers=2, **RANGES)
    assert len(list(one.glob("*.tar"))) == 2
    for path in one.glob("*.tar"):
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UsageError, match="unknown split"):
        render_split(tmp_path, "exam", 1, 1)
    with pytest.raises(UsageError, match="unknown preset"):
        render_split(tmp_path, "val", 1, 1, preset="huge")
    with pytest.raises(UsageError, match=r"people=0 must be 1 to 1000000$"):
        render_split(tmp_path, "val", 0, 1)
    with pytest.raises(UsageError, match=r"^images_per_person=0 must be 1 or more"):
        render_split(tmp_path, "val", 1, 0)
    with pytest.raises(UsageError, match=r"^seed=-1 must be 0 or more"):
        render_split(tmp_path, "val", 1, 1, seed=-1)
    assert list(tmp_path.iterdir()) == []
