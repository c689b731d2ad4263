"""`facesnap train`: settings from a file and the command line, checks before any work, an adapter that generates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tests.pipelines.conftest import FixedDetector
from tests.training.adapter.prepared import settings, write_dataset

from facesnap.cli import app
from facesnap.core.images import save_png
from facesnap.faces.detect import HaarDetector

torch.set_num_threads(1)


@pytest.fixture
def recipe(tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    data = write_dataset(tmp_path / "data", tiny_mini)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings(tiny_mini, data, tmp_path / "out")))
    return path


def run(*arguments: object) -> int:
    return app.run([*map(str, arguments)])


def test_from_settings_to_a_portrait(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", recipe, "optim.steps=2") == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(tmp_path / "out" / "adapter")
    assert "train 2/2 " in shown.err
    fixed = FixedDetector((30, 30, 120, 120))
    for name in ("detect", "largest"):
        monkeypatch.setattr(HaarDetector, name, lambda self, image: fixed.detect(image))
    save_png(tmp_path / "me.png", np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8))
    asked = (
        "--prompt",
        "a face",
        "--reference",
        tmp_path / "me.png",
        "--steps",
        2,
        "--device",
        "cpu",
        "--carry",
        "none",
    )
    assert run("generate", *asked, "--adapter", tmp_path / "out" / "adapter", "-o", tmp_path / "portraits") == 0
    assert list((tmp_path / "portraits").glob("*.png"))


def test_validate_tells_and_trains_nothing(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", recipe, "--validate", "--processes", 2) == 0
    assert "6 steps of 8: 2 process(es), 1 pass(es) of 4" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["optim.step=2"], 2, "unknown setting optim.step: did you mean optim.steps?"),
        (["optim.step=2", "--validate"], 2, "unknown setting optim.step"),
        (["data.folder=/no/where"], 3, "no such folder: /no/where"),
        (["data.folder=/no/where", "--validate"], 3, "no such folder: /no/where"),
        (["base=/no/where", "--validate"], 2, "no base model at /no/where"),
        (["output=/proc/x"], 4, "can't write to /proc/x"),
    ],
)
def test_what_is_wrong_is_one_line(
    recipe: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert run("train", recipe, *words) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert said in error[0]
