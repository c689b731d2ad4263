"""The paper's frozen Landmark Predictor: E_3d, recombination of source and driver, projection to 72 landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.images import load_image
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.fit import FaceFitter, FittedFace

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: 1/cm: seen from 90 cm, as with an 85 mm portrait lens.
INVERSE_DISTANCE: Final = 1 / 90

FRONTAL: Final = Pose()


class LandmarkPredictor:
    """Shape from the reference, expression and pose from anywhere, the recombined head as 72 landmarks.

    Finding the face on a photograph is the detector's work, so a box comes in; without one the whole picture is
    taken to be the face (a tight crop).

    Example:
        >>> predictor = LandmarkPredictor.from_pretrained("mini")
        >>> shape = predictor.shape_of("me.jpg", box)
        >>> control = predictor.map(shape, Pose(yaw=20), (512, 512))
    """

    def __init__(self, fitter: FaceFitter) -> None:
        self.fitter = fitter
        self.morphable = fitter.morphable

    @classmethod
    def from_pretrained(cls, folder: str | Path = "mini") -> LandmarkPredictor:
        """Load the embedded predictor (``"mini"``) or one from a folder.

        Raises:
            AdapterError: files missing, or not fitting each other.
        """
        return cls(FaceFitter.from_pretrained(None if folder == "mini" else folder))

    def fit(self, photo: ImageSource, box: np.ndarray | None = None) -> FittedFace:
        """All that E_3d reads from one face: a photograph, and the face's box (4,) in its pixels."""
        image = load_image(photo)
        whole = np.array([0, 0, image.shape[1], image.shape[0]], dtype=np.float64)
        return self.fitter.fit(image, whole if box is None else box)

    def shape_of(self, photo: ImageSource, box: np.ndarray | None = None) -> np.ndarray:
        """Shape coefficients (K,), about N(0, 1), of the face on a photograph."""
        return self.fit(photo, box).shape

    def pose_from(self, photo: ImageSource, box: np.ndarray | None = None, *, keep_framing: bool = False) -> Pose:
        """Pose and expression of the face on a driving photograph; its framing too if ``keep_framing``."""
        return self.fit(photo, box).driving(keep_framing)

    def predict(self, shape: np.ndarray, pose: Pose = FRONTAL, size: tuple[int, int] = (512, 512)) -> np.ndarray:
        """Recombine a source's shape with a driver's expression and pose, and project.

        Args:
            shape: (K,) shape coefficients of the reference.
            pose: expression, angles and framing: its scale and centre (see :meth:`camera_for`), or its camera's, the
                same relative size and place in a picture of this size.
            size: (width, height) of the picture.

        Returns:
            (72, 2) pixels. Hidden points are there too, where the head's surface would show them.

        Raises:
            UsageError: a shape of another morphable model, or a pose's camera in pixels.
        """
        shape = np.asarray(shape)
        if shape.shape != (self.morphable.components,):
            raise UsageError(f"shape must have {self.morphable.components} coefficients, not shape {shape.shape}")
        if pose.camera is not None and pose.camera.scale > 1:  # one centimetre would fill the picture
            raise UsageError("the pose's camera is in pixels: make it relative to its picture by Camera.relative(size)")
        camera = self.camera_for(shape, pose, size) if pose.camera is None else pose.camera.absolute(size)
        return camera.project(self.morphable.posed(shape, pose))

    def map(self, shape: np.ndarray, pose: Pose = FRONTAL, size: tuple[int, int] = (512, 512)) -> np.ndarray:
        """The landmark map (height, width, 3) uint8 of :meth:`predict`: FFRNet's control image."""
        return draw_landmarks(self.predict(shape, pose, size), size)

    def camera_for(self, shape: np.ndarray, pose: Pose, size: tuple[int, int]) -> Camera:
        """The camera that gives a head the pose's scale and centre, in pixels of a picture of ``size`` (width, height).

        It is found for the frontal, neutral head, so that turning or opening the mouth doesn't move the camera.
        """
        unit = Camera(1.0, 0.0, 0.0, INVERSE_DISTANCE)
        x0, y0, x1, y1 = landmark_box(unit.project(self.morphable.posed(shape, FRONTAL)))
        scale = pose.scale * min(size) / (y1 - y0)
        cx = pose.centre[0] * size[0] - scale * (x0 + x1) / 2
        cy = pose.centre[1] * size[1] - scale * (y0 + y1) / 2
        return Camera(float(scale), float(cx), float(cy), INVERSE_DISTANCE)
