"""The frozen networks that look at photographs here, and how a worker gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facesnap.core.quiet import quiet
from facesnap.core.weights import mini_folder, sha256_12
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.detect import FaceDetector, HaarDetector
from facesnap.faces.encode import FaceEncoder, FaceRecogniser, OnnxFaceEncoder
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.morphable import basis_of


@dataclass(frozen=True)
class Encoders:
    """Detector, E_3d, E_f and E_c; ``identifiers``: part -> ``name@hash``, as ``dataset.json`` has them."""

    detector: FaceDetector
    fitter: FaceFitter
    face: FaceRecogniser
    appearance: AppearanceEncoder
    identifiers: Mapping[str, str]


@dataclass(frozen=True)
class EncoderSource:
    """Where the encoders come from: a few words that any worker can load them by.

    Attributes:
        folder: laid out like mini's; empty for mini itself.
        face: an ArcFace-style ONNX file in place of that folder's E_f.
        appearance: a transformers folder in place of its E_c.
        device: where E_f and E_c compute.
    """

    folder: str = ""
    face: str = ""
    appearance: str = ""
    device: str = "cpu"

    def __call__(self) -> Encoders:
        """Load them.

        Raises:
            AdapterError: some are missing or damaged.
            MissingExtraError: onnxruntime is absent.
        """
        root = Path(self.folder) if self.folder else mini_folder()
        fitter = FaceFitter.from_pretrained(root / "landmarks")
        face: FaceRecogniser = (
            OnnxFaceEncoder(self.face) if self.face else FaceEncoder.from_pretrained(root / "face_encoder", self.device)
        )
        with quiet("transformers"):
            sees = AppearanceEncoder.from_pretrained(self.appearance or root / "image_encoder", self.device)
        return encoders_of(HaarDetector(fitter.refine), fitter, face, sees, f"E_3d@{sha256_12(root / 'landmarks')}")


def encoders_of(
    detector: FaceDetector, fitter: FaceFitter, face: FaceRecogniser, appearance: AppearanceEncoder, landmarks: str
) -> Encoders:
    """Put together, with their names; ``landmarks``: E_3d's."""
    names = {"face": face.identifier, "appearance": appearance.identifier, "shape": basis_of(fitter.morphable)}
    return Encoders(detector, fitter, face, appearance, {**names, "landmarks": landmarks})
