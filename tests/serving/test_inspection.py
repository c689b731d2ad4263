"""What is written into a picture is read back, and what isn't there isn't made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facesnap.core.errors import ImageError
from facesnap.core.images import load_image, save_png
from facesnap.pipelines.call.result import metadata
from facesnap.serving import watermark
from facesnap.serving.inspection import inspect
from facesnap.serving.provenance import DIGITAL_SOURCE_TYPE, claim, finished_png, mark_of

PHOTO = Path(__file__).parents[2] / "examples" / "eileen_collins.jpg"
PICTURE = np.array(Image.fromarray(load_image(PHOTO)).resize((128, 160)))
SETTINGS = {"prompt": "a person", "seeds": [3], "models": {"adapter": "0123456789ab"}}


def written(folder: Path, consent: bool = True, marked: bool = True) -> Path:
    path = folder / "picture.png"
    path.write_bytes(finished_png(PICTURE, SETTINGS, 3, "job", consent=consent, marked=marked))
    return path


@pytest.mark.parametrize("consent", [True, False])
def test_a_picture_of_the_service_says_all(tmp_path: Path, consent: bool) -> None:
    found = inspect(written(tmp_path, consent))
    assert (found.format, found.width, found.height) == ("PNG", 128, 160)
    assert found.settings is not None
    assert (found.settings["seed"], found.settings["models"]) == (3, SETTINGS["models"])
    assert found.claim == claim()
    assert found.source_type == DIGITAL_SOURCE_TYPE
    assert (found.generated, found.consent, found.as_told) == (True, consent, True)
    assert found.mark == mark_of("job").hex()
    assert found.agreement > watermark.BELIEVED
    assert (found.is_of("job"), found.is_of("other")) == (True, False)


def test_without_its_metadata_the_mark_still_says_it(tmp_path: Path) -> None:
    path = tmp_path / "copy.jpg"
    Image.open(written(tmp_path)).save(path, quality=80)
    found = inspect(path)
    assert (found.settings, found.claim, found.source_type, found.consent, found.as_told) == (None,) * 5
    assert (found.format, found.generated, found.is_of("job")) == ("JPEG", True, True)


def test_a_photograph_says_nothing(tmp_path: Path) -> None:
    found = inspect(PHOTO)
    assert (found.settings, found.claim, found.source_type, found.mark, found.consent) == (None,) * 5
    assert not found.generated
    assert found.agreement < watermark.BELIEVED
    save_png(tmp_path / "small.png", np.zeros((8, 8, 3), np.uint8))
    assert inspect(tmp_path / "small.png").agreement == 0


def test_a_picture_of_a_local_call_has_settings_alone(tmp_path: Path) -> None:
    save_png(tmp_path / "local.png", PICTURE, metadata({"prompt": "a person", "seed": 4}))
    found = inspect(tmp_path / "local.png")
    assert found.settings == {"prompt": "a person", "seed": 4}
    assert (found.generated, found.claim, found.mark, found.consent) == (True, None, None, None)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_xmp_is_read_in_files_of_other_programs(tmp_path: Path, kind: str) -> None:
    packet = f"<x:xmpmeta><rdf:Description Iptc4xmpExt:DigitalSourceType='{DIGITAL_SOURCE_TYPE}'/></x:xmpmeta>"
    Image.fromarray(PICTURE).save(tmp_path / "other", kind, xmp=packet.encode())
    found = inspect(tmp_path / "other")
    assert (found.source_type, found.generated, found.settings) == (DIGITAL_SOURCE_TYPE, True, None)


def test_another_source_is_told_but_is_no_generated_one(tmp_path: Path) -> None:
    camera = DIGITAL_SOURCE_TYPE.replace("trainedAlgorithmicMedia", "digitalCapture")
    packet = f"<Iptc4xmpExt:DigitalSourceType>{camera}</Iptc4xmpExt:DigitalSourceType>"
    Image.fromarray(PICTURE).save(tmp_path / "photo.jpg", xmp=packet.encode())
    found = inspect(tmp_path / "photo.jpg")
    assert (found.source_type, found.generated) == (camera, False)


def test_a_mark_of_another_picture_is_noticed(tmp_path: Path) -> None:
    texts = metadata({"prompt": "a person", "seed": 4, "watermark": mark_of("job").hex()})
    save_png(tmp_path / "forged.png", watermark.embed(PICTURE, mark_of("other")), texts)
    assert inspect(tmp_path / "forged.png").as_told is False


@pytest.mark.parametrize(
    "text", ["no JSON", "[1]", "[" * 100_000, '{"consent": "yes"}', '{"prompt": "\\ud800", "seed": NaN}']
)
def test_what_strangers_write_breaks_nothing(tmp_path: Path, text: str) -> None:
    chunks = PngInfo()
    chunks.add_text("facesnap", text)
    chunks.add_text("c2pa", text)
    Image.fromarray(PICTURE).save(tmp_path / "odd.png", pnginfo=chunks)
    found = inspect(tmp_path / "odd.png")
    assert found.consent is None
    assert found.settings in (None, {"consent": "yes"}, {"prompt": "?", "seed": None})
    json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False).encode()


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    for path in (tmp_path / "text.png", tmp_path / "nothing.png", tmp_path):
        with pytest.raises(ImageError):
            inspect(path)


def test_it_needs_no_model() -> None:
    code = "import sys, facesnap.cli.inspect, facesnap.serving.inspection; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
