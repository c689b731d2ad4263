from __future__ import annotations

import numpy as np

from facesnap.core.pose import Pose
from facesnap.core.types import Camera, euler_angles
from facesnap.landmarks.crop import MARGIN, apply, face_crop, inverted, landmark_box, transform_head, turned
from facesnap.landmarks.morphable import MorphableLandmarks

CAMERA = Camera(scale=9.0, cx=210.0, cy=150.0, inverse_distance=1 / 70)


def test_moving_a_head_and_moving_its_pixels_are_the_same(morphable: MorphableLandmarks) -> None:
    pose = Pose(yaw=25, pitch=-10, roll=15, expression={"jawOpen": 0.5})
    head = morphable.landmarks3d(np.ones(morphable.components), pose.weights())
    matrix = turned(np.array([[0.4, 0.0, 12.0], [0.0, 0.4, -7.0]]), 35.0, np.array([64.0, 64.0]))
    pixels = apply(matrix, CAMERA.project(head @ pose.rotation().T))
    rotation, camera = transform_head(matrix, pose.rotation(), CAMERA)
    assert np.abs(camera.project(head @ rotation.T) - pixels).max() < 1e-9
    assert np.isclose(euler_angles(rotation)[2], 15 + 35)  # turned clockwise: more roll
    back, again = transform_head(inverted(matrix), rotation, camera)
    assert np.allclose(back, pose.rotation())
    assert np.allclose([again.scale, again.cx, again.cy], [CAMERA.scale, CAMERA.cx, CAMERA.cy])


def test_a_face_crop_is_upright_and_has_the_margin(morphable: MorphableLandmarks) -> None:
    pose = Pose(yaw=10, roll=40)
    points = CAMERA.project(morphable.posed(np.zeros(morphable.components), pose))
    matrix = face_crop(points, pose.roll, 128)
    rotation, _ = transform_head(matrix, pose.rotation(), CAMERA)
    assert abs(euler_angles(rotation)[2]) < 1e-6
    box = landmark_box(apply(matrix, points))
    assert np.isclose(max(box[2] - box[0], box[3] - box[1]), 128 / MARGIN)
    assert np.allclose(box[:2] + box[2:], 128)


def test_an_upright_crop_is_the_plain_one() -> None:
    points = np.array([[10.0, 20.0], [50.0, 40.0]])
    corners = apply(inverted(face_crop(points, 0.0, 100, margin=1.0)), np.array([[0.0, 0.0], [100.0, 100.0]]))
    assert np.allclose(corners, [[10, 10], [50, 50]])
