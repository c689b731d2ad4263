from __future__ import annotations

import json

import numpy as np
import pytest
from tests.data.fakes import people
from tests.data.test_check import made  # noqa: F401  (a fixture: a small data set)

from facesnap.cli import app
from facesnap.core.images import load_image, save_png
from facesnap.data.layout import read_dataset


def test_photos_without_faces_are_one_line(tmp_path, tiny_mini, monkeypatch, capsys):
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    for index in range(2):
        save_png(tmp_path / "photos" / f"{index}.png", np.full((90, 90, 3), 120 + index, np.uint8))
    words = ["data", "prepare", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert app.run(words) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.strip().splitlines()[-1].startswith("error: none of 2 photos can be used: 2 no face")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--people-from", "clouds"], 2, "--people-from clouds: use faces or folders"),
        (["--format", "gif"], 2, "unknown picture format 'gif': use jpg or png"),
        (["--consent", "maybe"], 2, "unknown consent 'maybe': use yes, no, unknown"),
        (["--size", "100"], 2, "size=100 must be a multiple of 8"),
        (["--max-yaw", "100"], 2, "Invalid value for '--max-yaw'"),
        (["--device", "abacus"], 2, "unknown device 'abacus'"),
        (["--face-encoder", "gone.onnx"], 2, "no ONNX face encoder at"),
    ],
)
def test_mistakes_are_one_line(tmp_path, tiny_mini, monkeypatch, capsys, words, code, said):
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    people(tmp_path / "photos", 1, ("ada",))
    assert app.run(["data", "prepare", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), *words]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_a_source_that_is_not_there(tmp_path, capsys):
    assert app.run(["data", "prepare", str(tmp_path / "gone"), "--out", str(tmp_path / "out")]) == 3
    assert "no such folder, list or tar" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    people(tmp_path / "photos", 1, ("ada",))
    assert app.run(["data", "prepare", str(tmp_path / "photos"), "--out", str(tmp_path / "file")]) == 4
    assert "choose another --out" in capsys.readouterr().err


def test_a_dry_run_counts(tmp_path, capsys):
    people(tmp_path / "photos", 2, ("ada", "bob"))
    words = ["data", "prepare", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--people-from", "folders"]
    assert app.run([*words, "--dry-run", "--limit", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"3 photos in {tmp_path / 'photos'}, 0 of them examined already\n3 with a person's name (2")
    assert not (tmp_path / "out").exists()


def test_stats_and_check(made, capsys):  # noqa: F811
    assert app.run(["data", "stats", str(made)]) == 0
    assert capsys.readouterr().out.startswith("6 photos of 3 people")
    assert app.run(["data", "stats", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == 6
    assert app.run(["data", "check", str(made)]) == 0
    assert capsys.readouterr().out == f"{made} is whole: 6 photos of 3 people in 2 shards\n"
    (made / "val-000000.tar").write_bytes(b"")
    assert app.run(["data", "check", str(made)]) == 3
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == f"{made / 'val-000000.tar'}: is damaged: empty file"
    assert said.err.startswith(f"error: {made} is damaged in 3 places: 4 photos of 2 people")
    assert app.run(["data", "check", str(made / "nowhere")]) == 3


@pytest.mark.mini
@pytest.mark.slow
def test_real_photos_become_a_data_set(tmp_path, capsys):
    photo = load_image("examples/eileen_collins.jpg")
    folder = tmp_path / "photos" / "eileen"
    save_png(folder / "1.png", photo)
    save_png(folder / "2.png", np.ascontiguousarray(photo[:, ::-1]))
    (folder / "2.txt").write_text("an astronaut in an orange suit")
    words = ["data", "prepare", str(folder.parent), "--out", str(tmp_path / "out"), "--people-from", "folders"]
    assert app.run([*words, "--workers", "1", "--size", "128", "--val", "0"]) == 0
    said = capsys.readouterr()
    assert "2 of 2 photos are kept, of 1 people" in said.err
    assert said.out == f"{tmp_path / 'out'}\n{tmp_path / 'out' / 'report.html'}\n"
    assert read_dataset(tmp_path / "out").splits["train"].photos == 2
    assert app.run(["data", "check", str(tmp_path / "out")]) == 0
