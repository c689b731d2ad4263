"""A driver that moves: frames are followed, gaps bridged, jitter averaged away."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facesnap.core.errors import ImageError, NoFaceError, UsageError
from facesnap.core.images import load_image, save_png
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.pipelines import video as clip
from facesnap.pipelines.analyser import Analyser
from facesnap.pipelines.video import is_clip, poses_of, smoothed

PHOTO = Path(__file__).parents[2] / "examples" / "eileen_collins.jpg"
SHIFT = 4


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    return Analyser.from_pretrained("mini")


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """A photograph that moves to the right, and one black frame."""
    photo = load_image(PHOTO)
    small = cv2.resize(photo, None, fx=320 / photo.shape[0], fy=320 / photo.shape[0], interpolation=cv2.INTER_AREA)
    small = small[:, : small.shape[1] // 2 * 2]
    moved = [np.roll(small, SHIFT * i, axis=1) for i in range(6)]
    return [np.zeros_like(small) if i == 3 else frame for i, frame in enumerate(moved)]


def framed(**settings: float) -> Pose:
    return Pose(**settings, camera=Camera(0.03, 0.5, 0.5, 0.01))  # type: ignore[arg-type]


def test_a_film_gives_a_pose_for_each_frame(analyser: Analyser, frames: list[np.ndarray], tmp_path: Path) -> None:
    height, width = frames[0].shape[:2]
    film = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (width, height))
    for frame in frames:
        film.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    film.release()
    poses, rate = poses_of(analyser, tmp_path / "a.avi", smoothing=0.0, keep_framing=True)
    assert rate == 20.0
    assert len(poses) == len(frames)
    places = np.array([pose.camera.cx * width for pose in poses if pose.camera])
    np.testing.assert_allclose(np.diff(places), SHIFT, atol=2.0)  # the black frame's, too
    assert poses[3] == poses[2].towards(poses[4], 0.5)
    assert all(pose.camera is None for pose in poses_of(analyser, tmp_path / "a.avi")[0])


def test_a_folder_is_read_by_name_and_the_detector_asked_once(
    analyser: Analyser, frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, frame in enumerate(frames[:3]):
        save_png(tmp_path / f"{9 - i}.png", frame)
    asked: list[int] = []
    detect = analyser.detector.detect
    monkeypatch.setattr(analyser.detector, "detect", lambda image: asked.append(1) or detect(image))
    poses, rate = poses_of(analyser, tmp_path, smoothing=0.0, keep_framing=True)
    assert (len(poses), rate, len(asked)) == (3, clip.FOLDER_RATE, 1)
    places = [pose.camera.cx for pose in poses if pose.camera]
    assert places == sorted(places, reverse=True)


def test_jitter_goes_and_a_turn_stays() -> None:
    rng = np.random.default_rng(0)
    turn = np.linspace(-30, 30, 61)
    smooth = smoothed([framed(yaw=float(yaw)) for yaw in turn + rng.normal(0, 2, 61)], deviation=3)
    error = np.array([pose.yaw for pose in smooth]) - turn
    assert np.abs(error[5:-5]).mean() < 0.8
    still = smoothed([framed(yaw=5.0, pitch=-3.0)] * 4, deviation=2)
    assert [(round(p.yaw, 6), round(p.pitch, 6)) for p in still] == [(5.0, -3.0)] * 4


def test_what_comes_before_the_first_face_holds_still() -> None:
    poses = smoothed([None, framed(yaw=10.0), None, framed(yaw=20.0), None], deviation=0)
    assert [pose.yaw for pose in poses] == [10.0, 10.0, 15.0, 20.0, 20.0]


def test_refusals_are_one_line(analyser: Analyser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    empty, black = tmp_path / "empty", tmp_path / "black"
    empty.mkdir()
    for i in range(2):
        save_png(black / f"{i}.png", np.zeros((64, 64, 3), np.uint8))
    for path, error, words in (
        (tmp_path / "none.mp4", ImageError, "does not exist"),
        (tmp_path / "text.mp4", ImageError, r"text\.mp4 is not a clip"),
        (empty, ImageError, "holds no pictures"),
        (black, NoFaceError, "none of the 2 frames|no face found in any of the 2 frames"),
    ):
        with pytest.raises(error, match=words):
            poses_of(analyser, path)
    monkeypatch.setattr(clip, "MOST_FRAMES", 1)
    with pytest.raises(UsageError, match="more than 1 frames"):
        poses_of(analyser, black)
    with pytest.raises(UsageError, match="must not be negative"):
        poses_of(analyser, black, smoothing=-1)


def test_a_head_held_at_the_limit_stays_there() -> None:
    assert [pose.yaw for pose in smoothed([framed(yaw=60.0)] * 40, deviation=1.3)] == pytest.approx([60.0] * 40)


def test_frames_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    ordered = ["frame2a.png", "frame2b.png", "frame9.png", "frame10.png"]
    for name in (*reversed(ordered), ".hidden"):
        (tmp_path / name).touch()
    assert [path.name for path in clip._pictures(tmp_path)] == ordered
    assert clip.check_clip(tmp_path) == 4


def test_clips_are_known_by_name(tmp_path: Path) -> None:
    assert is_clip(Path("a.MP4"))
    assert is_clip(tmp_path)
    assert not is_clip(Path("a.jpg"))
