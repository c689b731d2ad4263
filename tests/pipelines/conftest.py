"""The tiny mini as the embedded model, and a detector that needs no face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pipelines import published_files

from facesnap.core.types import Face
from facesnap.pipelines.facade import FaceSnap

torch.set_num_threads(1)


class FixedDetector:
    """Says that there are faces at fixed places: a stand-in for cascades, which see nothing in noise."""

    def __init__(self, *boxes: tuple[int, int, int, int]) -> None:
        self.boxes = boxes

    def detect(self, image: object) -> list[Face]:
        del image
        five = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        return [Face(np.array(b, float), np.array(b[:2]) + five * (b[2] - b[0]), 0.9) for b in self.boxes]


@pytest.fixture
def mini(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as the embedded one."""
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    return tiny_mini


@pytest.fixture
def snap(mini: Path) -> FaceSnap:
    made = FaceSnap.from_pretrained("mini", device="cpu")
    made.analyser.detector = FixedDetector((30, 30, 120, 120))
    return made


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8)


# --- other projects' adapters ---


@pytest.fixture(scope="session")
def arcface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_files.write_arcface(tmp_path_factory.mktemp("arcface") / "arcface.onnx")


@pytest.fixture
def xl(tmp_path: Path) -> Path:
    return published_files.write_xl(tmp_path)


@pytest.fixture
def instantid(tmp_path: Path) -> Path:
    return published_files.write_instantid(tmp_path / "InstantID")


@pytest.fixture
def faceid(tmp_path: Path) -> Path:
    return published_files.write_faceid(tmp_path)
