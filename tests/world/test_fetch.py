"""The head model's road: a checkout, got with git or given, becomes the file that the world reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.world.checkouts import LICENCE, TINY, commit, tiny_model, write_checkout

from facesnap.cli import app
from facesnap.core.errors import FaceSnapError, InputError, OutputError
from facesnap.core.folders import cache_folder
from facesnap.world.facekit import head
from facesnap.world.facekit.checkout import COMMIT, commit_of, download
from facesnap.world.facekit.convert import FOLDER, NEUTRAL, Model, cached_model, checksum, convert
from facesnap.world.facekit.fetch import KNOWN, describe, differences, fetch_model, read_model
from facesnap.world.facekit.layout import LIGHT

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return write_checkout(tmp_path / "ICT-FaceKit", TINY, tiny_model())


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own and nothing set; the command line takes checkouts of the tiny layout."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(head.ENVIRONMENT, raising=False)
    monkeypatch.setitem(fetch_model.__kwdefaults__, "layout", TINY)
    return tmp_path / "cache" / "facesnap" / "ict_facekit_light.npz"


def _assert_same(model: Model, wanted: Model) -> None:
    assert set(model) - {"source"} == set(wanted) - {"source"}
    for key in set(wanted) - {"source"}:
        assert model[key].dtype == wanted[key].dtype, key
        assert np.array_equal(model[key], wanted[key]), key


def test_conversion_gives_the_packed_arrays(checkout: Path) -> None:
    steps: list[int] = []
    model = convert(checkout, TINY, lambda: steps.append(1))
    _assert_same(model, tiny_model())
    assert len(steps) == 1 + len(TINY.shapes) == 6
    _assert_same(convert(checkout / FOLDER, TINY), model)  # the folder of the meshes itself will do


def test_the_head_model_survives_the_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with np.load(head.find_head_file()) as data:
            real = {name: data[name] for name in data.files}
    except FaceSnapError as error:
        pytest.skip(f"not tested on the head model: {error}")
    few = replace(LIGHT, identities=2, expressions=LIGHT.expressions[26:28], pupils=LIGHT.pupils[:1])
    real |= {"identity": real["identity"][:2], "expression": real["expression"][26:28], "pupil": real["pupil"][:1]}
    real["expression_names"] = real["expression_names"][26:28]
    model = convert(write_checkout(tmp_path / "checkout", few, real), few)
    _assert_same(model | {"expression_names": real["expression_names"]}, real)
    assert model["expression_names"].tolist() == ["jawOpen", "jawRight"]


def test_the_head_model_is_the_known_one() -> None:
    try:
        model = read_model(head.find_head_file())
    except FaceSnapError as error:
        pytest.skip(f"not tested on the head model: {error}")
    assert differences(model) == []
    assert "as FaceSnap knows it" in describe(model)
    tables = {key: model[key].shape for key in ("landmarks68", "jaw_right17", "jaw_left17", "part_range", "uv")}
    assert tables == {
        "landmarks68": (68,),
        "jaw_right17": (17,),
        "jaw_left17": (17,),
        "part_range": (19, 2),
        "uv": (LIGHT.texture_points, 2),
    }
    assert LIGHT.vertices == len(model["mean"])
    model["tri"][5, 1] += 1
    model["expression"] *= np.float16(1.01)
    assert differences(model) == ["topology", "expression offsets"]


def test_checksum_is_of_contents_not_of_packing(tmp_path: Path) -> None:
    model = tiny_model()
    same = {key: np.asfortranarray(values) for key, values in reversed(model.items())} | {"source": np.array("x")}
    same["part_names"] = same["part_names"].astype("U40")
    assert checksum(same) == checksum(model)
    assert checksum(model | {"uv": model["uv"].astype(np.float64)}) != checksum(model)
    assert checksum(model | {"uv": model["uv"].reshape(2, 7)}) != checksum(model)
    swapped = model["expression_names"][::-1]
    assert checksum(model | {"expression_names": swapped}) != checksum(model)
    assert [name for name, (keys, known) in KNOWN.items() if checksum(model, keys) == known] == []


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        (f"{FOLDER}/{NEUTRAL}.obj", Path.unlink, "is no checkout of ICT-FaceKit"),
        ("LICENSE", Path.unlink, "LICENSE is missing"),
        (f"{FOLDER}/identity001.obj", Path.unlink, "identity001.obj is missing"),
        (f"{FOLDER}/identity001.obj", lambda path: _cut(path, 0.5), "identity001.obj"),
        (f"{FOLDER}/jawOpen.obj", lambda path: _replace(path, "v ", "# v "), "has 7 vertices, not 8"),
        (f"{FOLDER}/jawOpen.obj", lambda path: _replace(path, "v ", "v 99 "), "is not a shape of the neutral head"),
        (f"{FOLDER}/jawOpen.obj", lambda path: path.write_bytes(b""), "has 0 vertices, not 8"),
        (f"{FOLDER}/{NEUTRAL}.obj", lambda path: _cut(path, 0.97), f"{NEUTRAL}.obj"),
        (f"{FOLDER}/{NEUTRAL}.obj", lambda path: _replace(path, "vt ", "# vt "), "texture point"),
        (f"{FOLDER}/{NEUTRAL}.obj", lambda path: _replace(path, "f ", "# f "), "has 2 faces, not 3"),
        (f"{FOLDER}/{NEUTRAL}.obj", lambda path: _replace(path, "M_Face", "M_Wood"), "unknown material 'M_Wood'"),
        (f"{FOLDER}/{NEUTRAL}.obj", lambda path: _replace(path, "f 1/1 2/2 3/3", "f 1 2 3"), "without texture points"),
    ],
)
def test_a_damaged_checkout_is_one_line(checkout: Path, tmp_path: Path, name: str, damage, said: str) -> None:
    damage(checkout / name)
    target = tmp_path / "model.npz"
    with pytest.raises(InputError) as caught:
        fetch_model(target, checkout, layout=TINY)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists()


@needs_git
def test_git_gets_the_commit_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    (checkout / "figures").mkdir()
    (checkout / "figures" / "face.png").write_bytes(b"not needed")
    name = commit(checkout)
    (checkout / FOLDER / "jawOpen.obj").write_text("what came later")
    later = commit(checkout)
    shown: list[tuple[str, int]] = []

    @contextmanager
    def progress(what: str, total: int) -> Iterator:
        done: list[int] = []
        yield lambda: done.append(1)
        shown.append((what, len(done) - total))

    target = tmp_path / "made" / "model.npz"
    fetch_model(target, repository=checkout.as_uri(), commit=name, layout=TINY, progress=progress)
    model = read_model(target)
    _assert_same(model, tiny_model())
    assert name in str(model["source"])
    assert str(model["licence"]) == LICENCE
    assert shown == [("getting ICT-FaceKit", 0), ("converting", 0)]

    got = tmp_path / "got"
    got.mkdir()
    download(got, checkout.as_uri(), name)
    assert sorted(path.name for path in got.iterdir()) == [".git", FOLDER, "LICENSE"]
    assert commit_of(checkout) == later != name


@needs_git
def test_what_git_cannot_get_is_one_line(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(checkout)

    def message(repository: str, name: str) -> str:
        with pytest.raises(InputError) as caught:
            fetch_model(tmp_path / "model.npz", repository=repository, commit=name, layout=TINY)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "hasn't the commit 000" in message(checkout.as_uri(), "0" * 39 + "1")
    assert "can't get ICT-FaceKit" in message((tmp_path / "nowhere").as_uri(), COMMIT)
    offline = message("http://127.0.0.1:9/ICT-FaceKit", COMMIT)
    assert "can't get ICT-FaceKit" in offline
    assert "--from FOLDER" in offline
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git gets ICT-FaceKit, and can't be run" in message(checkout.as_uri(), COMMIT)
    assert not (tmp_path / "model.npz").exists()


@needs_git
def test_the_commit_of_a_checkout(checkout: Path) -> None:
    assert commit_of(checkout) is None
    name = commit(checkout)
    assert commit_of(checkout) == commit_of(checkout / FOLDER) == name
    (checkout / "notes.txt").write_text("files beside it don't matter")
    assert commit_of(checkout) == name
    with (checkout / FOLDER / "jawOpen.obj").open("a") as file:
        file.write("# changed\n")
    assert commit_of(checkout) is None


@needs_git
@pytest.mark.parametrize("ignored", ["ICT-FaceKit\n", "nothing\n"])
def test_the_repository_around_an_unpacked_archive_is_not_its_own(checkout: Path, ignored: str) -> None:
    (checkout.parent / ".gitignore").write_text(ignored)
    commit(checkout.parent)
    assert commit_of(checkout) is None


def test_the_cache_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "facesnap"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_folder() == tmp_path / "home" / ".cache" / "facesnap"


def test_the_world_looks_where_fetch_writes(at_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "DEFAULT_FILES", ("none.npz",))
    with pytest.raises(InputError, match="facesnap world fetch"):
        head.find_head_file()
    default = tmp_path / "default.npz"
    default.touch()
    monkeypatch.setattr(head, "DEFAULT_FILES", (str(default),))
    assert head.find_head_file() == default
    at_home.parent.mkdir(parents=True)
    at_home.touch()
    assert head.find_head_file() == cached_model() == at_home
    monkeypatch.setenv(head.ENVIRONMENT, str(default))
    assert head.find_head_file() == default


def test_command_converts_once(at_home: Path, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["world", "fetch", "--from", str(checkout)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == str(at_home)
    assert "MIT License, Copyright (c) 2020 Somebody" in lines[2]
    assert checksum(tiny_model()) in lines[3]
    assert "differs from what FaceSnap knows in: topology, neutral head" in lines[3]
    assert "commit is unknown" in said.err
    assert "note:" not in said.err

    before = at_home.stat().st_mtime_ns
    assert app.run(["world", "fetch", "--from", str(checkout)]) == 0
    said = capsys.readouterr()
    assert "already there" in said.err
    assert said.out.splitlines() == lines
    assert at_home.stat().st_mtime_ns == before

    at_home.write_bytes(b"damaged")
    assert app.run(["world", "fetch", "--from", str(checkout)]) == 3
    assert "--force makes it anew" in capsys.readouterr().err
    assert app.run(["world", "fetch", "--from", str(checkout), "--force"]) == 0
    _assert_same(read_model(at_home), tiny_model())


@needs_git
def test_command_gets_the_pinned_commit(
    at_home: Path, checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fetch_model.__kwdefaults__, "repository", checkout.as_uri())
    monkeypatch.setitem(fetch_model.__kwdefaults__, "commit", commit(checkout))
    assert app.run(["world", "fetch"]) == 0
    assert f"commit {COMMIT}" in capsys.readouterr().err
    _assert_same(read_model(at_home), tiny_model())


def test_command_writes_elsewhere_and_says_what_to_set(
    at_home: Path, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "deep" / "model.npz"
    assert app.run(["world", "fetch", "--from", str(checkout), "--to", str(target)]) == 0
    assert f"set {head.ENVIRONMENT}={target}" in capsys.readouterr().err
    assert not at_home.exists()
    monkeypatch.setenv(head.ENVIRONMENT, str(target))
    assert app.run(["world", "fetch", "--to", str(target)]) == 0
    assert "note:" not in capsys.readouterr().err


def test_command_writes_where_the_variable_says(
    at_home: Path, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "named.npz"
    monkeypatch.setenv(head.ENVIRONMENT, str(target))
    with pytest.raises(InputError, match=rf"{head.ENVIRONMENT} is wrong, no file is at {target}"):
        head.find_head_file()
    for said in ("converting", "already there"):
        assert app.run(["world", "fetch", "--from", str(checkout)]) == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines()[0] == str(target)
        assert said in captured.err
        assert "note:" not in captured.err
    assert head.find_head_file() == target
    assert not at_home.exists()


@pytest.mark.parametrize("arguments", [["--to", "{folder}"], ["--to", "{file}/model.npz"]])
def test_command_refuses_what_it_cannot_write(
    at_home: Path, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (tmp_path / "file").touch()
    words = [word.format(folder=tmp_path, file=tmp_path / "file") for word in arguments]
    assert app.run(["world", "fetch", "--from", str(checkout), *words]) == OutputError.exit_code
    said = capsys.readouterr().err
    assert "--to" in said.splitlines()[-1]
    assert app.run(["world", "fetch", "--from", str(tmp_path)]) == InputError.exit_code
    assert "is no checkout of ICT-FaceKit" in capsys.readouterr().err


@needs_git
def test_a_checkout_is_left_as_it_was(at_home: Path, checkout: Path) -> None:
    commit(checkout)
    for path in (checkout / FOLDER).iterdir():
        os.utime(path, (1e9, 1e9))  # git would like to note that down
    index = (checkout / ".git" / "index").read_bytes()
    assert app.run(["world", "fetch", "--from", str(checkout)]) == 0
    assert (checkout / ".git" / "index").read_bytes() == index
    done = subprocess.run(["git", "status", "--porcelain"], cwd=checkout, check=True, capture_output=True, text=True)
    assert done.stdout == ""
