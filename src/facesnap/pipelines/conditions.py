"""From photographs and poses to what FFRNet is given: face tokens and a landmark map.

:class:`Analyser` bundles the frozen parts of the paper's figure (detector, E_f, E_c, Landmark Predictor);
:class:`Conditions` is what they and the mixer make for one person in one pose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch
from torch import Tensor

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import load_image
from facesnap.core.pose import Pose
from facesnap.core.types import Face
from facesnap.core.weights import mini_folder
from facesnap.faces.align import align
from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.detect import FaceDetector, FaceRefiner, HaarDetector, pick_face
from facesnap.faces.encode import FaceEncoder, FaceRecogniser
from facesnap.faces.looks import LooksReader
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.fit import FaceFitter, FittedFace
from facesnap.landmarks.layout import five_points
from facesnap.landmarks.morphable import MorphableLandmarks
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.quiet import quiet

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource


@dataclass(frozen=True)
class Reading:
    """One face of one photograph: ``image`` (H, W, 3) uint8, the detected ``face``, and what E_3d reads from it."""

    image: np.ndarray
    face: Face
    fitted: FittedFace

    def crop(self, zoom: float = 1.0) -> np.ndarray:
        """The aligned crop (112, 112, 3) uint8; zoom 1 for recognisers, :data:`ZOOM` for E_c."""
        return align(self.image, self.face.points5, zoom=zoom)


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
    def from_pretrained(cls, folder: str | Path = "mini", device: str | torch.device = "cpu") -> Analyser:
        """Load the embedded encoders (``"mini"``), or those of a folder that is laid out like them.

        Raises:
            AdapterError: some are missing or damaged.
        """
        root = mini_folder() if str(folder) == "mini" else Path(folder)
        fitter = FaceFitter.from_pretrained(root / "landmarks")
        with quiet():
            appearance_encoder = AppearanceEncoder.from_pretrained(root / "image_encoder", device)
        return cls(
            HaarDetector(refine_with(fitter)),
            fitter,
            FaceEncoder.from_pretrained(root / "face_encoder", device),
            appearance_encoder,
            LooksReader.from_pretrained(root / "looks") if (root / "looks").is_dir() else None,
        )

    def read(self, photo: ImageSource, face: int | None = None) -> Reading:
        """Find and read one face, see :func:`read_face`."""
        return read_face(self.detector, self.fitter, photo, face)

    def identity(self, readings: Sequence[Reading]) -> Identity:
        """One identity from faces of one person: the paper's f_id, f_clip and shape, each averaged."""
        f_id = self.face_encoder.encode([reading.crop() for reading in readings])
        f_clip = self.appearance_encoder.encode([reading.crop(ZOOM) for reading in readings])
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


#: Guided in full, skin gets too dark or too pale and glasses stay away; not at all, likeness falls (docs/LOG.md).
IDENTITY_GUIDANCE: Final = 0.5


@dataclass(frozen=True)
class Conditions:
    """What one call of a pipeline is conditioned on besides its prompt.

    ``tokens``, ``null_tokens``: (1, N, W), ``f_mix`` and what the unguided half attends to. ``landmarks``: (72, 2)
    pixels as requested; ``landmark_map``: (H, W, 3) uint8, the same ones drawn.
    """

    tokens: Tensor
    null_tokens: Tensor
    landmarks: np.ndarray
    landmark_map: np.ndarray

    @staticmethod
    @torch.no_grad()
    def of(
        identity: Identity,
        pose: Pose,
        size: tuple[int, int],
        mixer: FacialAttributeMixer,
        predictor: LandmarkPredictor,
        identity_scale: float = 1.0,
        identity_guidance: float = IDENTITY_GUIDANCE,
    ) -> Conditions:
        """The reference's shape in the given pose, and its tokens.

        Args:
            identity: of the reference.
            pose: of the portrait.
            size: (width, height) of the portrait.
            mixer: FAM.
            predictor: the Landmark Predictor.
            identity_scale: 0 is nobody in particular, 1 the person; between and beyond, on the line through both
                (see :meth:`FacialAttributeMixer.mix`).
            identity_guidance: share of the guidance that acts on the face, too: with 1 the unguided half sees nobody,
                with 0 it sees the person, so that guidance acts on the prompt alone.

        Raises:
            UsageError: ``identity_guidance`` is not from 0 to 1.
        """
        if not 0.0 <= identity_guidance <= 1.0:
            raise UsageError(f"identity_guidance={identity_guidance} must be from 0 to 1")
        weight = mixer.null
        f_id, f_clip = (torch.from_numpy(a)[None].to(weight) for a in (identity.face_embedding, identity.appearance))
        tokens, nobody = mixer.mix(f_id, f_clip, identity_scale), mixer.null_tokens(1)
        unguided = nobody + (1.0 - identity_guidance) * (tokens - nobody)
        landmarks = predictor.predict(identity.shape, pose, size)
        return Conditions(tokens, unguided, landmarks, draw_landmarks(landmarks, size))


def read_face(detector: FaceDetector, fitter: FaceFitter, photo: ImageSource, face: int | None = None) -> Reading:
    """Find and read one face; the largest, or number ``face`` counted from 0, the largest first.

    Raises:
        ImageError: not a photograph.
        NoFaceError: no face on it. FaceTooSmallError: none that can be used. UsageError: fewer than ``face`` says.
    """
    image = load_image(photo)
    source = Path(photo).name if isinstance(photo, str | Path) else "the photograph"
    found = pick_face(detector.detect(image), face, source=source)
    return Reading(image, found, fitter.fit(image, found.box))


def refine_with(fitter: FaceFitter) -> FaceRefiner:
    """E_3d as the detector's second look."""

    def refine(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        fitted = fitter.fit(image, box)
        return fitted.box, five_points(fitted.landmarks2d), fitted.score

    return refine


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


def basis_of(morphable: MorphableLandmarks) -> str:
    """``name@hash`` of what shape coefficients refer to: the basis, not the network that finds them, so that a better
    E_3d can read identities of an older one.
    """
    total = hashlib.sha256()
    for array in (morphable.mean, morphable.identity):
        total.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return f"morphable@{total.hexdigest()[:12]}"


def as_list(photos: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """One photo or several as a list. UsageError if there are none."""
    several = list(photos) if isinstance(photos, list | tuple) else [cast("ImageSource", photos)]
    if not several:
        raise UsageError("give at least one photo")
    return several
