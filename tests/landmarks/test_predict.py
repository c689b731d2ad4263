from __future__ import annotations

import numpy as np
import pytest
import torch

from facesnap.core.errors import UsageError
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.layout import COLOURS, inter_ocular
from facesnap.landmarks.morphable import MorphableLandmarks
from facesnap.landmarks.net import LandmarkNet
from facesnap.landmarks.predict import LandmarkPredictor


@pytest.fixture(scope="module")
def predictor(morphable: MorphableLandmarks) -> LandmarkPredictor:
    torch.manual_seed(0)
    return LandmarkPredictor(FaceFitter(LandmarkNet().eval(), morphable))


@pytest.fixture(scope="module")
def shape(morphable: MorphableLandmarks) -> np.ndarray:
    return np.random.default_rng(0).normal(size=morphable.components).astype(np.float32)


@pytest.mark.parametrize("size", [(512, 512), (128, 128), (640, 480), (480, 640)])
def test_default_composition(predictor: LandmarkPredictor, shape: np.ndarray, size: tuple[int, int]) -> None:
    x0, y0, x1, y1 = landmark_box(predictor.predict(shape, Pose(), size))
    assert y1 - y0 == pytest.approx(0.53 * min(size))
    assert (x0 + x1) / 2 == pytest.approx(0.5 * size[0])
    assert (y0 + y1) / 2 == pytest.approx(0.515 * size[1])


def test_an_expression_does_not_move_the_default_camera(predictor: LandmarkPredictor, shape: np.ndarray) -> None:
    calm, open_mouth = (predictor.predict(shape, Pose(expression=e)) for e in ({}, {"jawOpen": 1.0}))
    assert np.allclose(calm[36:52], open_mouth[36:52], atol=4)
    assert open_mouth[8, 1] > calm[8, 1] + 20


def test_left_is_left_up_is_up_and_roll_is_clockwise(predictor: LandmarkPredictor, shape: np.ndarray) -> None:
    straight = predictor.predict(shape, Pose())
    assert predictor.predict(shape, Pose(yaw=30))[30, 0] < straight[30, 0] - 20
    assert predictor.predict(shape, Pose(pitch=20))[30, 1] < straight[30, 1] - 20
    left_eye, right_eye = predictor.predict(shape, Pose(roll=20))[[36, 48]]
    assert right_eye[1] > left_eye[1] + 20


def test_out_of_range_is_refused(predictor: LandmarkPredictor, shape: np.ndarray) -> None:
    with pytest.raises(UsageError, match="yaw=90"):
        Pose(yaw=90)
    with pytest.raises(UsageError, match="coefficients"):
        predictor.predict(shape[:5], Pose())
    with pytest.raises(UsageError, match=r"Camera\.relative"):
        predictor.predict(shape, Pose(camera=Camera(9.0, 100.0, 100.0)))


def test_a_given_camera_keeps_relative_size_and_place(predictor: LandmarkPredictor, shape: np.ndarray) -> None:
    driver = Camera(scale=12.0, cx=150.0, cy=260.0, inverse_distance=1 / 60)
    pose = Pose(yaw=10, camera=driver.relative((400, 500)))
    same = predictor.predict(shape, pose, (400, 500))
    assert np.allclose(same, driver.project(predictor.morphable.posed(shape, pose)))
    assert np.allclose(predictor.predict(shape, pose, (800, 1000)), 2 * same)
    wide = predictor.predict(shape, pose, (1000, 500))  # as tall, but wider: same size, same share from the left
    assert np.allclose(wide - same, [150 / 400 * 1000 - 150, 0])
    assert driver.relative((400, 500)).absolute((400, 500)) == driver


def test_recombination_takes_shape_from_one_and_motion_from_the_other(
    predictor: LandmarkPredictor, shape: np.ndarray
) -> None:
    pose = Pose(yaw=-20, expression={"mouthSmile_L": 0.8, "mouthSmile_R": 0.8})
    mine, other = predictor.predict(shape, pose), predictor.predict(-shape, pose)
    assert np.abs(mine - other).mean() / inter_ocular(mine) > 0.01  # the shapes differ
    moved = predictor.predict(shape, pose) - predictor.predict(shape, Pose())
    moved_other = predictor.predict(-shape, pose) - predictor.predict(-shape, Pose())
    assert np.corrcoef(moved.ravel(), moved_other.ravel())[0, 1] > 0.98  # the motion is the same


def test_the_map_has_the_asked_size_and_the_colours_in_place(predictor: LandmarkPredictor, shape: np.ndarray) -> None:
    size = (320, 256)
    image, points = predictor.map(shape, Pose(yaw=15), size), predictor.predict(shape, Pose(yaw=15), size)
    assert image.shape == (256, 320, 3)
    for index, colour in ((8, "jaw"), (30, "nose"), (19, "brow_l")):
        assert tuple(image[int(points[index, 1]), int(points[index, 0])]) == COLOURS[colour]


def test_shape_and_pose_come_from_a_photograph_of_any_kind(predictor: LandmarkPredictor) -> None:
    from PIL import Image

    photo = Image.new("L", (90, 120), 128)
    assert predictor.shape_of(photo).shape == (predictor.morphable.components,)
    box = np.array([20.0, 30.0, 70.0, 90.0])
    pose = predictor.pose_from(photo, box, keep_framing=True)
    assert predictor.pose_from(photo, box) == pose.framed(None)
    assert pose.camera is not None
    assert 0 < pose.camera.scale < 1
    assert len(pose.expression) == 53
