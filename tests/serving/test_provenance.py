from __future__ import annotations

import io
import json
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from facesnap.serving import watermark
from facesnap.serving.provenance import DIGITAL_SOURCE_TYPE, finished_png, mark_of

PICTURE = np.random.default_rng(0).integers(40, 200, (64, 64, 3), np.uint8)
SETTINGS = {"prompt": "a <b>person</b> & 日本", "seeds": [3, 4], "width": 64}


def chunks(png: bytes) -> tuple[dict[str, str], np.ndarray]:
    image = Image.open(io.BytesIO(png))
    image.load()
    return dict(image.text), np.array(image)  # type: ignore[attr-defined]


def test_a_file_says_how_it_was_made_and_that_a_machine_did() -> None:
    text, pixels = chunks(finished_png(PICTURE, SETTINGS, 4, "job", consent=True, marked=True))
    told = json.loads(text["facesnap"])
    assert (told["prompt"], told["seed"], told["generated"], told["consent"]) == (SETTINGS["prompt"], 4, True, True)
    assert (text["prompt"], text["seed"], text["generated"]) == (SETTINGS["prompt"], "4", "true")
    assert watermark.read(pixels) == mark_of("job") == bytes.fromhex(told["watermark"])


def test_c2pa_fields_are_those_of_a_generated_picture() -> None:
    text, _ = chunks(finished_png(PICTURE, SETTINGS, 4, "job", consent=True, marked=True))
    claim = json.loads(text["c2pa"])
    assert claim["claim_generator"].startswith("FaceSnap/")
    (action,) = claim["assertions"][0]["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == claim["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert claim["signed"] is False


def test_xmp_is_found_and_well_formed() -> None:
    png = finished_png(PICTURE, SETTINGS, 4, "job", consent=True, marked=True)
    assert b"iTXtXML:com.adobe.xmp\x00" in png
    packet = chunks(png)[0]["XML:com.adobe.xmp"]
    root = ElementTree.fromstring(packet[packet.index("<x:xmpmeta") : packet.index("<?xpacket end")])
    found = root.find(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert found is not None
    assert found.text == DIGITAL_SOURCE_TYPE


def test_without_a_watermark_no_pixel_changes_and_the_file_says_so() -> None:
    text, pixels = chunks(finished_png(PICTURE, SETTINGS, 4, "job", consent=False, marked=False))
    np.testing.assert_array_equal(pixels, PICTURE)
    told = json.loads(text["facesnap"])
    assert (told["watermark"], told["consent"], told["generated"]) == (None, False, True)


def test_equal_pictures_give_equal_files() -> None:
    first, second = (finished_png(PICTURE, SETTINGS, 4, "job", consent=True, marked=True) for _ in range(2))
    assert first == second
    assert mark_of("job") != mark_of("other")
