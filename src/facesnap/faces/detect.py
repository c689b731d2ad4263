"""Finding faces in real photographs, offline: OpenCV's cascades propose, a refiner judges and sharpens.

The cascades that OpenCV ships are old, but they were trained on real photographs and need no download. What
they lack (five points, rolled heads, certainty) comes from a :class:`FaceRefiner`, in practice E_3d.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np

from facesnap.core.errors import FaceTooSmallError, InputError, NoFaceError, UsageError
from facesnap.core.images import load_image
from facesnap.core.types import Face

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: The folder of OpenCV's own cascades.
CASCADES: Final = Path(cv2.__file__).parent / "data"

logger = logging.getLogger(__name__)


class FaceDetector(Protocol):
    """What every detector offers."""

    def detect(self, image: ImageSource) -> list[Face]:
        """All faces of a picture, the largest first; none is an empty list."""


class FaceRefiner(Protocol):
    """Looks closely at one proposed box: ``refine(image, box) -> (box, points5, score)``."""

    def __call__(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """(H, W, 3) RGB uint8 and (4,) pixels -> (4,) the face's box, (5, 2) its points, [0, 1] is it a face.

        An InputError says that there is none.
        """


@dataclass(frozen=True)
class Cascade:
    """One of OpenCV's cascades; ``doubt``: the number of agreeing windows at which it is right half of the time."""

    file: str
    doubt: float
    mirrored: bool = False


#: alt2 hardly ever errs; the default cascade finds more, and coins too; profiles are of one side only.
ALT2: Final = Cascade("haarcascade_frontalface_alt2.xml", doubt=6)
DEFAULT: Final = Cascade("haarcascade_frontalface_default.xml", doubt=30)
PROFILES: Final = tuple(Cascade("haarcascade_profileface.xml", doubt=10, mirrored=side) for side in (False, True))

#: Longer side of the picture that is searched, in pixels: first, for small faces, and for less likely cases.
FIRST_SIDE, LARGE_SIDE, QUICK_SIDE = 640, 1280, 480
#: Smallest face that is looked for in such a picture, in pixels. (A cascade's window has 20.)
SMALLEST: Final = 32
#: How much smaller than a face that is sure others are still looked for, where the largest is wanted: boxes of the same
#: face, which sharpen it, differ by less.
NOTICED: Final = 0.5
ANGLES: Final = (30, -30, 60, -60, 90, -90, 180)
#: How far to trust what a later search finds, where the first saw nothing: many looks make many false alarms.
LATER_TRUST: Final = 0.25
#: How likely a picture in which no cascade sees anything is a tight crop of a face.
TIGHT_CROP_SCORE: Final = 0.1

#: Where the 72 landmarks' box lies in a cascade's: its longer side as a share of the cascade's, and how much further
#: down its middle is (cascades see foreheads and miss chins). On 72 renders 0.86 +- 0.08 and 0.167 +- 0.04, alike for
#: all cascades, on the example photograph 0.91 and 0.19. Uncorrected, E_3d's first look would be two standard
#: deviations off the crops it was trained on.
LANDMARK_SHARE, LANDMARK_DROP = 0.88, 0.17
#: Where eyes, nose tip and mouth corners lie in that box, roughly, when the face looks straight ahead.
ROUGH_POINTS: Final = np.array([[0.23, 0.16], [0.77, 0.16], [0.50, 0.42], [0.28, 0.60], [0.72, 0.60]])


class HaarDetector:
    """Finds faces with OpenCV's cascades, and checks each with a refiner.

    The first of these searches that finds something wins: the picture; the picture with a border, for tight crops;
    the picture at a larger scale; the picture turned by 30, 60, 90, 180 degrees; the whole picture as a face.

    Args:
        refine: gives box, five points and score. Without it the five points are **rough** (fixed places in
            the box: good enough to see, not to encode), and a tight crop that no cascade accepts is not found.
        threshold: least score of a face, in [0, 1]. Cascades and refiner are taken as independent witnesses: their
            odds are multiplied.
    """

    def __init__(self, refine: FaceRefiner | None = None, threshold: float = 0.55) -> None:
        self.refine = refine
        self.threshold = threshold
        self._loaded: dict[str, cv2.CascadeClassifier] = {}
        self._lock = threading.Lock()  # a cascade keeps the picture it is working on

    def detect(self, image: ImageSource) -> list[Face]:
        """All faces of a picture, the largest first; an empty list if there are none.

        Raises:
            ImageError: not a picture.
        """
        return self._detect(load_image(image), largest=False)

    def largest(self, image: ImageSource) -> list[Face]:
        """The same for who wants the first of them alone, in half of the time: much smaller ones may be missing.

        Raises:
            ImageError: not a picture.
        """
        return self._detect(load_image(image), largest=True)

    def _detect(self, picture: np.ndarray, largest: bool) -> list[Face]:
        searches: tuple[Callable[[np.ndarray], list[Face]], ...] = (
            lambda picture: self._search(picture, FIRST_SIDE, (ALT2, DEFAULT, *PROFILES), 0.5, largest),
            self._search_with_border,
            self._search_large,
            self._search_turned,
            self._whole_picture,
        )
        for search in searches:
            if faces := search(picture):
                return sorted(faces, key=lambda face: (-face.size, *face.box.tolist()))
        return []

    def _search(
        self, picture: np.ndarray, side: int, cascades: Sequence[Cascade], trust: float, largest: bool = False
    ) -> list[Face]:
        """Faces of an upright picture, searched at the given longer side; or, of the much smaller ones, not all."""
        scale = min(1.0, side / max(picture.shape[:2]))
        width, height = (max(1, round(length * scale)) for length in picture.shape[1::-1])
        if min(width, height) < SMALLEST:
            return []
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        back = np.array(picture.shape[1::-1] * 2) / np.array([width, height] * 2)
        found: list[Face] = []
        least, seen = SMALLEST, dict[bytes, Face]()
        for each in cascades:
            new = [Face(box * back, np.empty((5, 2)), score) for box, score in self._run(each, grey, least)]
            found += new
            if largest and new and least == SMALLEST and each is not cascades[-1]:
                sure = [face.size for face in self._judge(picture, found, trust, seen)]
                # A cascade takes its time for small windows: there are the most of them.
                least = max([least, *(int(NOTICED * size * scale / LANDMARK_SHARE) for size in sure)])
        return self._judge(picture, found, trust, seen)

    def _run(self, cascade: Cascade, grey: np.ndarray, least: int) -> list[tuple[np.ndarray, float]]:
        """Boxes (4,), around the landmarks, and scores of one cascade; of windows of ``least`` pixels or more."""
        pixels = np.ascontiguousarray(grey[:, ::-1]) if cascade.mirrored else grey
        with self._lock:
            if cascade.file not in self._loaded:
                self._loaded[cascade.file] = cv2.CascadeClassifier(str(CASCADES / cascade.file))
            boxes, votes = self._loaded[cascade.file].detectMultiScale2(
                pixels, scaleFactor=1.1, minNeighbors=2, minSize=(least, least)
            )
        results = []
        for (x, y, w, h), count in zip(boxes, votes, strict=True):
            left = grey.shape[1] - x - w if cascade.mirrored else x
            box = np.array([left, y, left + w, y + h], dtype=np.float64)
            results.append((around_landmarks(box), float(count / (count + cascade.doubt))))
        return results

    def _judge(
        self, picture: np.ndarray, proposals: Sequence[Face], trust: float, seen: dict[bytes, Face] | None = None
    ) -> list[Face]:
        """Merge proposals, refine each, drop what doesn't look like a face; ``trust`` 0.5 is neutral. ``seen``: what
        the refiner said of boxes before, of the same picture; it is added to.
        """
        merged = [replace(face, score=_joint(face.score, trust)) for face in _merge(proposals, confirm=True)]
        faces = [self._refined(picture, face, {} if seen is None else seen) for face in merged]
        good = [face for face in faces if face.score >= self.threshold and np.isfinite(face.points5).all()]
        return _merge(good, confirm=False)

    def _refined(self, picture: np.ndarray, face: Face, seen: dict[bytes, Face]) -> Face:
        if self.refine is None:
            corner, extent = face.box[:2], face.box[2:] - face.box[:2]
            return replace(face, points5=corner + ROUGH_POINTS * extent)
        key = face.box.tobytes()
        if key not in seen:
            try:
                box, points5, score = self.refine(picture, face.box)
                seen[key] = Face(np.asarray(box), np.asarray(points5), float(score))
            except InputError:  # it lost the face altogether: a false alarm
                return replace(face, score=0.0)
        return replace(seen[key], score=_joint(face.score, seen[key].score))

    def _search_with_border(self, picture: np.ndarray) -> list[Face]:
        """A face that fills the picture: cascades need to see what surrounds it."""
        picture, scale = _shrink(picture, LARGE_SIDE)
        border = round(0.3 * min(picture.shape[:2]))
        wide = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE)
        matrix = np.array([[1, 0, -border], [0, 1, -border]]) / scale
        return [_moved(face, matrix) for face in self._search(wide, QUICK_SIDE, (ALT2, DEFAULT), LATER_TRUST)]

    def _search_large(self, picture: np.ndarray) -> list[Face]:
        """Faces that are small in a large picture."""
        if max(picture.shape[:2]) <= FIRST_SIDE:  # nothing that the first search didn't see
            return []
        return self._search(picture, LARGE_SIDE, (ALT2, DEFAULT), LATER_TRUST)

    def _search_turned(self, picture: np.ndarray) -> list[Face]:
        """Rolled heads and photographs that lie on their side; of the angles that see a face, the best counts."""
        picture, scale = _shrink(picture, LARGE_SIDE)
        found = []
        for angle in ANGLES:
            turned, matrix = _turn(picture, angle)
            found += [_moved(face, matrix / scale) for face in self._search(turned, QUICK_SIDE, (ALT2,), LATER_TRUST)]
        return _merge(found, confirm=False)

    def _whole_picture(self, picture: np.ndarray) -> list[Face]:
        """The picture itself as a tight crop: only a very sure refiner may say so."""
        height, width = picture.shape[:2]
        if self.refine is None or min(height, width) < SMALLEST:
            return []
        box = np.array([0, 0, width, height], dtype=np.float64)
        return self._judge(picture, [Face(box, np.empty((5, 2)), TIGHT_CROP_SCORE)], trust=0.5)


def around_landmarks(box: np.ndarray) -> np.ndarray:
    """A cascade's square box (4,) -> the square around the face's 72 landmarks, brows to chin, as E_3d expects it."""
    centre, side = (box[:2] + box[2:]) / 2, box[3] - box[1]
    centre = centre + [0.0, LANDMARK_DROP * side]
    half = LANDMARK_SHARE * side / 2
    return np.concatenate([centre - half, centre + half])


def _joint(first: float, second: float) -> float:
    """Two independent probabilities as one: their odds multiplied. None is taken as certain."""
    a, b = (min(max(score, 0.01), 0.99) for score in (first, second))
    return a * b / (a * b + (1 - a) * (1 - b))


def _merge(faces: Sequence[Face], confirm: bool) -> list[Face]:
    """Keep the surest of overlapping boxes; ``confirm``: the others add to its score (1 - product of doubts)."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, *face.box.tolist())):
        twin = next((i for i, other in enumerate(kept) if _overlap(face.box, other.box) > 0.35), None)
        if twin is None:
            kept.append(face)
        elif confirm:
            kept[twin] = replace(kept[twin], score=1 - (1 - kept[twin].score) * (1 - face.score))
    return kept


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes (4,) x0, y0, x1, y1: what both cover as a share of what either does."""
    shared, areas = _areas(a, b)
    return shared / (sum(areas) - shared)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union, or 0.5 if one lies almost wholly in the other."""
    shared, areas = _areas(a, b)
    within = 0.5 if shared > 0.8 * min(areas) else 0.0
    return max(within, intersection_over_union(a, b))


def _areas(a: np.ndarray, b: np.ndarray) -> tuple[float, list[float]]:
    """What two boxes share, and the area of each."""
    extent = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(extent, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 1e-6))) for box in (a, b)]
    return shared, areas


def _shrink(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The picture with its longer side at most ``side``, and by what it was scaled."""
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture, 1.0
    width, height = (max(1, round(length * scale)) for length in picture.shape[1::-1])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)), scale


def _turn(picture: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned about its centre on a canvas that holds all of it, and the (2, 3) matrix back."""
    height, width = picture.shape[:2]
    size = np.array([width, height], dtype=np.float64)
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0))
    canvas = np.ceil(np.abs(matrix[:, :2]) @ size - 1e-6)
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + (canvas - size) / 2])
    # OpenCV's origin is the first pixel's centre.
    centres = np.column_stack([matrix[:, :2], matrix[:, :2] @ np.array([0.5, 0.5]) + matrix[:, 2] - 0.5])
    turned = cv2.warpAffine(picture, centres, (int(canvas[0]), int(canvas[1])), flags=cv2.INTER_LINEAR)
    return np.asarray(turned), np.asarray(cv2.invertAffineTransform(matrix))


def _moved(face: Face, matrix: np.ndarray) -> Face:
    """A face under a similarity (2, 3); its box stays upright, keeps its centre, and becomes a square if turned."""
    centre = matrix[:, :2] @ (face.box[:2] + face.box[2:]) / 2 + matrix[:, 2]
    half = (face.box[2:] - face.box[:2]) / 2 * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if matrix[0, 1]:
        half = np.full(2, half.max())
    points = face.points5 @ matrix[:, :2].T + matrix[:, 2]
    return Face(np.concatenate([centre - half, centre + half]), points, face.score)


def pick_face(
    faces: Sequence[Face], index: int | None = None, min_size: float = 48, source: str = "the photograph"
) -> Face:
    """Choose the face to work with.

    Args:
        faces: as :meth:`FaceDetector.detect` gives them, the largest first.
        index: which one, from 0; None takes the largest, and says so (as a logged warning) if there are others.
        min_size: least size of a usable face, in pixels.
        source: what to call the picture in messages.

    Raises:
        NoFaceError: there is none.
        UsageError: there is no face of that index.
        FaceTooSmallError: the chosen one is smaller than ``min_size``.
    """
    if not faces:
        raise NoFaceError(f"no face found in {source}: use a photograph that shows one from the front, well lit")
    if index is not None and not 0 <= index < len(faces):
        raise UsageError(f"{source} has {len(faces)} face(s), numbered from 0: there is no face {index}")
    face = faces[index or 0]
    if index is None and len(faces) > 1:
        logger.warning("%s has several faces: the largest was taken (choose another with --face N)", source)
    if face.size < min_size:
        raise FaceTooSmallError(
            f"the face in {source} is {face.size:.0f} pixels, at least {min_size:.0f} are needed: use a larger picture"
        )
    return face
