"""What looks at photographs: the frozen parts of the paper's figure (detector, E_f, E_c, Landmark Predictor)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import load_image
from facesnap.core.pose import Pose
from facesnap.core.quiet import quiet
from facesnap.core.types import Face
from facesnap.core.weights import mini_folder
from facesnap.faces.align import CROP_SIZE, align
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.detect import FaceDetector, FaceRefiner, HaarDetector, pick_face
from facesnap.faces.encode import FaceEncoder, FaceRecogniser
from facesnap.faces.looks import LooksReader
from facesnap.landmarks.fit import FaceFitter, FittedFace
from facesnap.landmarks.morphable import basis_of
from facesnap.landmarks.predict import LandmarkPredictor

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource


@dataclass(frozen=True)
class Reading:
    """One face of one photograph: ``image`` (H, W, 3) uint8, the detected ``face``, and what E_3d reads from it."""

    image: np.ndarray
    face: Face
    fitted: FittedFace

    def crop(self, zoom: float = 1.0, size: int = CROP_SIZE) -> np.ndarray:
        """The aligned crop (size, size, 3) uint8; zoom and size 1 and 112 for recognisers, E_c says its own."""
        return align(self.image, self.face.points5, size, zoom)


class Analyser:
    """Everything that looks at photographs."""

    def __init__(
        self,
        detector: FaceDetector,
        fitter: FaceFitter,
        face_encoder: FaceRecogniser,
        appearance_encoder: AppearanceEncoder,
        looks: LooksReader | None = None,
    ) -> None:
        self.detector, self.fitter = detector, fitter
        self.face_encoder, self.appearance_encoder = face_encoder, appearance_encoder
        self.looks = looks
        self.predictor = LandmarkPredictor(fitter)
        self.encoders = {
            "face": face_encoder.identifier,
            "appearance": appearance_encoder.identifier,
            "shape": basis_of(fitter.morphable),
        }

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path = "mini",
        device: str | torch.device = "cpu",
        face_encoder: FaceRecogniser | None = None,
        appearance_encoder: AppearanceEncoder | None = None,
    ) -> Analyser:
        """Load the embedded encoders (``"mini"``), or those of a folder that is laid out like them.

        An adapter that was trained on other encoders brings them: ``face_encoder``, ``appearance_encoder``.

        Raises:
            AdapterError: some are missing or damaged.
        """
        root = mini_folder() if str(folder) == "mini" else Path(folder)
        fitter = FaceFitter.from_pretrained(root / "landmarks")
        own = appearance_encoder is None
        with quiet("transformers"):
            sees = appearance_encoder or AppearanceEncoder.from_pretrained(root / "image_encoder", device)
        return cls(
            HaarDetector(refine_with(fitter)),
            fitter,
            face_encoder or FaceEncoder.from_pretrained(root / "face_encoder", device),
            sees,
            LooksReader.from_pretrained(root / "looks") if own and (root / "looks").is_dir() else None,
        )

    def read(self, photo: ImageSource, face: int | None = None, near: np.ndarray | None = None) -> Reading:
        """Find and read one face, see :func:`read_face`."""
        return read_face(self.detector, self.fitter, photo, face, near)

    def identity(self, readings: Sequence[Reading]) -> Identity:
        """One identity from faces of one person: the paper's f_id, f_clip and shape, each averaged."""
        f_id = self.face_encoder.encode([reading.crop() for reading in readings])
        sees = self.appearance_encoder
        f_clip = sees.encode([reading.crop(sees.zoom, sees.crop_size) for reading in readings])
        parts = zip(f_id, f_clip, readings, strict=True)
        return Identity.mean([Identity(who, looks, r.fitted.shape, self.encoders) for who, looks, r in parts])

    def enroll(self, photos: ImageSource | Sequence[ImageSource], face: int | None = None) -> Identity:
        """Identity of the person on one photo or several; see :func:`read_face` for ``face`` and errors."""
        return self.identity([self.read(photo, face) for photo in as_list(photos)])

    def pose_from(self, photo: ImageSource, face: int | None = None, *, keep_framing: bool = False) -> Pose:
        """Pose and expression of a driving photograph, and its framing if ``keep_framing`` (see
        :meth:`FittedFace.driving`); see :func:`read_face` for ``face`` and errors.
        """
        return self.read(photo, face).fitted.driving(keep_framing)


def read_face(
    detector: FaceDetector,
    fitter: FaceFitter,
    photo: ImageSource,
    face: int | None = None,
    near: np.ndarray | None = None,
) -> Reading:
    """Find and read one face: the largest, or number ``face`` counted from 0, the largest first; or the one whose
    middle is nearest to the pixel ``near`` (2,).

    Raises:
        ImageError: not a photograph.
        NoFaceError: no face on it. FaceTooSmallError: none that can be used. UsageError: fewer than ``face`` says.
    """
    image = load_image(photo)
    source = Path(photo).name if isinstance(photo, str | Path) else "the photograph"
    # A detector of somebody else's may have no quicker way to the largest one.
    largest = getattr(detector, "largest", detector.detect)
    faces: list[Face] = (largest if face is None and near is None else detector.detect)(image)
    if near is not None and faces:
        middles = np.stack([(each.box[:2] + each.box[2:]) / 2 for each in faces])
        faces = [faces[int(np.linalg.norm(middles - near, axis=1).argmin())]]
    found = pick_face(faces, face, source=source)
    return Reading(image, found, fitter.fit(image, found.box))


def refine_with(fitter: FaceFitter) -> FaceRefiner:
    """E_3d as the detector's second look."""
    return fitter.refine


def pose_from_image(photo: object, keep_framing: bool = False) -> Pose:
    """Pose and expression (and framing, if asked for) of the largest face on a photograph, by the embedded encoders.

    Raises:
        As :func:`read_face`; AdapterError: the embedded weights are missing.
    """
    fitter = _embedded_fitter(mini_folder())
    reading = read_face(HaarDetector(refine_with(fitter)), fitter, cast("ImageSource", photo))
    return reading.fitted.driving(keep_framing)


@lru_cache(maxsize=1)
def _embedded_fitter(folder: Path) -> FaceFitter:
    return FaceFitter.from_pretrained(folder / "landmarks")


def as_list(photos: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """One photo or several as a list. UsageError if there are none."""
    several = list(photos) if isinstance(photos, list | tuple) else [cast("ImageSource", photos)]
    if not several:
        raise UsageError("give at least one photo")
    return several
