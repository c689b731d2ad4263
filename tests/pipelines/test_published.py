"""Other projects' adapters behind the same facade, driven by our Landmark Predictor. Weights are random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from tests.pipelines.conftest import FixedDetector
from tests.pipelines.published_files import CLIP, write_faceid
from tests.pipelines.random_mini import vision
from transformers import CLIPVisionModelWithProjection

from facesnap.core.errors import AdapterError, EncoderMismatchError, UsageError
from facesnap.core.pose import Pose
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.landmarks.layout import five_points
from facesnap.models.ffrnet import FFRNet
from facesnap.models.savings import NAIVE
from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.call.subjects import Subject
from facesnap.pipelines.facade import FaceSnap


@pytest.fixture
def snap(mini: Path, xl: Path, instantid: Path, arcface: Path) -> FaceSnap:
    made = FaceSnap.from_pretrained(xl, instantid, device="cpu", face_encoder=arcface)
    return ready(made)


def ready(made: FaceSnap) -> FaceSnap:
    made.analyser.detector = FixedDetector((30, 30, 120, 120))
    made.pipeline.set_progress_bar_config(disable=True)
    return made


def picture(snap: FaceSnap, who: Any, pose: Any = None, **options: Any) -> np.ndarray:
    if pose is None and not isinstance(who, list) and snap.adapter.control_scale is not None:
        pose = Pose()
    given = {"seed": 1, "num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "np", **options}
    return np.asarray(snap("a face", who, pose, **given).images)


# --- InstantID ---


def test_instantid_is_driven_by_our_landmarks(snap: FaceSnap, photo: np.ndarray) -> None:
    assert isinstance(snap.pipeline, FaceSnapXLPipeline)
    assert isinstance(snap.pipeline.controlnet, FFRNet)
    me = snap.enroll(photo)
    assert me.face_embedding.shape == (512,)
    shown = snap.conditions(me, Pose(yaw=20))
    assert np.array_equal(shown.landmark_map, draw_keypoints(five_points(shown.landmarks), snap.size()))
    turned = picture(snap, me, Pose(yaw=20))
    assert np.array_equal(turned, picture(snap, me, Pose(yaw=20)))
    assert np.abs(turned - picture(snap, me)).max() > 1e-4


def test_instantids_face_reaches_the_unet_and_identitynet(snap: FaceSnap, photo: np.ndarray) -> None:
    """Each alone changes the picture with the person."""
    me, you = snap.enroll(photo), snap.enroll(photo[::-1].copy())
    you = type(me)(you.face_embedding, you.appearance, me.shape, me.encoders)  # the same drawn face
    assert np.abs(picture(snap, me) - picture(snap, you)).max() > 1e-4
    without_net = [picture(snap, who, landmark_scale=0.0) for who in (me, you)]
    assert np.abs(without_net[0] - without_net[1]).max() > 1e-5
    snap.pipeline.set_ip_adapter_scale(0.0)
    without_attention = [picture(snap, who) for who in (me, you)]
    assert np.abs(without_attention[0] - without_attention[1]).max() > 1e-5
    nobody = [picture(snap, who, identity_scale=0.0) for who in (me, you)]
    assert np.array_equal(*nobody)


def test_instantids_defaults_and_guidance(snap: FaceSnap, photo: np.ndarray) -> None:
    me = snap.enroll(photo)
    settings = snap("a face", me, Pose(), seed=1, num_inference_steps=2).settings
    assert settings["guidance_scale"] == 5.0
    assert settings["identity_guidance"] == 1.0
    assert snap.default_steps == 30
    picture(snap, me, guidance_scale=1.0)  # no unguided half
    assert len(picture(snap, me, num_images_per_prompt=2)) == 2


def test_instantid_saves_work_too(snap: FaceSnap, photo: np.ndarray) -> None:
    me = snap.enroll(photo)
    asked: dict[str, Any] = {"seed": 1, "num_inference_steps": 6, "output_type": "np"}
    exact, naive, fast = (snap("a face", me, speed=speed, **asked).images for speed in ("exact", NAIVE, "fast"))
    assert np.array_equal(exact, naive)
    assert np.isfinite(fast).all()
    assert np.abs(np.asarray(fast) - np.asarray(exact)).max() > 1e-6


def test_two_people_by_instantid(snap: FaceSnap, photo: np.ndarray) -> None:
    me, you = snap.enroll(photo), snap.enroll(photo[::-1].copy())
    left, right = (0, 0, 64, 64), (64, 0, 128, 64)
    wide = {"width": 128, "height": 64}
    both = picture(snap, [Subject(me, Pose(), left), Subject(you, Pose(), right)], **wide)
    swapped = picture(snap, [Subject(you, Pose(), left), Subject(me, Pose(), right)], **wide)
    assert np.abs(both - swapped).max() > 1e-4


def test_instantid_from_a_picture_and_with_small_faces(snap: FaceSnap, photo: np.ndarray) -> None:
    me = snap.enroll(photo)
    first = picture(snap, me, image=photo, strength=0.7)
    assert np.abs(first - picture(snap, me, image=photo, strength=0.7, identity_scale=0.0)).max() > 1e-5
    masked = picture(snap, me, image=photo, mask_image="face", strength=0.9)
    assert masked.shape == first.shape
    assert picture(snap, me, Pose(scale=0.1), small_faces=True).shape == first.shape


def test_outside_the_identitys_window_neither_the_unet_nor_identitynet_sees_the_face(
    snap: FaceSnap, photo: np.ndarray
) -> None:
    me, you = snap.enroll(photo), snap.enroll(photo[::-1].copy())
    you = type(me)(you.face_embedding, you.appearance, me.shape, me.encoders)  # the same drawn face
    never, always = {"identity_window": (0.0, 0.0)}, {"identity_window": (0.0, 1.0)}
    assert np.array_equal(picture(snap, me, **never), picture(snap, you, **never))
    assert np.array_equal(picture(snap, me, **always), picture(snap, me))
    late = [picture(snap, who, identity_window=(0.5, 1.0), num_inference_steps=4) for who in (me, you)]
    assert np.abs(late[0] - late[1]).max() > 1e-5
    assert np.abs(late[0] - picture(snap, me, num_inference_steps=4)).max() > 1e-5
    snap.pipeline.set_ip_adapter_scale(0.0)
    assert np.array_equal(picture(snap, me, **never), picture(snap, you, **never))
    left, right = (0, 0, 64, 64), (64, 0, 128, 64)
    people = [[Subject(one, Pose(), left), Subject(two, Pose(), right)] for one, two in ((me, you), (you, me))]
    both = [picture(snap, each, width=128, height=64, **never) for each in people]
    assert np.array_equal(*both)


def test_a_users_attention_options_stay_beside_the_adapters(
    snap: FaceSnap, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    stock = type(snap.pipeline.unet).forward

    def note(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(dict(kwargs["cross_attention_kwargs"]))
        return stock(self, *args, **kwargs)

    monkeypatch.setattr(type(snap.pipeline.unet), "forward", note)
    me, region = snap.enroll(photo), (0, 0, 64, 64)
    picture(snap, [Subject(me, Pose(), region)], width=128, height=64, cross_attention_kwargs={"scale": 0.5})
    assert set(seen[0]) == {"scale", "ip_adapter_masks"}


# --- IP-Adapter-FaceID ---


@pytest.mark.parametrize("rank", [None, 3])
def test_faceid_without_a_controlnet(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray, rank: Any) -> None:
    if rank:
        pytest.importorskip("peft")
    snap = ready(
        FaceSnap.from_pretrained("mini", write_faceid(tmp_path, rank=rank), device="cpu", face_encoder=arcface)
    )
    assert type(snap.pipeline) is StableDiffusionPipeline
    me, you = snap.enroll(photo), snap.enroll(photo[::-1].copy())
    large = {"width": 128, "height": 128}
    for road in ({}, {"image": photo, "strength": 0.9}, {"image": photo, "mask_image": "face", **large}):
        mine = picture(snap, me, **road)
        assert np.array_equal(mine, picture(snap, me, **road))
        assert np.abs(mine - picture(snap, you, **road)).max() > 1e-5, road
    for options, message in (
        ({"pose": Pose(yaw=30)}, "no pose can be asked for"),
        ({"landmark_scale": 0.5}, "leave out landmark_scale"),
        ({"map_scale": 0.5}, "leave out landmark_scale and map_scale"),
        ({"small_faces": True}, "leave out small_faces"),
        ({"ip_adapter_image": photo}, "this adapter puts the face there"),
        ({"identity_window": (0, 0.5)}, "has no ControlNet"),
        ({"detail_scale": 0.5}, "has no mixer"),
        ({"control_images": [photo]}, "has no ControlNets"),
    ):
        with pytest.raises(UsageError, match=message):
            picture(snap, me, **options)


def test_faceid_plus_reads_clip_too(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray) -> None:
    torch.manual_seed(5)
    CLIPVisionModelWithProjection(vision(CLIP, layers=2)).save_pretrained(tmp_path / "clip")
    options = {"device": "cpu", "face_encoder": arcface}
    file = write_faceid(tmp_path, plus=True)
    snap = ready(FaceSnap.from_pretrained("mini", file, image_encoder=tmp_path / "clip", **options))
    me = snap.enroll(photo)
    assert me.encoders["appearance"].endswith("[-2]")
    other = type(me)(me.face_embedding, 3 * me.appearance[::-1], me.shape, me.encoders)
    assert np.abs(picture(snap, me) - picture(snap, other)).max() > 1e-5
    CLIPVisionModelWithProjection(vision(16, layers=2)).save_pretrained(tmp_path / "wider")
    with pytest.raises(EncoderMismatchError, match=r"CLIP tokens of 12 numbers, but wider@.* gives 16"):
        FaceSnap.from_pretrained("mini", file, image_encoder=tmp_path / "wider", **options)


@pytest.mark.parametrize("road", [{}, {"image": True}, {"image": True, "mask_image": "face"}], ids=str)
def test_faceid_makes_pictures_of_the_size_asked_for(
    mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray, road: dict[str, Any]
) -> None:
    options = {"device": "cpu", "face_encoder": arcface}
    snap = ready(FaceSnap.from_pretrained("mini", write_faceid(tmp_path), **options))
    given = {**road, "image": photo} if road else {}
    assert picture(snap, snap.enroll(photo), width=64, height=48, **given).shape == (1, 48, 64, 3)


# --- what doesn't fit ---


def test_without_its_recogniser_it_is_refused(mini: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderMismatchError, match=r"512 numbers, but tiny-face@.* gives 8: name its ArcFace file"):
        FaceSnap.from_pretrained("mini", write_faceid(tmp_path), device="cpu")


def test_another_base_is_refused_with_both_named(mini: Path, instantid: Path, arcface: Path) -> None:
    with pytest.raises(AdapterError, match=r"instantid fits .* bases .* this one is sd\(8-16"):
        FaceSnap.from_pretrained("mini", instantid, device="cpu", face_encoder=arcface)


def test_controlnets_of_ones_own_are_refused_before_anything_is_loaded(
    mini: Path, faceid: Path, arcface: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FaceID's pipeline has none to put them beside."""

    def read(*args: object, **kwargs: object) -> None:
        raise AssertionError("the base was looked for")

    monkeypatch.setattr("facesnap.pipelines.loading.assembly.find_base", read)
    with pytest.raises(UsageError, match="ip-adapter-faceid works without ControlNets: leave out controlnets"):
        FaceSnap.from_pretrained("mini", faceid, device="cpu", face_encoder=arcface, controlnets=[tmp_path])


def test_pictures_tell_both_parts_of_instantid(snap: FaceSnap, instantid: Path) -> None:
    net = instantid / "ControlNetModel" / "diffusion_pytorch_model.safetensors"
    assert set(snap.hashes) == {"base", "adapter", "identity_net"}
    before = snap.hashes["identity_net"]
    net.write_bytes(net.read_bytes() + b" ")
    del snap.__dict__["hashes"]
    assert snap.hashes["identity_net"] != before


# --- an adapter that is not on its pipeline any more ---


def test_without_its_attention_nobody_is_drawn_silently(
    mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray
) -> None:
    file = write_faceid(tmp_path)
    snap = ready(FaceSnap.from_pretrained("mini", file, device="cpu", face_encoder=arcface))
    me = snap.enroll(photo)
    snap.pipeline.enable_attention_slicing("max")
    with pytest.raises(UsageError, match=r"not on this pipeline any more.*attention slicing"):
        picture(snap, me)
    sliced = StableDiffusionPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False)
    sliced.enable_attention_slicing("max")
    with pytest.raises(UsageError, match="doesn't work with attention slicing"):
        FaceSnap.from_pipe(sliced, file, face_encoder=arcface)


def test_a_detached_adapter_is_missed(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray) -> None:
    snap = ready(FaceSnap.from_pretrained("mini", write_faceid(tmp_path), device="cpu", face_encoder=arcface))
    me = snap.enroll(photo)
    snap.adapter.adapter.detach(snap.pipeline)
    with pytest.raises(UsageError, match="attach it again"):
        picture(snap, me)


def test_faceids_lora_must_act(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray) -> None:
    peft = pytest.importorskip("peft")
    file = write_faceid(tmp_path, rank=2)
    snap = ready(FaceSnap.from_pretrained("mini", file, device="cpu", face_encoder=arcface))
    me = snap.enroll(photo)
    picture(snap, me)
    snap.pipeline.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q"]), "mine")  # which then acts alone
    with pytest.raises(UsageError, match="facesnap_faceid in set_adapters"):
        picture(snap, me)


def test_where_regions_overlap_faces_share_the_place(snap: FaceSnap, photo: np.ndarray) -> None:
    me = snap.enroll(photo)
    whole = (0, 0, *snap.size())
    once = picture(snap, [Subject(me, Pose(), whole)], landmark_scale=0.0)
    twice = picture(snap, [Subject(me, Pose(), whole)] * 2, landmark_scale=0.0)
    assert np.abs(once - twice).max() < 1e-5


def test_no_pose_is_told_where_none_acts(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray) -> None:
    snap = ready(FaceSnap.from_pretrained("mini", write_faceid(tmp_path), device="cpu", face_encoder=arcface))
    result = snap("a face", snap.enroll(photo), seed=1, num_inference_steps=2)
    assert result.settings["pose"] is None
    snap.analyser.detector = FixedDetector((2, 2, 56, 56))
    (report,) = result.report
    assert report.identity is not None
    assert (report.pose_error, report.landmark_nme) == (None, None)
    assert "identity" in str(report)
    assert "pose" not in str(report)
    with pytest.raises(UsageError, match="control_scales"):
        snap("a face", snap.enroll(photo), control_scales=[1.0])
