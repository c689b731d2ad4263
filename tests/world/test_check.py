"""Every kind of damage is made on the spot, and has to be reported in a line that names it."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from facesnap.cli import app
from facesnap.world.datasets import check as check_module
from facesnap.world.datasets.check import check
from facesnap.world.datasets.check_labels import EXACT_CM, LandmarkReference, problems_of
from facesnap.world.datasets.shards import render_split
from facesnap.world.datasets.splits import Settings

SIZE = 16
Members = list[tuple[str, bytes]]


@pytest.fixture
def world(painted, packaged, monkeypatch, tmp_path) -> Path:
    """Five people in three shards of the split val."""
    reference = LandmarkReference(packaged, EXACT_CM, "the tests' model")
    monkeypatch.setattr(check_module, "landmark_reference", lambda: reference)
    return render_split(tmp_path / "world", "val", 5, images_per_person=2, workers=1, size=SIZE)


def _read(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]  # type: ignore[union-attr]


def _write(path: Path, members: Members) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _found(folder: Path, fast: bool = False) -> list[str]:
    lines: list[str] = []
    found = check(folder, lines.append, fast=fast)
    assert found.damages == len(lines)
    return lines


def _second(folder: Path) -> Path:
    return sorted(folder.glob("*.tar"))[1]


def test_a_whole_data_set_has_no_damage(world):
    for folder in (world, world.parent):
        found = check(folder, pytest.fail)
        assert (found.people, found.pictures, found.shards) == (5, 10, 3)
        assert found.size == sum(path.stat().st_size for path in world.glob("*.tar"))
        assert found.notes == []


def _changed(end: str, change: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    """Change the first member of a kind."""

    def apply(members: Members) -> Members:
        row = next(i for i, (name, _) in enumerate(members) if name.partition(".")[2] == end)
        return [*members[:row], (members[row][0], change(members[row][1])), *members[row + 1 :]]

    return apply


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def _bit_flipped(content: bytes) -> bytes:
    middle = content.index(b"IDAT") + 10
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda members: [m for m in members if m[0] != "2000002_0001.json"], "2000002_0001.json: is missing"),
        (lambda members: [m for m in members if m[0] != "2000002_0001.png"], "2000002_0001.png: is missing"),
        (lambda members: [m for m in members if m[0] != "2000002_0001.seg.png"], "2000002_0001.seg.png: is missing"),
        (lambda members: members[3:], "lacks 1 of 4 pictures: 2000002_0000"),
        (lambda members: [*members, ("2000003_0001.txt", b"")], "2000003_0001.txt: does not belong here"),
        (lambda members: [*members, ("notes.txt", b"")], "notes: is no picture's name"),
        (lambda members: [*members, members[-1]], f"{'2000003_0001'}.seg.png: is there twice"),
        (lambda members: [*members, members[0]], "2000002_0000.json: is there twice"),
        (lambda members: [*members, ("2000003_0002.png", b"")], "2000003_0002: is one more than the 2 pictures"),
        (lambda members: [*members, ("2000004_0000.png", b"")], "is of a person outside of the shard's"),
        (lambda members: [*members, ("0000002_0000.png", b"")], "is of a person outside of the shard's"),
        (_changed("png", lambda _: b""), "2000002_0000.png: is no PNG"),
        (_changed("png", lambda png: png[:60]), "2000002_0000.png: can't be decoded"),
        (_changed("png", _bit_flipped), "2000002_0000.png: can't be decoded"),
        (_changed("png", lambda _: _png(_noise(8, 8, 3))), "has 8 x 8 pixels, not 16 x 16"),
        (_changed("png", lambda _: _png(_noise(16, 16))), "is no 8-bit RGB picture"),
        (_changed("png", lambda _: _png(np.zeros((16, 16, 3), np.uint8))), "is empty: all of its pixels are alike"),
        (_changed("seg.png", _bit_flipped), "2000002_0000.seg.png: can't be decoded"),
        (_changed("seg.png", lambda _: _png(_noise(16, 16, 3))), "is no 8-bit grey picture"),
        (_changed("seg.png", lambda _: _png(np.full((16, 16), 7, np.uint8))), "has class 7; the last is 5"),
        (_changed("seg.png", lambda _: _png(np.zeros((16, 16), np.uint8))), "has no skin"),
        (_changed("json", lambda _: b"{"), "2000002_0000.json: can't be read"),
        (_changed("json", lambda _: b'{"\xff'), "2000002_0000.json: can't be read (it is not text in UTF-8)"),
        (_changed("json", lambda _: b"[]"), "can't be read (it is no JSON object)"),
        (_changed("json", lambda text: text.replace(b'"golden"', b"NaN")), "can't be read (it holds NaN)"),
    ],
)
def test_damaged_members_are_reported(world, change, said, capfd):
    path = _second(world)
    _write(path, change(_read(path)))
    lines = _found(world)
    assert capfd.readouterr() == ("", "")  # decoders' own words, too, are kept off
    assert any(said in line for line in lines), lines
    assert all(line.startswith(f"{path}: ") for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("person_id", 2000003, "person_id is 2000003, not 2000002"),
        ("person_id", "2000002", "person_id is no whole number"),
        ("index", 1, "index is 1, not 0"),
        ("seed", 9, "seed is 9, not 0"),
        ("size", 32, "size is 32, not 16"),
        ("preset", "cpu", "preset is 'cpu', not 'full'"),
        ("split", "train", "split is 'train', not 'val'"),
        ("style", "", "style is no text"),
        ("identity", [0.0] * 99, "identity has shape (99,), not (100,)"),
        ("expression", ["a"] * 53, "expression holds something else than numbers"),
        ("expression", [1.5] * 53, "expression has weights outside of 0 to 1"),
        ("landmarks2d", [[0.0]] + [[0.0, 0.0]] * 71, "landmarks2d is no array of shape (72, 2)"),
        ("visible", [1] * 72, "visible holds something else than true and false"),
        ("occluded", [True] * 71, "occluded has shape (71,), not (72,)"),
        ("pose", {"yaw": 0.0, "pitch": 0.0}, "pose has no number roll"),
        ("camera", [1, 2, 3, 4], "camera is no object"),
        ("attributes", {}, "attributes is no object with something in it"),
        ("captions", ["a", "b"], "captions are not 3"),
        ("captions", ["a", " ", "c"], "a caption is empty"),
        ("captions", 3, "captions are not 3"),
        ("person", {"age": 2}, "identity or parameters differ from the first picture"),
    ],
)
def test_wrong_labels_are_reported(world, key, value, said):
    path = _second(world)
    _write(path, _changed("json", lambda text: json.dumps({**json.loads(text), key: value}).encode())(_read(path)))
    lines = _found(world, fast=True)
    assert any(said in line for line in lines), lines
    assert all(line.startswith(f"{path}: 2000002_000") for line in lines)


def test_every_key_is_needed(painted, packaged):
    labels = painted(Settings("val", 1, 0, "full", SIZE), 2000000, 0)
    reference = LandmarkReference(packaged, EXACT_CM, "")
    assert problems_of(labels, reference) == []
    for key in labels:
        assert problems_of({k: v for k, v in labels.items() if k != key}, reference) == [f"has no {key}"]


@pytest.mark.parametrize(
    ("key", "moved", "said"),
    [
        ("landmarks3d", 0.05, "landmarks3d are 0.05 cm off identity and expression"),
        ("landmarks2d", 0.2, "landmarks2d are 0.20 pixels off landmarks3d under pose and camera"),
        ("points5", 0.2, "points5 are 0.20 pixels off landmarks2d"),
        ("box", 0.2, "box is 0.20 pixels off landmarks2d"),
    ],
)
def test_geometry_has_to_agree(painted, packaged, key, moved, said):
    labels = painted(Settings("val", 1, 0, "full", SIZE), 2000000, 0)
    labels[key] = (np.array(labels[key]) + moved).tolist()
    problems = problems_of(labels, LandmarkReference(packaged, EXACT_CM, "the model"))
    assert any(problem.startswith(said) for problem in problems), problems


def test_a_missing_or_unreadable_shard_is_reported(world):
    first, second, third = sorted(world.glob("*.tar"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:2000])
    third.write_bytes(b"")
    lines = _found(world)
    assert f"{first}: is missing (people 2000000 to 2000001)" in lines
    assert any(line.startswith(f"{second}: can't be read (unexpected end of data)") for line in lines)
    assert f"{second}: lacks 4 of 4 pictures: 2000002_0000, 2000002_0001, 2000003_0000 ..." in lines
    assert f"{third}: can't be read (empty file)" in lines


def test_a_damaged_description_is_reported(world):
    described = world / "dataset.json"
    described.write_text("{")
    lines = _found(world)
    assert lines[0].startswith(f"{described}: can't be used (")
    assert lines[0].count("dataset.json") == 1
    described.unlink()
    assert _found(world) == [f"{described}: is missing"]


def test_people_of_two_faces_or_two_people_of_one_are_reported(world):
    path = _second(world)
    members = _read(path)
    face = json.loads(members[0][1])["identity"]
    changed = [(n, json.dumps({**json.loads(c), "identity": face}).encode() if n.startswith("2000003_0001.j") else c)
               for n, c in members]  # fmt: skip
    _write(path, changed)
    lines = _found(world)
    assert any("identity or parameters differ from the first picture of person 2000003" in line for line in lines)
    assert any("person 2000003 has the face of person 2000002" in line for line in lines)


def test_people_in_two_splits_are_reported(world):
    copied = world.parent / "train"
    shutil.copytree(world, copied)
    lines = _found(world.parent)
    assert f"{copied / 'dataset.json'}: speaks of the split 'val'" in lines
    shared = [line for line in lines if "has people who are in" in line]
    assert len(shared) == 3
    (copied / "dataset.json").unlink()
    (copied / "val-2000000-02.tar").rename(copied / "train-2000000-02.tar")
    assert any("names people outside of the split 'train'" in line for line in _found(copied))


def test_what_is_not_read_is_noted(painted, world):
    render_split(world.parent, "val", 4, images_per_person=2, workers=1, size=SIZE)
    (world / ".val-2000000-02.tar.7.tmp").touch()
    found = check(world, pytest.fail)
    assert (found.people, found.shards) == (4, 2)
    assert "1 further tar file that" in found.notes[0]
    assert "1 temporary file that" in found.notes[1]


def test_fast_leaves_pictures_undecoded(world):
    path = _second(world)
    _write(path, _changed("png", _bit_flipped)(_read(path)))
    assert len(_found(world)) == 1
    assert _found(world, fast=True) == []


def test_the_command_ends_with_3_for_damage(world, capsys):
    assert app.run(["world", "check", str(world)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{world} is whole: 5 people, 10 pictures, 3 shards, ")
    assert said.err == ""
    path = _second(world)
    path.unlink()
    assert app.run(["world", "check", str(world)]) == 3
    said = capsys.readouterr()
    assert said.out == f"{path}: is missing (people 2000002 to 2000003)\n"
    assert said.err.startswith(f"error: {world} is damaged in 1 place: 3 people")
    assert said.err.count("\n") == 1


def test_the_command_claims_no_more_than_it_looked_at(world, tmp_path, capsys):
    folder = render_split(tmp_path / "one", "val", 1, images_per_person=1, workers=1, size=SIZE)
    assert app.run(["world", "check", str(folder), "--fast"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{folder} shows no damage, its pictures undecoded: 1 person, 1 picture, 1 shard, ")
    next(folder.glob("*.tar")).unlink()
    assert app.run(["world", "check", str(folder), "--fast"]) == 3
    assert capsys.readouterr().out.endswith("is missing (person 2000000)\n")


@pytest.mark.parametrize(
    ("name", "said"), [("absent", "no such folder: {}"), ("file", "{} is a file, not a folder"), (".", "no shards")]
)
@pytest.mark.parametrize("command", [["check"], ["stats"], ["fetch", "--force", "--to", "model.npz", "--from"]])
def test_the_commands_tell_a_folder_from_none(command, name, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert app.run(["world", *command, str(tmp_path / name)]) == 3
    expected = "is no checkout" if command[0] == "fetch" and name == "." else said.format(tmp_path / name)
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.world
def test_what_the_renderer_makes_is_whole(renderer, monkeypatch, tmp_path):
    from facesnap.world.datasets import shards

    monkeypatch.setattr(shards, "_renderer", lambda size: renderer)
    folder = render_split(tmp_path, "test", 2, images_per_person=2, workers=1, size=128)
    found = check(folder, pytest.fail)
    assert found.reference is not None
    assert found.reference.name == "the head model"
    assert found.pictures == 4
