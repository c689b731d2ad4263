from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesnap.core.errors import ImageError, OutputError
from facesnap.core.images import png_bytes
from facesnap.serving.config import Limits, ServeConfig
from facesnap.serving.studio.files import alone, keep, read
from facesnap.serving.studio.serve import files_folder


def test_other_faces_are_covered() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (200, 400, 3), np.uint8)
    data = png_bytes(photo)
    boxes = [(20.0, 20.0, 120.0, 120.0), (200.0, 40.0, 280.0, 120.0), (300.0, 40.0, 380.0, 120.0)]
    assert alone(data, boxes, 0, Limits()) == data
    assert alone(data, boxes[:1], 3, Limits()) == data
    seen = np.asarray(Image.open(io.BytesIO(alone(data, boxes, 1, Limits()))))
    np.testing.assert_array_equal(seen[40:120, 200:280], photo[40:120, 200:280])
    assert (seen[20:120, 20:120] == 128).all()
    assert (seen[40:120, 310:380] == 128).all()


def test_files_lie_where_only_this_user_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "unused")
    config = ServeConfig.of({"data": tmp_path / "data"})
    left = tmp_path / "data" / "studio" / "abc" / "left.png"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed")
    folder = files_folder(config)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert not left.exists()
    path = keep(b"data", "../../me & you.png")
    assert folder in Path(path).parents
    assert Path(path).name == ".._.._me___you.png"
    assert read(path) == b"data"
    Path(path).unlink()
    with pytest.raises(ImageError, match="add it again"):
        read(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="can't use"):
        files_folder(ServeConfig.of({"data": tmp_path / "file"}))
