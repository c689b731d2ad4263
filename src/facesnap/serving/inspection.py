"""What a picture's file says of itself, read back: the other side of :mod:`facesnap.serving.provenance`.

All of it is what somebody wrote into the file, or left out: nothing is signed. Only the watermark is in the pixels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from facesnap.core.images import load_image
from facesnap.serving import watermark
from facesnap.serving.provenance import DIGITAL_SOURCE_TYPE, mark_of

if TYPE_CHECKING:
    from PIL import Image

#: As an element's text or as an attribute; an XML reader would have to be kept from what strangers' XML can do.
_SOURCE_TYPE: Final = re.compile(r"DigitalSourceType(?:\s*=\s*[\"']|>)\s*([^\s<\"']+)")


@dataclass(frozen=True)
class Inspection:
    """A picture and what it says of itself.

    Attributes:
        picture: its path.
        format: of the file, in Pillow's words.
        width: pixels.
        height: pixels.
        settings: all that made it, as FaceSnap wrote it; None if there is nothing.
        claim: the ``c2pa`` chunk, unsigned; None likewise.
        source_type: IPTC's digital source type, from XMP; None likewise.
        generated: whether any of these says that a machine made it, or the watermark does.
        consent: whether the person's consent was declared; None where nothing is said of it.
        mark: hex digits of the watermark's bytes, a hash of the job's id; None if there is none, or it is lost.
        agreement: of the watermark's votes beyond chance, in standard deviations; a mark has
            :data:`facesnap.serving.watermark.BELIEVED` or more, other pictures 0 +- 1.
        as_told: whether the mark is the one that the settings name; None without one of the two.
    """

    picture: str
    format: str
    width: int
    height: int
    settings: dict[str, Any] | None
    claim: dict[str, Any] | None
    source_type: str | None
    generated: bool
    consent: bool | None
    mark: str | None
    agreement: float
    as_told: bool | None

    def is_of(self, job_id: str) -> bool:
        """Whether the watermark is that of a job's pictures."""
        return self.mark == mark_of(job_id).hex()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def inspect(path: Path) -> Inspection:
    """Read a picture of any kind. What other programs drop (metadata, in most cases) is simply not there.

    Raises:
        ImageError: missing, not a picture, damaged, or over 100 megapixels.
    """
    from PIL import Image

    pixels = load_image(path)
    with Image.open(path) as image:
        texts, kind = _texts(image), image.format or ""
    payload, agreement = watermark.detect(pixels)
    settings, claim = _object(texts.get("facesnap")), _object(texts.get("c2pa"))
    found = _SOURCE_TYPE.search(texts.get("xmp", ""))
    source_type = found.group(1) if found else None
    told, mark = settings or {}, payload.hex() if payload is not None else None
    consent = told.get("consent")
    return Inspection(
        str(path),
        kind,
        pixels.shape[1],
        pixels.shape[0],
        settings,
        claim,
        source_type,
        _says_generated(told, claim, source_type, mark),
        consent if isinstance(consent, bool) else None,
        mark,
        round(agreement, 1),
        None if mark is None or told.get("watermark") is None else mark == told["watermark"],
    )


def _says_generated(
    told: Mapping[str, Any], claim: Mapping[str, Any] | None, source_type: str | None, mark: str | None
) -> bool:
    claimed = (claim or {}).get("digitalSourceType")
    # FaceSnap's settings are those of a generated picture, whether or not they say so once more.
    return bool(told) or mark is not None or DIGITAL_SOURCE_TYPE in (claimed, source_type)


def _texts(image: Image.Image) -> dict[str, str]:
    """Text chunks of a PNG by keyword, and ``xmp`` of any kind of file. The picture is known to be whole."""
    image.load()  # a PNG may have texts behind its pixels
    texts = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    packet = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or ""
    texts["xmp"] = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    return texts


def _object(text: str | None) -> dict[str, Any] | None:
    """A JSON object; None for anything else. What can't be written as JSON in UTF-8 again is replaced."""
    try:
        value = json.loads(text or "", parse_constant=lambda name: None)
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
