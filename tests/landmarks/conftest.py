from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from facesnap.core.weights import mini_folder
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def morphable() -> MorphableLandmarks:
    return MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)


@pytest.fixture(scope="session")
def head_file() -> Path:
    """ICT-FaceKit's arrays, which aren't part of the package."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "ict_facekit_light.npz"
    path = Path(os.environ.get("FACESNAP_ICT_FACEKIT", beside))
    if not path.is_file():
        pytest.skip("ICT-FaceKit's head model is absent (FACESNAP_ICT_FACEKIT)")
    return path
