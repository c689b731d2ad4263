"""``--suite photos``: real photographs, a judge from an ONNX file, and a report that names it and its licence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.faces.test_encode import onnx_file

from facesnap.cli import app
from facesnap.core.errors import UsageError
from facesnap.evaluation.photos.people import LEAST, POSES, make_questions, photographed
from facesnap.pipelines.analyser import Analyser

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with three photos, of one example each; somebody with too few; and what is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("eileen_collins", "grace_hopper"):
        photo = ImageOps.contain(Image.open(EXAMPLES / f"{name}.jpg").convert("RGB"), (900, 900))
        (folder / name).mkdir()
        for number, turn in enumerate((0, 4, -4)):
            photo.rotate(turn, Image.Resampling.BICUBIC).save(folder / name / f"{number}.jpg")
    (folder / "nobody").mkdir()
    Image.new("RGB", (300, 300), "grey").save(folder / "nobody" / "wall.png")
    (folder / "eileen_collins" / "notes.txt").write_text("not a picture")
    (folder / "list.csv").write_text("a,b")
    return folder


def test_people_are_read_and_what_cannot_be_used_is_told(photos: Path) -> None:
    said: list[str] = []
    subjects, names = photographed(photos, Analyser.from_pretrained(), 5, said.append)
    assert names == ["eileen_collins", "grace_hopper"]
    assert [len(subject.shots) for subject in subjects] == [3, 3]
    assert max(max(shot.image.shape) for subject in subjects for shot in subject.shots) == 768
    assert len(said) == 3
    assert said[0].startswith("eileen_collins/notes.txt: ")
    assert said[1].startswith("nobody/wall.png: no face")
    assert said[2] == f"nobody: 0 photos with a face: {LEAST} are needed, so this person is left out"
    trials = make_questions(subjects, ["a", "b", "c"], 0, lambda _: True)
    assert [(trial.prompt, trial.pose) for trial in trials] == [("a", POSES[0]), ("b", POSES[1])]
    assert len({trial.seed for trial in trials}) == 2
    with pytest.raises(UsageError, match="too long"):
        make_questions(subjects, ["a", "much"], 0, lambda prompt: prompt == "a")


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(UsageError, match="0 people with 3 photos"):
        photographed(tmp_path, Analyser.from_pretrained(), 5, lambda _: None)


def test_a_report_on_photographs(
    photos: Path, clip_folder: Path, tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("onnxruntime")
    from tests.pipelines.conftest import FixedDetector

    from facesnap.pipelines import analyser

    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    monkeypatch.setattr(analyser, "HaarDetector", lambda refine: FixedDetector((30, 30, 120, 120)))
    judge, prompts = onnx_file(tmp_path / "judge.onnx", "batch"), tmp_path / "prompts.txt"
    prompts.write_text("a b\n\nb c\n")
    command = ["evaluate", "--suite", "photos", "--photos", str(photos), "--judge", str(judge)]
    command += ["--clip", str(clip_folder), "--people", "2"]
    command += ["--judge-licence", "research only", "--prompts", str(prompts), "--work", str(tmp_path / "work")]
    command += ["--output", str(tmp_path / "docs"), "--steps", "2", "--device", "cpu"]
    assert app.run(command) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "docs" / "PHOTOS.md")
    text = (tmp_path / "docs" / "PHOTOS.md").read_text()
    assert "| licence of the likeness judge | research only |" in text
    assert "| judge: likeness | judge@" in text
    assert "another real photo (upper bound)" in text
    assert "![The first people, then the worst by FaceSim](photos.png)" in text
    numbers = json.loads((tmp_path / "docs" / "photos.json").read_text())
    cells = {row["key"]: row["cells"] for row in numbers["rows"]}
    assert set(cells["clip_t"]) == {"facesnap", "base", "chance"}
    assert set(cells["clip_i"]) == {"facesnap"}
    assert {"rank1", "copy_paste", "nme", "no_face"} <= set(cells)
    assert "nme_labels" not in cells
    assert np.asarray(Image.open(tmp_path / "docs" / "photos.png")).ndim == 3
    assert app.run(command) == 0
    assert "are there from an earlier run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "photos", "--photos", "x"], "needs --photos, --judge, --judge-licence"),
        (["--judge", "x.onnx"], "are for --suite photos"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["evaluate", *arguments]) == 2
    assert said in capsys.readouterr().err
