"""The second pass: which faces are small, where they are cut out, and that all around them stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pipelines.conftest import FixedDetector
from tests.pipelines.test_diffusers_user import depth

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.landmarks.crop import landmark_box
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.passes import second_pass as second_pass_module
from facesnap.pipelines.passes.small_faces import SmallFaces, repaint_faces

SIZE = (192, 96)


def face(x: float, y: float, height: float) -> np.ndarray:
    """Landmarks (72, 2) around a place."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (72, 2)) * [0.9 * height, height]
    points[:2] = [[0, -height / 2], [0, height / 2]]
    return points + [x, y]


def smooth(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    import cv2

    noise = np.random.default_rng(seed).uniform(0, 255, (size[1], size[0], 3))
    return cv2.GaussianBlur(noise, (0, 0), 6).round().astype(np.uint8)


def test_only_small_faces_are_made_anew() -> None:
    settings = SmallFaces(under=0.3)
    assert settings.finds(face(50, 50, 18), 64)
    assert not settings.finds(face(50, 50, 30), 64)
    seen: list[float] = []

    def note(crop: np.ndarray, points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        del matrix
        seen.append(float(np.ptp(points[:, 1])))
        return crop

    repaint_faces(smooth(0), [face(50, 50, 18), face(150, 50, 30)], 64, settings, [note, note])
    assert len(seen) == 1
    assert seen[0] == pytest.approx(0.5 * 64, abs=1.5), "it fills its share of the cut-out"


def test_the_cut_out_shows_the_face_where_its_landmarks_are_said_to_be() -> None:
    picture = np.zeros((96, 192, 3), dtype=np.uint8)
    points = face(60, 40, 16)
    x, y = (round(c) for c in points.mean(axis=0).tolist())
    picture[y - 1 : y + 2, x - 1 : x + 2] = 255

    def look(crop: np.ndarray, placed: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        assert np.allclose(points @ matrix[:, :2].T + matrix[:, 2], placed)
        assert crop.shape == (64, 64, 3)
        u, v = placed.mean(axis=0)
        assert crop[int(v), int(u)].min() > 200
        return crop

    repaint_faces(picture, [points], 64, SmallFaces(), [look])


def test_an_unchanged_cut_out_changes_next_to_nothing() -> None:
    picture = smooth(1)
    same = repaint_faces(picture, [face(60, 40, 16)], 64, SmallFaces(), [lambda crop, *_: crop])
    assert np.abs(same.astype(int) - picture).max() <= 3


def test_the_new_face_arrives_and_the_rest_stays() -> None:
    picture, points = smooth(1), face(60, 40, 16)
    new = repaint_faces(picture, [points], 64, SmallFaces(), [lambda crop, *_: np.full_like(crop, 255)])
    x0, y0, x1, y1 = (int(v) for v in landmark_box(points))
    assert new[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].min() > 200
    far = np.ones(picture.shape[:2], bool)
    far[max(0, y0 - 25) : y1 + 15, x0 - 15 : x1 + 15] = False
    assert np.array_equal(new[far], picture[far])


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def made(snap: FaceSnap, me: Identity, pose: Pose, **options: Any) -> np.ndarray:
    given = {"seed": 1, "output_type": "np", "num_inference_steps": 3, "width": 96, "height": 64, **options}
    return np.asarray(snap("a face", me, pose, **given).images)


def test_a_call_makes_small_faces_anew_and_leaves_large_ones(snap: FaceSnap, me: Identity) -> None:
    for scale, changed in ((0.08, True), (0.9, False)):
        pose = Pose(scale=scale)
        plain = made(snap, me, pose)
        both = made(snap, me, pose, small_faces=True)
        assert np.array_equal(both, made(snap, me, pose, small_faces=True))
        assert bool(np.abs(both - plain).max() > 0.02) is changed, scale
        assert np.abs(both - plain)[0, -1, -1].max() < 0.01, "the corner is no face"


def test_each_picture_of_a_batch_has_its_own_seed(snap: FaceSnap, me: Identity) -> None:
    pose = Pose(scale=0.08)
    two = made(snap, me, pose, small_faces=True, num_images_per_prompt=2, seed=1)
    second = made(snap, me, pose, small_faces=True, seed=2)
    assert np.abs(two[1] - second[0]).max() < 2e-2


def test_pil_pictures_and_a_photograph_as_source(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    snap.analyser.detector = FixedDetector((30, 30, 120, 120))
    result = snap("a face", me, Pose(scale=0.08), image=photo, small_faces=SmallFaces(strength=1.0), seed=1)
    assert result.images[0].size == (32, 32)


def test_latents_and_impossible_settings(snap: FaceSnap, me: Identity) -> None:
    with pytest.raises(UsageError, match="output_type"):
        made(snap, me, Pose(), small_faces=True, output_type="latent")
    with pytest.raises(UsageError, match="strength=0"):
        SmallFaces(strength=0)
    assert replace(SmallFaces(), under=0.5).under == 0.5


# --- masks, other ControlNets, interruption ---


def scene() -> np.ndarray:
    return smooth(3, (96, 64))


def test_what_a_mask_keeps_stays_and_faces_outside_of_it_too(
    snap: FaceSnap, me: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[int] = []
    whole = second_pass_module.sample

    def note(*args: Any) -> Any:
        painted.append(1)
        return whole(*args)

    monkeypatch.setattr(second_pass_module, "sample", note)
    for half, faces in ((slice(0, 48), 0), (slice(48, 96), 1)):
        mask = np.zeros((64, 96), np.uint8)
        mask[:, half] = 255
        painted.clear()
        pose = Pose(scale=0.08, centre=(0.52, 0.5)) if faces else Pose(scale=0.08, centre=(0.9, 0.5))
        new = made(snap, me, pose, image=scene(), mask_image=mask, small_faces=True)
        assert len(painted) == faces
        assert np.allclose(new[0][mask == 0], scene()[mask == 0] / 255, atol=1e-6)


def test_other_controlnets_see_the_same_cut_out(
    mini: Path, me: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth().save_pretrained(tmp_path)
    both = FaceSnap.from_pretrained("mini", device="cpu", controlnets=[tmp_path])
    seen: list[Any] = []
    whole = second_pass_module.sample

    def note(pipeline: Any, job: Any) -> Any:
        seen.append((job.source.image, job.control_images[0]))
        return whole(pipeline, job)

    monkeypatch.setattr(second_pass_module, "sample", note)
    pose = Pose(scale=0.08, centre=(0.3, 0.6))
    first = made(both, me, pose, control_images=[np.zeros((64, 96, 3), np.uint8)], control_scales=[0.0])
    shown = (first[0] * 255).round().astype(np.uint8)
    made(both, me, pose, control_images=[shown], control_scales=[0.0], small_faces=True)
    crop, control = seen[0]
    assert crop.shape == control.shape == (32, 32, 3)
    assert np.abs(crop.astype(int) - control).mean() < 12, "the picture itself as control: the same part of it"
    assert np.abs(crop.astype(int) - control[:, ::-1]).mean() > 2 * np.abs(crop.astype(int) - control).mean()


@pytest.mark.parametrize("stop_at", [2, 4, 99])
def test_interrupting_stops_the_second_pass_too(snap: FaceSnap, me: Identity, stop_at: int) -> None:
    """Three steps of the first pass, then int(3 * 0.55) = 1 per face; strength 1 makes them three."""
    steps: list[int] = []

    def stop(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        pipeline._interrupt = len(steps) == stop_at
        return tensors

    pose = Pose(scale=0.08)
    given = {"small_faces": SmallFaces(strength=1.0), "num_images_per_prompt": 2, "callback_on_step_end": stop}
    pictures = made(snap, me, pose, **given)
    assert len(steps) == min(stop_at, 9)
    plain = made(snap, me, pose, num_images_per_prompt=2)
    if stop_at == 4:
        assert np.array_equal(pictures, plain), "half a face is none"


def test_few_steps_leave_one_for_the_second_pass(snap: FaceSnap, me: Identity) -> None:
    pose = Pose(scale=0.08)
    plain, both = (made(snap, me, pose, num_inference_steps=1, small_faces=s) for s in (False, True))
    assert np.abs(plain - both).max() > 1e-3
