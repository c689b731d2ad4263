"""Photos, people and jobs for the tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.pipelines.conftest import FixedDetector

from facesnap.core.images import save_png
from facesnap.core.types import Face
from facesnap.pipelines import analyser
from facesnap.pipelines.facade import FaceSnap


class Blinking(FixedDetector):
    """Sees nothing in black pictures."""

    def detect(self, image: Any) -> list[Face]:
        return super().detect(image) if image.any() else []


@pytest.fixture(autouse=True)
def _mini(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model; faces are seen everywhere but on black pictures."""
    monkeypatch.setattr(analyser, "HaarDetector", lambda refine: Blinking((30, 30, 120, 120)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With photos a.png, b.png, black.png, a file that is no picture, and me.identity.safetensors."""
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        save_png(tmp_path / f"{name}.png", rng.integers(0, 256, (160, 160, 3), dtype=np.uint8))
    save_png(tmp_path / "black.png", np.zeros((160, 160, 3), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


@pytest.fixture
def me(folder: Path) -> str:
    """An identity file, for workers that see no face in noise."""
    FaceSnap.from_pretrained("mini", device="cpu").enroll(folder / "a.png").save(folder / "me.identity.safetensors")
    return "me.identity.safetensors"


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Writes jobs.jsonl; gives its path."""

    def written(*jobs: dict[str, Any]) -> Path:
        path = folder / "jobs.jsonl"
        path.write_text("\n".join(json.dumps({"carry": [], "prompt": "a face", **job}) for job in jobs))
        return path

    return written


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def pictures(out: Path) -> dict[str, Image.Image]:
    return {f"{path.parent.name}/{path.name}": Image.open(path) for path in sorted(out.glob("*/*.png"))}


def assert_same(out: Path, other: Path) -> None:
    """The promise: the same files, the same settings inside, pixels that differ by rounding at most."""
    here, there = pictures(out), pictures(other)
    assert list(here) == list(there) != []
    for name, picture in here.items():
        assert picture.info["facesnap"] == there[name].info["facesnap"]
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(there[name])).max() <= 1
    assert [line["settings"] for line in results(out)] == [line["settings"] for line in results(other)]
