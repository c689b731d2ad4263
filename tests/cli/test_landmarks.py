"""`facesnap landmarks` on a real photograph: maps, sweeps, overlays, and a driver that moves."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from facesnap.cli import app
from facesnap.core.images import load_image, save_png

PHOTO = Path(__file__).parents[2] / "examples" / "eileen_collins.jpg"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, small enough to be read quickly."""
    image = load_image(PHOTO)
    scale = 400 / image.shape[0]
    path = tmp_path_factory.mktemp("photo") / "me.png"
    save_png(path, cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return path


def run(*arguments: object) -> int:
    return app.run(["landmarks", *map(str, arguments)])


def test_a_map_an_overlay_and_a_sweep(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / f"{name}.png" for name in ("map", "overlay", "sweep")}
    options = ("-o", files["map"], "--overlay", files["overlay"], "--sweep", files["sweep"], "--size", 128, "--json")
    assert run(photo, *options, "--yaw", 20, "--gaze=-20,0", "--face-scale", 0.4) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["yaw"] == 20
    assert {said[name] for name in ("map", "overlay", "sweep")} == {str(path) for path in files.values()}
    points = np.array(said["landmarks"])
    assert 0.3 * 128 < np.ptp(points[:, 1]) < 0.5 * 128
    assert load_image(files["map"]).shape == (128, 128, 3)
    changed = (load_image(files["overlay"]) != load_image(photo)).any(axis=2)
    assert 0 < changed.mean() < 0.1  # dots on the face, nothing else
    assert load_image(files["sweep"]).shape == (5 * 160, 7 * 160, 3)


def test_a_gaze_moves_lids_alone(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for options in ((), ("--gaze", "0,-20")):
        assert run(photo, "-o", tmp_path / "map.png", "--yaw", 0, *options, "--json") == 0
        found.append(np.array(json.loads(capsys.readouterr().out)["landmarks"]))
    moved = np.linalg.norm(found[1] - found[0], axis=1)
    assert moved[36:52].max() > 1
    assert moved[:17].max() < 0.2


def test_blendshapes_drive_the_face(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "take.json").write_text(json.dumps({"jawOpen": 0.9, "eyeLookUpLeft": 0.5}))
    options = ("--pose-from", tmp_path / "take.json", "--yaw", 5, "--gaze", "10,0", "--json")
    assert run(photo, "-o", tmp_path / "map.png", *options) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["yaw"], said["expression"]) == (5, {"jawOpen": 0.9})


def test_a_folder_of_frames_gives_a_map_each(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames, out = tmp_path / "frames", tmp_path / "maps"
    for i in (2, 10):
        save_png(frames / f"frame{i}.png", np.roll(load_image(photo), i, axis=1))
    assert run(photo, "-o", out, "--pose-from", frames, "--size", 64, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 2
    assert sorted(path.name for path in out.iterdir()) == ["00000.png", "00001.png", "poses.json"]
    assert len(json.loads((out / "poses.json").read_text())["poses"]) == 2
    (frames / "frame10.png").unlink()
    assert run(photo, "-o", out, "--pose-from", frames) == 2
    assert "maps of a longer clip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-o", "a.png", "--overlay", "b.jpg"], 2, "--overlay b.jpg: give a name that ends in .png"),
        (["-o", "a.png", "--sweep", "a.png"], 2, "--output, --sweep: give each a file of its own"),
        (["-o", "maps", "--pose-from", "none.mp4"], 3, "none.mp4 does not exist"),
        (["-o", "a.png", "--gaze", "5"], 2, "write two numbers"),
    ],
)
def test_refusals_come_before_anything_is_written(
    photo: Path, tmp_path: Path, options: list[str], code: int, words: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(photo, *options) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
