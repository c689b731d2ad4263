"""The report says every number with its interval, its bounds, and how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from facesnap.core.machine import machine
from facesnap.evaluation import report
from facesnap.evaluation.metrics import Interval
from facesnap.evaluation.summary import Row

NAN = float("nan")
ROWS = [
    Row(
        "rank1",
        "rank-1",
        "%",
        "higher",
        {
            "facesnap": Interval(0.5, 0.4, 0.6, 100),
            "real": Interval(0.97, 0.9, 1.0, 100),
            "base": Interval(0.01, 0.0, 0.03, 100),
            "chance": Interval(0.01, 0.01, 0.01, 100),
        },
    ),
    Row(
        "nme_found", "NME", "%", "lower", {"facesnap": Interval(0.05, 0.04, 0.06, 90), "base": Interval(*[NAN] * 3, 0)}
    ),
]
FACTS = {"command": "facesnap evaluate --suite mini", "people": 100, "judges": "judge_face@abc | judge_clip@def"}


def test_every_number_stands_in_its_column() -> None:
    lines = report.markdown(FACTS, ROWS).splitlines()
    head = next(line for line in lines if line.startswith("| metric"))
    assert [name.split(" (")[0] for name in head.strip("| ").split(" | ")[1:]] == [
        "FaceSnap",
        "base without identity",
        "another real render",
        "chance",
    ]
    assert "| rank-1 ↑ | 50.0% [40.0, 60.0] | 1.0% [0.0, 3.0] | 97.0% [90.0, 100.0] | 1.0% |" in lines
    assert "| NME ↓ | 5.0% [4.0, 6.0] | – | – | – |" in lines
    assert "| judges | judge_face@abc \\| judge_clip@def |" in lines


def test_files_are_written_whole_and_agree(tmp_path: Path) -> None:
    sheet = np.zeros((4, 6, 3), dtype=np.uint8)
    path = report.write_report(tmp_path, FACTS, ROWS, sheet, {"people": 100})
    assert path == tmp_path / "RESULTS.md"
    assert {file.name for file in tmp_path.iterdir()} == {"RESULTS.md", "results.json", "results.png"}
    plain = json.loads((tmp_path / "results.json").read_text())
    assert plain["rows"][0]["cells"]["facesnap"] == {"value": 0.5, "low": 0.4, "high": 0.6, "count": 100}
    assert plain["rows"][1]["cells"]["base"]["value"] is None
    assert Image.open(tmp_path / "results.png").size == (6, 4)


def test_the_sheet_puts_pictures_under_their_headings() -> None:
    red, blue = (np.full((20, 20, 3), colour, dtype=np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    strips = [report.Strip([red, None], "first"), report.Strip([None, blue], "a very long note — " * 20)]
    sheet = report.contact_sheet(strips, ["a", "b"], cell=32)
    assert sheet.shape == (16 + 2 * 48, 64, 3)
    assert sheet[2 * 16 + 16, 16].tolist() == [255, 0, 0]
    assert sheet[2 * 16 + 16, 48].tolist() == [255, 255, 255]
    assert sheet[2 * 16 + 48 + 16, 48].tolist() == [0, 0, 255]
    assert (sheet[16:32] < 128).any(), "a strip's note stands above it"
    assert (sheet[-32:, :32] == 255).all(), "and nothing below it"


def test_the_machine_is_named() -> None:
    assert "cores" in machine("cpu")
