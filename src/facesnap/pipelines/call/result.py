"""What a call gives back: pictures, the landmark map, the settings, and how like the person they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from facesnap import __version__
from facesnap.core.errors import FaceTooSmallError, NoFaceError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import png_bytes, write_atomic
from facesnap.core.pose import Pose
from facesnap.faces.detect import FaceDetector
from facesnap.faces.encode import FaceRecogniser
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.layout import inter_ocular
from facesnap.pipelines.analyser import Analyser, read_face

if TYPE_CHECKING:
    from facesnap.pipelines.call.conditions import Conditions

#: How far from where it was asked for a face may be found, in sizes of the face.
NEAR: Final = 1.5


@dataclass(frozen=True)
class LikenessReport:
    """How one picture follows what was asked of it.

    Attributes:
        seed: of the picture; None where the noise came from the caller's generator.
        identity: cosine of the judge's vectors of picture and reference, in [-1, 1]; None if it can't be told.
        judge: ``name@hash`` of the network that judged.
        pose_error: angle in degrees between the requested head rotation and the one found; None if no face can be read
            where it was asked for, or no pose could be asked for.
        expression_error: mean absolute difference of the 53 weights, in [0, 1]; None likewise.
        landmark_nme: mean distance from the requested landmarks in inter-ocular distances; None likewise.
        note: what to know about these numbers; empty if nothing.
        subject: which person of the call, from 0.
    """

    seed: int | None
    identity: float | None
    judge: str
    pose_error: float | None
    expression_error: float | None
    landmark_nme: float | None
    note: str = ""
    subject: int = 0

    def __str__(self) -> str:
        name = ("a picture" if self.seed is None else f"seed {self.seed}") + (
            f", person {self.subject + 1}" if self.subject else ""
        )
        if self.pose_error is None and self.identity is None:
            return f"{name}: {self.note}"
        said = [f"identity {'unknown' if self.identity is None else f'{self.identity:.3f} (judge {self.judge})'}"]
        if self.pose_error is not None and self.landmark_nme is not None:
            said += [f"pose off by {self.pose_error:.1f} degrees", f"landmarks by {100 * self.landmark_nme:.1f}%"]
        return f"{name}: {', '.join(said)}" + (f" ({self.note})" if self.note else "")


class Report(tuple[LikenessReport, ...]):
    """One :class:`LikenessReport` per picture, and per person where several are in it; prints as one line each."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def to_dicts(self) -> list[dict[str, Any]]:
        """The same as plain values, for JSON."""
        return [asdict(each) for each in self]


@dataclass(frozen=True)
class Judgement:
    """What a picture is measured against.

    ``recogniser``: a judge that took no part in making it, or, if the reference's photograph isn't at hand, E_f itself
    (``note`` says so). ``vector``: (D,) the reference as it sees it, or None. ``pose`` and ``landmarks`` (72, 2) as
    they were asked for; None for an adapter that follows none.
    """

    detector: FaceDetector
    fitter: FaceFitter
    recogniser: FaceRecogniser | None
    vector: np.ndarray | None
    pose: Pose | None
    landmarks: np.ndarray | None
    note: str = ""

    @staticmethod
    def of(
        analyser: Analyser,
        judge: FaceRecogniser | None,
        identity: Identity,
        vector: np.ndarray | None,
        pose: Pose | None,
        landmarks: np.ndarray | None,
    ) -> Judgement:
        """Against a person as they were asked for.

        Args:
            analyser: finds and reads faces.
            judge: the independent recogniser; None if it isn't installed.
            identity: the person.
            vector: (D,) as the judge knows them; None if it doesn't.
            pose: asked for; None where the adapter follows none.
            landmarks: (72, 2) pixels, the same.
        """
        note = ""
        if vector is None or judge is None:
            why = (
                "no judge is installed"
                if judge is None
                else "this identity holds no judge's vector (files and blends have none)"
            )
            note = f"{why}, so the encoder that guides the model judged, which flatters"
            judge, vector = analyser.face_encoder, identity.face_embedding
        return Judgement(analyser.detector, analyser.fitter, judge, vector, pose, landmarks, note)

    def measure(self, picture: np.ndarray, seed: int | None, subject: int = 0) -> LikenessReport:
        """Measure a picture (H, W, 3) uint8: the face nearest to where it was asked for (farther away than
        :data:`NEAR` it is somebody else's); or the largest, where no place was asked for.
        """
        asked = self.landmarks
        judge = "none" if self.recogniser is None else self.recogniser.identifier
        unseen = partial(LikenessReport, seed, None, judge, None, None, None, subject=subject)
        try:
            near = None if asked is None else asked.mean(axis=0)
            reading = read_face(self.detector, self.fitter, picture, near=near)
        except NoFaceError:
            return unseen("no face found in the picture")
        except FaceTooSmallError:
            return unseen("the face is too small to be measured")
        fitted = reading.fitted
        if asked is not None:
            x0, y0, x1, y1 = landmark_box(asked)
            middle = (reading.face.box[:2] + reading.face.box[2:]) / 2
            if np.linalg.norm(middle - near) > NEAR * max(x1 - x0, y1 - y0):
                return unseen("no face found where it was asked for")
        identity = None
        if self.recogniser is not None and self.vector is not None:
            identity = float(self.recogniser.encode([reading.crop()])[0] @ self.vector)
        told = partial(LikenessReport, seed, identity, judge, note=self.note, subject=subject)
        if self.pose is None or asked is None:
            return told(None, None, None)
        distance = np.linalg.norm(fitted.landmarks2d - asked, axis=-1).mean()
        return told(
            pose_error=_angle(fitted.rotation, self.pose.rotation()),
            expression_error=float(np.abs(fitted.pose.weights() - self.pose.weights()).mean()),
            landmark_nme=float(distance / inter_ocular(asked)),
        )


@dataclass
class Result:
    """The outcome of one call of :class:`~facesnap.pipelines.facade.FaceSnap`.

    Attributes:
        images: PIL pictures, or what ``output_type`` asked for.
        landmark_map: (H, W, 3) uint8, what FFRNet was shown.
        landmarks: (72, 2) pixels, the same as points; (people, 72, 2) where several are in the picture.
        settings: all that determines the pictures, as plain values (see :mod:`facesnap.pipelines.call.settings`).
        judges: gives what the report measures against, one per person; called when the report is first read.
        provenance: gives hashes of models and identity; called when files are first written.
    """

    images: Any
    landmark_map: np.ndarray
    landmarks: np.ndarray
    settings: dict[str, Any]
    judges: Callable[[], Sequence[Judgement]]
    provenance: Callable[[], Mapping[str, Any]]

    @staticmethod
    def of(
        images: Any,
        conditions: Sequence[Conditions],
        settings: dict[str, Any],
        judges: Callable[[], Sequence[Judgement]],
        provenance: Callable[[], Mapping[str, Any]],
    ) -> Result:
        """The outcome for everyone in a picture."""
        drawn = np.max([each.landmark_map for each in conditions], axis=0)
        points = np.stack([each.landmarks for each in conditions])
        return Result(images, drawn, points[0] if len(points) == 1 else points, settings, judges, provenance)

    @cached_property
    def report(self) -> Report:
        """Likeness of every picture, measured when it is first asked for.

        Raises:
            UsageError: the pictures are latents or tensors.
        """
        judges, seeds = self.judges(), self.settings["seeds"]
        return Report(
            judge.measure(picture, seed, subject)
            for picture, seed in zip(self._pictures(), seeds, strict=True)
            for subject, judge in enumerate(judges)
        )

    def save(self, folder: str | Path, name: str = "portrait") -> list[Path]:
        """Write ``NAME-SEED.png`` for every picture, its settings inside. The same call gives the same files. Pictures
        that have no seed are numbered from 1.

        Where another picture has that name, it stays, and this one becomes ``NAME-SEED-2.png`` and so on.

        Raises:
            OutputError: a file can't be written; nothing partial is left behind.
            UsageError: the pictures are latents or tensors.
        """
        paths = []
        settings = {**self.settings, **self.provenance()}
        seeds = self.settings["seeds"]
        for index, (picture, seed) in enumerate(zip(self._pictures(), seeds, strict=True)):
            data = png_bytes(picture, metadata({**_of_picture(settings, index, len(seeds)), "seed": seed}))
            path = _free_or_equal(Path(folder), f"{name}-{index + 1 if seed is None else seed}", data)
            write_atomic(path, data)
            paths.append(path)
        return paths

    def _pictures(self) -> list[np.ndarray]:
        """The pictures as (H, W, 3) uint8."""
        return [as_bytes(image) for image in self.images]


def _free_or_equal(folder: Path, stem: str, data: bytes) -> Path:
    """The first of ``stem.png``, ``stem-2.png`` ... that isn't there, or holds the same bytes."""
    path, number = folder / f"{stem}.png", 1
    while path.is_file() and path.read_bytes() != data:
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path


def _of_picture(settings: Mapping[str, Any], index: int, pictures: int) -> dict[str, Any]:
    """Settings of one picture: of what there is one of per prompt, its own."""
    own = dict(settings)
    for name in ("prompt", "full_prompt", "negative_prompt"):
        if isinstance(own.get(name), list):
            own[name] = own[name][index // (pictures // len(own[name]))]
    return own


def metadata(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as a PNG's text chunks: the usual ones by name, everything as JSON under ``facesnap``."""
    everything = {key: value for key, value in settings.items() if key != "seeds"}
    return {
        "Software": f"FaceSnap {__version__}",
        "prompt": settings["prompt"] or "",
        "seed": "" if settings["seed"] is None else str(settings["seed"]),
        "facesnap": json.dumps(everything, sort_keys=True, ensure_ascii=False),
    }


def as_bytes(image: Any) -> np.ndarray:
    """A PIL picture, or (H, W, 3) float in [0, 1], as (H, W, 3) uint8. UsageError for latents and tensors."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[-1] == 3:
        return np.asarray((image * 255).round().clip(0, 255).astype(np.uint8))
    raise UsageError('only pictures can be measured and saved: use output_type="pil" or "np"')


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Angle in degrees between two rotations (3, 3)."""
    return float(np.degrees(np.arccos(np.clip((np.trace(first.T @ second) - 1) / 2, -1.0, 1.0))))
