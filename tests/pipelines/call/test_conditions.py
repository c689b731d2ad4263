"""What photographs and poses become before anything is sampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import AdapterError, NoFaceError
from facesnap.core.images import save_png
from facesnap.core.pose import Pose
from facesnap.core.types import Face
from facesnap.faces.align import align
from facesnap.landmarks.layout import five_points
from facesnap.pipelines import analyser as analysers
from facesnap.pipelines.analyser import Analyser, basis_of, refine_with


@pytest.fixture
def analyser(mini: Path) -> Analyser:
    made = Analyser.from_pretrained("mini")
    made.detector = FixedDetector((30, 30, 120, 120))
    return made


def test_identity_is_what_the_encoders_say_of_their_own_crops(analyser: Analyser, photo: np.ndarray) -> None:
    face: Face = analyser.detector.detect(photo)[0]
    identity = analyser.enroll(photo)
    tight, wide = align(photo, face.points5), align(photo, face.points5, zoom=0.7)
    assert np.allclose(identity.face_embedding, analyser.face_encoder.encode([tight])[0], atol=1e-5)
    assert np.allclose(identity.appearance, analyser.appearance_encoder.encode([wide])[0], atol=1e-5)
    assert np.allclose(identity.shape, analyser.fitter.fit(photo, face.box).shape, atol=1e-5)


def test_encoders_are_named_and_the_shape_by_its_basis(analyser: Analyser, mini: Path) -> None:
    assert analyser.encoders["face"].startswith("tiny-face@")
    assert analyser.encoders["shape"] == basis_of(analyser.fitter.morphable)
    identity = analyser.fitter.morphable.identity
    before = basis_of(analyser.fitter.morphable)
    identity[0, 0, 0] += 1.0
    assert basis_of(analyser.fitter.morphable) != before


def test_the_detectors_second_look_is_e_3d(analyser: Analyser, photo: np.ndarray) -> None:
    box = np.array([30.0, 30.0, 120.0, 120.0])
    fitted = analyser.fitter.fit(photo, box)
    refined, points, score = refine_with(analyser.fitter)(photo, box)
    assert np.allclose(refined, fitted.box)
    assert np.allclose(points, five_points(fitted.landmarks2d))
    assert score == fitted.score


def test_pose_from_image_reads_the_face_that_the_detector_finds(
    analyser: Analyser, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysers._embedded_fitter.cache_clear()
    monkeypatch.setattr(analysers, "HaarDetector", lambda refine: analyser.detector)
    save_png(tmp_path / "driver.png", photo)
    plain = Pose.from_image(tmp_path / "driver.png")
    assert plain == analyser.pose_from(photo)
    assert plain.camera is None
    framed = Pose.from_image(tmp_path / "driver.png", keep_framing=True)
    assert framed == analyser.read(photo).fitted.pose
    assert framed.camera is not None
    monkeypatch.setattr(analysers, "HaarDetector", lambda refine: FixedDetector())
    with pytest.raises(NoFaceError, match=r"driver\.png"):
        Pose.from_image(tmp_path / "driver.png")


def test_missing_encoders_are_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="landmarks"):
        Analyser.from_pretrained(tmp_path)
