"""What a picture's file says of itself: its settings, and that a machine made it, in the words of C2PA and IPTC.

The ``c2pa`` chunk holds what a signed C2PA manifest would assert, so that whoever has a signing key can make one of it;
it isn't signed itself. XMP carries IPTC's digital source type, which picture agencies and search engines read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from PIL.PngImagePlugin import iTXt

from facesnap import __version__
from facesnap.core.images import png_bytes
from facesnap.serving import watermark

#: IPTC's term for pictures that a trained model made.
DIGITAL_SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

_XMP: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
    f"<Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    f"<xmp:CreatorTool>FaceSnap {__version__}</xmp:CreatorTool>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def finished_png(
    picture: np.ndarray, settings: Mapping[str, Any], seed: int, job_id: str, *, consent: bool, marked: bool
) -> bytes:
    """A picture as it leaves the service. Equal pictures of one job give equal bytes.

    Args:
        picture: (H, W, 3) uint8.
        settings: all that determines it, as plain values.
        seed: its own.
        job_id: whose picture it is; the watermark holds a hash of it.
        consent: whether the person's consent was declared.
        marked: whether it gets the watermark.
    """
    from facesnap.pipelines.call.result import metadata  # it brings torch, which reading pictures doesn't need

    payload = mark_of(job_id)
    told = {
        **settings,
        "seed": seed,
        "generated": True,
        "consent": consent,
        "watermark": payload.hex() if marked else None,
    }
    chunks = {
        **metadata(told),
        "generated": "true",
        "c2pa": json.dumps(claim(), sort_keys=True),
        # Readers of XMP look for this keyword in an international chunk.
        "XML:com.adobe.xmp": iTXt(_XMP),
    }
    return png_bytes(watermark.embed(picture, payload) if marked else picture, chunks)


def mark_of(job_id: str) -> bytes:
    """The watermark's payload: it tells which job a picture is of to whoever knows the job, and nothing to others."""
    return hashlib.sha256(job_id.encode()).digest()[: watermark.PAYLOAD]


def claim() -> dict[str, Any]:
    """C2PA's assertions of a generated picture, unsigned."""
    agent = {"name": "FaceSnap", "version": __version__}
    action = {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE, "softwareAgent": agent}
    return {
        "claim_generator": f"FaceSnap/{__version__}",
        "claim_generator_info": [agent],
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        "signed": False,
    }
