"""How a picture is measured: the way a user's photo is read (detector, E_3d), then by the judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.core.types import euler_angles
from facesnap.evaluation.judges import ClipJudge, FaceJudge
from facesnap.evaluation.records import Seen
from facesnap.faces.attributes import AttributeJudge
from facesnap.faces.detect import FaceDetector
from facesnap.landmarks.fit import FaceFitter


@dataclass(frozen=True)
class Observer:
    """Everything that looks at finished pictures. Real renders and generated ones go through the same calls."""

    detector: FaceDetector
    fitter: FaceFitter
    face_judge: FaceJudge
    clip_judge: ClipJudge
    attribute_judge: AttributeJudge | None = None

    def look(self, image: np.ndarray) -> Seen:
        """Measure a picture (H, W, 3) uint8; of several faces the largest counts."""
        clip = self.clip_judge.image_features([image])[0]
        attributes = self.attribute_judge.read(image) if self.attribute_judge else None
        faces = self.detector.detect(image)
        if not faces:
            return Seen(clip, attributes=attributes)
        face = faces[0]
        fitted = self.fitter.fit(image, face.box)
        return Seen(
            clip=clip,
            embedding=self.face_judge.embed(image, face.points5),
            landmarks=fitted.landmarks2d,
            angles=np.array(euler_angles(fitted.rotation)),  # not the pose's, which is clipped to what may be asked
            expression=fitted.pose.weights(),
            attributes=attributes,
        )
