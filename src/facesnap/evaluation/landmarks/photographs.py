"""Real photographs, for which there is no truth: what is read is drawn onto them, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from facesnap.core.images import crop_matrix, load_image, save_jpeg, similarity_crop
from facesnap.core.pose import Pose
from facesnap.faces.detect import FaceDetector
from facesnap.landmarks.crop import apply
from facesnap.landmarks.draw import overlay
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.pipelines.analyser import read_face

#: Side of a cell in pixels, and of a face's box what it shows.
CELL: Final = 320
MARGIN: Final = 1.8

#: What the same head does in the further columns.
POSES: Final = (Pose(), Pose(yaw=40), Pose(yaw=-40, expression={"smile": 1.0}), Pose(expression={"surprise": 1.0}))


def draw_photographs(path: Path, photos: Sequence[Path], detector: FaceDetector, fitter: FaceFitter) -> None:
    """Write a sheet: a row for each photo, the face, the landmarks on it, and its head as :data:`POSES` have it.

    Raises:
        ImageError, NoFaceError: a photo that can't be used.
        OutputError: the file can't be written.
    """
    predictor, rows = LandmarkPredictor(fitter), []
    for photo in photos:
        image = load_image(photo)
        face = read_face(detector, fitter, image).fitted
        matrix = crop_matrix(face.box, CELL, MARGIN)
        shown = similarity_crop(image, matrix, CELL)
        drawn = overlay(shown, apply(matrix, face.landmarks2d))
        turned = [predictor.map(face.shape, pose, (CELL, CELL)) for pose in POSES]
        rows.append(np.concatenate([shown, drawn, *turned], axis=1))
    save_jpeg(path, np.concatenate(rows))
