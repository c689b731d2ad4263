"""A service that paints noise, and Gradio's files in a folder of the test's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.scripted import Scripted

from facesnap.serving.config import ServeConfig
from facesnap.serving.service import Service


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    made = Service(ServeConfig.of({"data": tmp_path / "data"}), Scripted())
    made.start()
    yield made
    made.stop()
