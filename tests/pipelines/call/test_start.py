"""What a call starts from: whose face is whose in the picture, and what a mask keeps of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import NoFaceError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.call.masks import named_mask
from facesnap.pipelines.call.start import Source
from facesnap.pipelines.call.subjects import Subject
from facesnap.pipelines.facade import FaceSnap

WIDE = (160, 80)
LEFT, RIGHT = (0, 0, 80, 80), (80, 0, 160, 80)
FACES = ((14, 14, 64, 64), (90, 8, 152, 70))


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


@pytest.fixture
def scene() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (*WIDE[::-1], 3), dtype=np.uint8)


def result(snap: FaceSnap, who: Any, pose: Any = None, **options: Any) -> Any:
    size = {"width": WIDE[0], "height": WIDE[1]}
    return snap("a face", who, pose, **{"seed": 1, "output_type": "np", "num_inference_steps": 3, **size, **options})


# --- several people onto a picture ---


def test_each_takes_the_pose_of_the_face_in_their_region(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    snap.analyser.detector = FixedDetector(*FACES[::-1])
    made = result(snap, [Subject(me, region=LEFT), Subject(me, region=RIGHT)], image=scene)
    for who, face in enumerate(FACES):
        fitted = snap.analyser.fitter.fit(scene, np.array(face, float))
        pose = fitted.pose
        assert made.settings["pose"][who]["yaw"] == pytest.approx(pose.yaw, abs=1e-3)
        assert pose.camera is not None
        camera = pose.camera.absolute(WIDE)
        head = camera.project(snap.predictor.morphable.posed(me.shape, pose))
        assert np.allclose(made.landmarks[who], head, atol=1e-3), "in its place, on the same pixels"


def test_a_face_is_read_in_the_picture_as_it_came(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    """Four times as large as the call's, of other proportions: a small base's own pixels would be too few."""
    large = np.zeros((400, 640, 3), dtype=np.uint8)
    large[200:360, 300:460] = photo
    snap.analyser.detector = FixedDetector((310, 210, 450, 350))
    made = result(snap, me, image=large, width=80, height=80)
    fitted = snap.analyser.fitter.fit(large, np.array([310, 210, 450, 350], float))
    assert fitted.pose.camera is not None
    head = fitted.pose.camera.absolute((640, 400)).project(snap.predictor.morphable.posed(me.shape, fitted.pose))
    assert np.allclose(made.landmarks, head * 0.2 - [24, 0], atol=1e-2), "cut around the middle, and scaled"
    assert np.allclose(fitted.in_copy(0.2, np.array([-24.0, 0.0]), (80, 80)).box, 0.2 * fitted.box - [24, 0, 24, 0])


def test_a_pose_given_stays_and_who_is_not_there_has_their_own(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    snap.analyser.detector = FixedDetector(FACES[0])
    people = [Subject(me, Pose(yaw=7), LEFT), Subject(me, region=RIGHT)]
    poses = result(snap, people, image=scene).settings["pose"]
    assert poses == [Pose(yaw=7).to_json(), snap.pose_of(me).to_json()], "the left face is not the right one's"


def test_a_named_mask_speaks_of_everyone_found(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    people = [Subject(me, region=LEFT), Subject(me, region=RIGHT)]
    snap.analyser.detector = FixedDetector(*FACES)
    new = np.abs(result(snap, people, image=scene, mask_image="face").images[0] - scene / 255)
    assert new[0, 0].max() < 1e-3
    for box in FACES:
        x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
        assert new[y - 3 : y + 3, x - 3 : x + 3].mean() > 0.01
    snap.analyser.detector = FixedDetector()
    with pytest.raises(NoFaceError, match="mask_image='face'"):
        result(snap, people, image=scene, mask_image="face")


# --- masks ---


def test_the_background_keeps_the_faces_that_were_there_alone() -> None:
    rng = np.random.default_rng(0)
    asked, found = (rng.uniform(-10, 10, (72, 2)) + [x, 40] for x in (40, 120))
    face, background = (named_mask(name, [asked], [found], WIDE) for name in ("face", "background"))
    assert face[40, 40] == face[40, 120] == pytest.approx(1.0, abs=1e-2)
    assert background[40, 40] == 1.0, "no hole of old background where the face shall be"
    assert background[40, 120] == pytest.approx(0.0, abs=1e-2)


def test_a_mask_of_other_proportions_is_refused(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    for shape, fits in (((40, 80), True), ((81, 160), True), ((80, 80), False), ((160, 80), False)):
        mask = np.full(shape, 255, np.uint8)
        if fits:
            result(snap, me, Pose(), image=scene, mask_image=mask)
            continue
        with pytest.raises(UsageError, match=rf"{shape[1]} x {shape[0]} pixels, the image 160 x 80"):
            result(snap, me, Pose(), image=scene, mask_image=mask)
    square = {"width": 64, "height": 64}
    with pytest.raises(UsageError, match="proportions"):
        result(snap, me, Pose(), image=scene, mask_image=np.full((64, 64), 255, np.uint8), **square)


def test_tensors_keep_the_rest_too(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    mask = np.zeros(WIDE[::-1], np.uint8)
    mask[:, 80:] = 255
    given = {"pose": Pose(), "image": scene, "mask_image": mask}
    as_array = result(snap, me, **given).images
    as_tensor = result(snap, me, **given, output_type="pt").images
    assert isinstance(as_tensor, torch.Tensor)
    assert np.abs(as_tensor.permute(0, 2, 3, 1).numpy() - as_array).max() < 1e-5
    assert np.allclose(as_array[0][:, :80], scene[:, :80] / 255, atol=1e-6)
    latents = torch.zeros(1, 4, 20, 40)
    assert Source(scene, (mask / 255).astype(np.float32), 1.0).keep_rest(latents) is latents
