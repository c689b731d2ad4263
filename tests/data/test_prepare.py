from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.data import fakes
from tests.data.fakes import LAX, loader, people, portrait, request

from facesnap.core.errors import InputError, OutputError, UsageError
from facesnap.core.images import save_png, similarity_crop
from facesnap.core.workers import Backend
from facesnap.data.check import check
from facesnap.data.decide import DecideSettings
from facesnap.data.examine import ExamineSettings, square_around
from facesnap.data.layout import decode, read_dataset, shards
from facesnap.data.photos import Words
from facesnap.data.prepare import planned, prepare
from facesnap.data.shards import read_shard
from facesnap.faces.align import align


def _content(out: Path) -> dict[str, bytes]:
    """What a data set is: shards, description, report's numbers."""
    names = ("dataset.json", "report.json", "report.html")
    return {
        path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.suffix == ".tar" or path.name in names
    }


def _report(out: Path) -> dict[str, object]:
    return json.loads((out / "report.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four people, and much that can't be used."""
    folder = people(tmp_path_factory.mktemp("photos"), 4, tuple(fakes.COLOURS))
    first = folder / "ada"
    (first / "broken.png").write_bytes((first / "0.png").read_bytes()[:3000])
    (first / "empty.jpg").write_bytes(b"")
    save_png(first / "landscape.png", portrait("ada", 7, faces=0))
    save_png(first / "group.png", portrait("ada", 8, faces=5))
    (first / "same.png").write_bytes((first / "1.png").read_bytes())
    (first / "0.txt").write_text("Ada <b>smiles</b>")
    (folder / "bob" / "0.json").write_text('{"licence": "by Bob", "consent": "yes"}')
    (folder / "bob" / "1.json").write_text('{"consent": "no"}')
    save_png(folder / "cy" / "stranger.png", portrait("ada", 20))
    save_png(folder / "el.png", portrait("di", 30))  # nobody's folder, and nobody else looks so
    return folder


@pytest.fixture(scope="module")
def made(source, tiny_mini, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out"
    prepare(request(source, out), loader(tiny_mini))
    return out


def test_what_can_be_used_is_kept_and_the_rest_has_its_reason(made):
    found = _report(made)
    assert found["refused"] == {
        "unreadable": 2,
        "another face": 1,
        "duplicate": 1,
        "no consent": 1,
        "no face": 1,
        "too few photos": 1,
        "too many faces": 1,
    }
    assert (found["photos"], found["kept"], found["people"]) == (23, 15, 4)
    assert found["samples"]["duplicate"] == [{"photo": "ada/same.png", "detail": "the same as ada/1.png"}]
    assert found["samples"]["another face"][0]["photo"] == "cy/stranger.png"
    assert found["licences"] == {"CC0": 14, "by Bob": 1}


def test_samples_hold_the_face_and_its_features(made, source, tiny_mini):
    info = read_dataset(made)
    examples = [decode(s) for split in info.splits for path in shards(made, split) for s in read_shard(path)]
    assert len(examples) == info.splits["train"].photos + info.splits["val"].photos == 15
    by_source = {example.source: example for example in examples}
    one = by_source["ada/0.png"]
    assert one.captions == ("Ada <b>smiles</b>",)
    assert by_source["bob/0.png"].licence == "by Bob"
    assert by_source["bob/0.png"].consent == "yes"
    assert by_source["ada/1.png"].captions[0].startswith(("a p", "a person"))
    assert one.image.shape == (64, 64, 3)
    encoders = fakes.load(tiny_mini)
    picture = portrait("ada", 0)
    face = encoders.detector.detect(picture)[0]
    plain = encoders.face.encode([align(picture, face.points5)])[0]
    np.testing.assert_allclose(one.f_id[0], plain, atol=1e-3)
    assert (one.f_id[1] != one.f_id[0]).any()
    looks = encoders.appearance.encode([align(picture, face.points5, 112, encoders.appearance.zoom)])[0]
    np.testing.assert_allclose(one.f_clip[0], looks, atol=5e-3)
    fitted = encoders.fitter.fit(picture, face.box)
    np.testing.assert_allclose(one.shape, fitted.shape, atol=1e-6)
    left, top, side = square_around(fitted.landmarks2d, (96, 96), 1.2)
    np.testing.assert_allclose(one.landmarks, (fitted.landmarks2d - [left, top]) * 64 / side, atol=1e-2)
    np.testing.assert_allclose(one.points5, (face.points5 - [left, top]) * 64 / side, atol=1e-2)
    matrix = np.array([[64 / side, 0, -left * 64 / side], [0, 64 / side, -top * 64 / side]])
    assert np.abs(similarity_crop(picture, matrix, 64).astype(float) - one.image).mean() < 12  # JPEG, of noise
    # The camera projects the head to the landmarks, in the square as in the picture.
    head = encoders.fitter.morphable.landmarks3d(one.shape.astype(float), one.expression.astype(float))
    np.testing.assert_allclose(one.camera.project(head @ fitted.rotation.T), one.landmarks, atol=0.1)


def test_people_lie_together_and_in_one_split(made):
    assert check(made, pytest.fail).damages == 0
    info = read_dataset(made)
    assert info.splits["train"].people + info.splits["val"].people == 4
    assert info.splits["val"].people >= 1
    assert info.encoders["face"] == "colours@000000000000"


def test_a_second_run_has_nothing_to_do(made, source, tiny_mini):
    before, stamps = _content(made), {path: path.stat().st_mtime_ns for path in made.glob("*.tar")}
    counts = []
    prepare(request(source, made), loader(tiny_mini), progress=lambda what, more, of: counts.append((what, more)))
    assert _content(made) == before
    assert {path: path.stat().st_mtime_ns for path in made.glob("*.tar")} == stamps
    assert sum(more for what, more in counts if what == "examining") == 23


def test_the_report_shows_what_was_refused_and_escapes_it(made):
    page = (made / "report.html").read_text()
    assert "15 of 23 photos kept, of 4 people" in page
    assert "Refused: another face (1)" in page
    assert "<b>smiles" not in page
    assert page.count("data:image/jpeg;base64,") == 15 + 5  # unreadable ones, and whoever said no, are not shown
    assert "<script" not in page
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", page)


def test_names_from_outside_are_escaped_in_the_report(tmp_path, tiny_mini):
    folder = people(tmp_path / "photos", 2, ("ada", "bob"))
    (folder / "ada").rename(folder / "<img src=x onerror=alert(1)>")
    prepare(request(folder, tmp_path / "out"), loader(tiny_mini))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


@pytest.mark.slow
def test_processes_make_the_same(made, source, tiny_mini, tmp_path):
    prepare(request(source, tmp_path / "out"), loader(tiny_mini), Backend(2))
    assert _content(tmp_path / "out") == _content(made)


@pytest.mark.slow
def test_ray_makes_the_same(made, source, tiny_mini, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by itself 15: on a busy machine they would hardly get a turn
    prepare(request(source, tmp_path / "out"), loader(tiny_mini), Backend(2, ray=True))
    assert _content(tmp_path / "out") == _content(made)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_was(made, source, tiny_mini, tmp_path):
    out = tmp_path / "out"
    code = "import sys; from tests.data.fakes import run_to_its_end; run_to_its_end(*sys.argv[1:])"
    words = [sys.executable, "-c", code, str(source), str(out), str(tiny_mini), "2"]
    root = Path(fakes.__file__).parents[2]
    environment = {**os.environ, "FACESNAP_TEST_SLOW": "0.6", "PYTHONPATH": str(root)}
    running = subprocess.Popen(words, env=environment, cwd=root, start_new_session=True)
    try:
        parts = out / "parts"
        for _ in range(600):
            if len(list(parts.glob("examined-*.npz"))) >= 3:
                break
            time.sleep(0.1)
        running.send_signal(signal.SIGKILL)
        running.wait()
        done = {path: path.stat().st_mtime_ns for path in parts.glob("examined-*.npz")}
        assert 3 <= len(done) < 12
        for _ in range(100):  # its workers end by themselves
            if not _alive(running.pid):
                break
            time.sleep(0.1)
        assert not _alive(running.pid)
    finally:
        if _alive(running.pid):
            os.killpg(running.pid, signal.SIGKILL)
    prepare(request(source, out, chunk=2), loader(tiny_mini))
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not list(out.rglob("*.tmp"))
    assert _content(out) == _content(made)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_new_photos_are_examined_and_old_ones_are_not(tmp_path, tiny_mini):
    folder, out = people(tmp_path / "photos", 4, ("ada", "bob")), tmp_path / "out"
    prepare(request(folder, out), loader(tiny_mini))
    first, second = sorted((out / "parts").glob("examined-*.npz"))
    stamps = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    save_png(folder / "bob" / "9.png", portrait("bob", 9))
    info = prepare(request(folder, out), loader(tiny_mini))
    assert (first.stat().st_mtime_ns, second.stat().st_mtime_ns) == stamps
    assert info.splits["train"].photos + info.splits["val"].photos == 9
    (folder / "bob" / "9.png").unlink()
    again = prepare(request(folder, out), loader(tiny_mini))
    assert again.splits["train"].photos + again.splits["val"].photos == 8
    assert check(out, pytest.fail).damages == 0


def test_shards_that_are_gone_or_cut_are_written_again(made, source, tiny_mini):
    before = _content(made)
    path = next(made.glob("train-*.tar"))
    path.write_bytes(path.read_bytes()[:5000])
    (made / "dataset.json").unlink()
    prepare(request(source, made), loader(tiny_mini))
    assert _content(made) == before


def test_a_smaller_limit_or_other_people_leave_no_old_shards(tmp_path, tiny_mini):
    folder, out = people(tmp_path / "photos", 2, tuple(fakes.COLOURS)), tmp_path / "out"
    small = DecideSettings(same=0.8, val=0.3, shard_photos=1)
    prepare(request(folder, out, decide=small), loader(tiny_mini))
    assert len(list(out.glob("*.tar"))) == 4
    prepare(request(folder, out), loader(tiny_mini))
    assert len(list(out.glob("*.tar"))) == 2
    assert check(out, pytest.fail).damages == 0


def test_people_are_found_where_nobody_named_them(tmp_path, tiny_mini):
    folder = people(tmp_path / "photos", 4, tuple(fakes.COLOURS))
    prepare(request(folder, tmp_path / "out", words=Words()), loader(tiny_mini))
    found = {}
    for split in ("train", "val"):
        for path in shards(tmp_path / "out", split):
            for sample in read_shard(path):
                example = decode(sample)
                found.setdefault(example.person, set()).add(example.source.partition("/")[0])
    assert sorted(map(list, found.values())) == [["ada"], ["bob"], ["cy"], ["di"]]
    assert all(name.startswith("person-") for name in found)


def test_a_plan_writes_nothing(source, made, tmp_path):
    plan = planned(request(source, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert plan == {
        "photos": 23, "chunks": 6, "examined": 0, "captions": 1, "named": 22, "problems": 0, "people": 4
    }  # fmt: skip
    assert planned(request(source, made))["examined"] == 23
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no photos in"):
        planned(request(tmp_path / "nothing", tmp_path / "out"))


def test_what_was_begun_otherwise_is_refused(made, source, tiny_mini):
    other = ExamineSettings(LAX, size=72)
    with pytest.raises(OutputError, match=r"was begun with size=64, not 72: use another folder"):
        prepare(request(source, made, examine=other), loader(tiny_mini))


def test_a_foreign_data_set_is_not_overwritten(source, tiny_mini, tmp_path):
    (tmp_path / "train-000000.tar").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"parts/settings\.json is gone"):
        prepare(request(source, tmp_path), loader(tiny_mini))
    assert (tmp_path / "train-000000.tar").read_bytes() == b"precious"


def test_two_runs_in_one_folder_are_one_too_many(made, source, tiny_mini):
    import fcntl

    with open(made / "parts" / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another run is at work"):
            prepare(request(source, made), loader(tiny_mini))


def test_nothing_that_can_be_used_says_why(tmp_path, tiny_mini):
    folder = people(tmp_path / "photos", 1)
    (folder / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="none of 4 photos can be used: 3 too few photos, 1 unreadable"):
        prepare(request(folder, tmp_path / "out"), loader(tiny_mini))
    with pytest.raises(InputError, match="no photos in"):
        prepare(request(tmp_path / "out", tmp_path / "out2"), loader(tiny_mini))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"suffix": "gif"}, "unknown picture format 'gif'"),
        ({"words": Words(consent="maybe")}, "unknown consent 'maybe'"),
        ({"examine": ExamineSettings(LAX, size=63)}, "size=63 must be a multiple of 8"),
        ({"examine": ExamineSettings(LAX, views=0)}, "views=0"),
        ({"examine": ExamineSettings(LAX, margin=0.5)}, "margin=0.5"),
        ({}, "its shards would be read as photos"),
    ],
)
def test_requests_that_make_no_sense(tmp_path, other, said):
    with pytest.raises(UsageError, match=said):
        request(tmp_path, tmp_path, **other)


@pytest.mark.parametrize("other", [{"same": 1.0}, {"val": 1.0}, {"min_photos": 0}])
def test_decisions_that_make_no_sense(other):
    with pytest.raises(UsageError, match=next(iter(other))):
        DecideSettings(**other)
