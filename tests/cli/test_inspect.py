from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesnap.cli import app
from facesnap.serving.provenance import finished_png, mark_of

PHOTO = Path(__file__).parents[2] / "examples" / "eileen_collins.jpg"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    pixels = np.array(Image.open(PHOTO).convert("RGB").resize((96, 96)))
    settings = {"prompt": "a man\x1b[2J\nwith a hat", "pose": {"yaw": 3}}
    path.write_bytes(finished_png(pixels, settings, 7, "job", consent=True, marked=True))
    return path


def test_people_read_lines(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["inspect", str(picture), str(PHOTO), "--job", "job"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    lines = first.splitlines()
    assert lines[0] == f"{picture}: PNG, 96 x 96 pixels"
    assert lines[1] == "  generated: yes, say its settings, a c2pa claim, XMP, the watermark (not signed)"
    assert lines[2] == "  consent of the person: declared"
    assert lines[3].startswith(f"  watermark: {mark_of('job').hex()} (score ")
    assert lines[3].endswith(", of that job")
    assert "  prompt: a man [2J with a hat" in lines
    assert "  seed: 7" in lines
    assert '  pose: {"yaw": 3}' in lines
    assert "generated: nothing says so" in second
    assert "watermark: none found (score" in second
    assert "settings: none" in second


def test_programs_read_json(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["inspect", str(picture), "--json", "--job", "other"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["pictures"]
    assert (told["picture"], told["mark"], told["of_job"]) == (str(picture), mark_of("job").hex(), False)
    assert told["settings"]["pose"] == {"yaw": 3}


def test_an_unusable_picture_is_one_line_and_exit_3(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:2000])
    for bad, why in (("cut.png", "cut short"), ("gone.png", "does not exist")):
        assert app.run(["inspect", str(picture), str(tmp_path / bad)]) == 3
        said = capsys.readouterr()
        assert said.out.startswith(f"{picture}: PNG")  # the others are shown
        assert bad not in said.out
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert why in said.err
        assert app.run(["inspect", str(picture), str(tmp_path / bad), "--json"]) == 3
        good, told = json.loads(capsys.readouterr().out)["pictures"]
        assert (good["format"], told["picture"]) == ("PNG", str(tmp_path / bad))
        assert why in told["error"]


def test_long_values_are_shortened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "picture.png"
    settings = {"prompt": "a " * 100, "pose": {f"weight {i}": i / 7 for i in range(53)}}
    path.write_bytes(finished_png(np.zeros((96, 96, 3), np.uint8), settings, 7, "job", consent=True, marked=True))
    assert app.run(["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (pose,) = [line for line in lines if line.startswith("  pose: ")]
    assert len(pose) < 150
    assert pose.endswith("(--json shows all)")
    assert f"  prompt: {'a ' * 99}a" in lines
