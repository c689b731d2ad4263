"""Whom a FaceSnap knows: people from their photos, what their identity files don't hold, and who judges likeness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.core.weights import MODEL_NAME, mini_folder
from facesnap.faces.encode import FaceEncoder, FaceRecogniser
from facesnap.pipelines.analyser import Analyser, as_list
from facesnap.pipelines.call.result import Judgement

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource
    from facesnap.pipelines.call.conditions import Conditions


@dataclass(frozen=True)
class Enrolled:
    """What an identity file doesn't hold, remembered as long as the Identity object lives: the first photo's
    ``pose``, and the judge's ``vector`` (D,) of the person, None without a judge.
    """

    pose: Pose
    vector: np.ndarray | None


class Acquaintances:
    """Gets to know people, and knows them again.

    Args:
        analyser: the frozen encoders.
    """

    def __init__(self, analyser: Analyser) -> None:
        self.analyser = analyser
        self._enrolled: WeakKeyDictionary[Identity, Enrolled] = WeakKeyDictionary()

    def enroll(self, photos: ImageSource | Sequence[ImageSource], face: int | None = None) -> Identity:
        """Get to know a person.

        Args:
            photos: one photo or several of the same person; paths, PIL pictures or (H, W, 3) uint8 arrays.
            face: which face of each photo, from 0, the largest first; None takes the largest.

        Raises:
            ImageError, NoFaceError, FaceTooSmallError: a photo can't be used.
            UsageError: no photo, or no face of that number.
            AdapterError: the judge is damaged.
        """
        readings = [self.analyser.read(photo, face) for photo in as_list(photos)]
        identity = self.analyser.identity(readings)
        vector = None
        if self.judge is not None:
            mean = self.judge.encode([reading.crop() for reading in readings]).mean(axis=0)
            vector = mean / max(float(np.linalg.norm(mean)), 1e-12)
        self._enrolled[identity] = Enrolled(readings[0].fitted.pose.framed(None), vector)
        return identity

    def pose_of(self, identity: Identity, pose: Pose | ImageSource | None = None) -> Pose:
        """What a call's ``pose`` stands for.

        A pose is itself (with its camera, if it has one). A photo gives pose and expression in the default
        composition: usual photos show faces smaller than the model draws them; ``Pose.from_image(photo,
        keep_framing=True)`` asks for its framing too. None is the reference's own pose and expression, in the default
        composition (straight and neutral if the identity comes from a file, which holds no pose).
        """
        if isinstance(pose, Pose):
            return pose
        if pose is not None:
            return self.analyser.pose_from(pose)
        known = self._enrolled.get(identity)
        return known.pose if known else Pose()

    @cached_property
    def judge(self) -> FaceRecogniser | None:
        """The recogniser that took no part in conditioning or training; None if it isn't installed.

        Raises:
            AdapterError: it is there, but damaged.
        """
        folder = mini_folder() / "judge_face"
        return FaceEncoder.from_pretrained(folder) if (folder / MODEL_NAME).is_file() else None

    def judgement(self, identity: Identity, pose: Pose | None, asked: Conditions) -> Judgement:
        """What pictures of a person are measured against, as they were asked for; ``pose``: None if none could be."""
        known = self._enrolled.get(identity)
        vector = known.vector if known else None
        landmarks = None if pose is None else asked.landmarks
        return Judgement.of(self.analyser, self.judge, identity, vector, pose, landmarks)
