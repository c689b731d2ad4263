"""Text-to-image, img2img and inpainting: one call, one set of components, the rest of a picture untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models import tiny
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import NoFaceError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.bindings.roads import rebuilt, road_class
from facesnap.pipelines.bindings.sd import FaceSnapImg2ImgPipeline, FaceSnapInpaintPipeline, FaceSnapPipeline
from facesnap.pipelines.call.masks import face_mask
from facesnap.pipelines.call.start import Source, size_like, source_image
from facesnap.pipelines.facade import FaceSnap

SIDE = 64


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


@pytest.fixture
def scene() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def made(snap: FaceSnap, me: Identity, prompt: str = "a face", **options: Any) -> np.ndarray:
    """One picture (H, W, 3) in [0, 1]."""
    given = {"seed": 1, "output_type": "np", "num_inference_steps": 4, "width": SIDE, "height": SIDE, **options}
    return np.asarray(snap(prompt, me, **given).images[0])


def test_roads_share_everything_that_is_set_on_the_pipeline(snap: FaceSnap, scene: np.ndarray) -> None:
    pipeline = snap.pipeline
    mask = np.ones((SIDE, SIDE), np.float32)
    for source, wanted in (
        (None, FaceSnapPipeline),
        (Source(scene, None, 0.5), FaceSnapImg2ImgPipeline),
        (Source(scene, mask, 0.5), FaceSnapInpaintPipeline),
    ):
        road = rebuilt(pipeline, road_class(pipeline, source))
        assert type(road) is wanted
        assert all(getattr(road, name) is getattr(pipeline, name) for name in pipeline.components)
    img2img = rebuilt(pipeline, road_class(pipeline, Source(scene, None, 0.5)))
    assert road_class(img2img, None) is FaceSnapPipeline
    with pytest.raises(UsageError, match="object is not a pipeline"):
        road_class(object(), None)


def test_strength_says_how_far_from_the_image(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    pose = Pose()
    little, much = (made(snap, me, image=scene, pose=pose, strength=s) for s in (0.25, 1.0))
    from_text = made(snap, me, pose=pose)
    shown = torch.from_numpy(scene).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        kept = (snap.pipeline.vae(shown).sample[0].permute(1, 2, 0).numpy() / 2 + 0.5).clip(0, 1)
    distance = [float(np.abs(each - kept).mean()) for each in (little, much, from_text)]
    assert distance[0] < distance[1]
    assert distance[0] < distance[2]


def test_identity_and_pose_act_on_every_road(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    mask = np.full((SIDE, SIDE), 255, dtype=np.uint8)
    for road in ({"image": scene}, {"image": scene, "mask_image": mask}):
        plain = made(snap, me, pose=Pose(), strength=0.9, **road)
        assert np.array_equal(plain, made(snap, me, pose=Pose(), strength=0.9, **road))
        for change in ({"pose": Pose(yaw=30)}, {"identity_scale": 0.0}, {"landmark_scale": 0.0}):
            other = made(snap, me, **{"pose": Pose(), "strength": 0.9, **road, **change})
            assert np.abs(plain - other).max() > 1e-4, (road.keys(), change)


def test_a_pictures_seed_is_its_own_on_every_road(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    mask = np.full((SIDE, SIDE), 255, dtype=np.uint8)
    for road in ({"image": scene}, {"image": scene, "mask_image": mask}):
        size = {"width": SIDE, "height": SIDE, "num_inference_steps": 4, "output_type": "np"}
        both = snap(["a face", "a hat"], me, Pose(), seed=1, **road, **size).images
        assert np.abs(both[1] - made(snap, me, prompt="a hat", pose=Pose(), seed=2, **road)).max() < 1e-3


def test_outside_the_mask_every_pixel_stays(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[16:48, 16:48] = 255
    new = made(snap, me, image=scene, mask_image=mask, pose=Pose())
    outside = mask == 0
    assert np.allclose(new[outside], scene[outside] / 255, atol=1e-6)
    assert np.abs(new[~outside] - scene[~outside] / 255).mean() > 0.02
    (picture,) = snap("a face", me, Pose(), image=scene, mask_image=mask, seed=1, width=SIDE, height=SIDE).images
    assert np.array_equal(np.asarray(picture)[outside], scene[outside])


@pytest.mark.parametrize("name", ["face", "background"])
def test_masks_by_name(snap: FaceSnap, me: Identity, scene: np.ndarray, name: str) -> None:
    snap.analyser.detector = FixedDetector((8, 8, 58, 58))
    corner = scene[0, 0] / 255
    new = made(snap, me, image=scene, mask_image=name, pose=Pose())
    middle = np.abs(new[32:34, 30:34] - scene[32:34, 30:34] / 255).mean()
    if name == "face":
        assert np.allclose(new[0, 0], corner, atol=1e-3)
        assert middle > 0.02
    else:
        assert np.abs(new[0, 0] - corner).max() > 0.01
        assert middle < 1e-3


def test_a_named_mask_needs_a_face(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    snap.analyser.detector = FixedDetector()
    with pytest.raises(NoFaceError):
        made(snap, me, image=scene, mask_image="face")
    made(snap, me, image=scene)  # without one, nobody needs to be there


def test_the_face_in_the_image_drives_unless_told_otherwise(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    """Its pose, in its place: a portrait onto that body."""
    own = snap.analyser.pose_from(photo, keep_framing=True)
    assert own.camera is not None
    for pose, expected in ((None, own), (Pose(yaw=5), Pose(yaw=5))):
        result = snap("a face", me, pose, image=photo, width=160, height=160, seed=1, num_inference_steps=2)
        assert result.settings["pose"] == expected.to_json()


def test_size_follows_the_images_proportions_in_the_bases_area() -> None:
    assert size_like(np.zeros((512, 512, 3)), (256, 256), 16) == (256, 256)
    assert size_like(np.zeros((1000, 2000, 3)), (256, 256), 16) == (368, 176)
    assert size_like(np.zeros((20, 4000, 3)), (256, 256), 16)[1] == 128, "at least what the pipeline takes"


def test_a_source_is_cut_around_its_middle() -> None:
    image = np.zeros((40, 80, 3), dtype=np.uint8)
    image[:, 30:50] = 255
    cut = source_image(image, (40, 40))
    assert cut.shape == (40, 40, 3)
    assert (cut[20] > 0).any(axis=-1).nonzero()[0].tolist() == list(range(10, 30))


def test_a_faces_mask_holds_all_its_landmarks_and_a_forehead() -> None:
    points = np.random.default_rng(0).uniform([80, 100], [180, 220], (72, 2))
    points[17:27, 1] = 105
    mask = face_mask([points], (256, 256))
    held = mask[points[:, 1].astype(int), points[:, 0].astype(int)]
    assert held.min() > 0.5
    assert mask[75, 130] > 0.5
    assert mask[10, 10] == mask[250, 250] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.5}, "strength says what becomes of an image"),
        ({"mask_image": "face"}, "mask_image says"),
        ({"image": np.zeros((64, 64, 3), np.uint8), "strength": 0.0}, "strength=0.0"),
        ({"image": np.zeros((64, 64, 3), np.uint8), "mask_image": "hair"}, "one of face, background"),
    ],
)
def test_impossible_sources_are_named(snap: FaceSnap, me: Identity, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(snap, me, **options)


def test_files_tell_where_they_started(snap: FaceSnap, me: Identity, scene: np.ndarray) -> None:
    result = snap("a face", me, Pose(), image=Image.fromarray(scene), strength=0.5, seed=1, num_inference_steps=2)
    assert result.settings["strength"] == 0.5
    assert (result.settings["width"], result.settings["height"]) == (tiny.SIZE, tiny.SIZE)
