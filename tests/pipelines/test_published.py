"""Other projects' adapters behind the same facade, driven by our Landmark Predictor. Weights are random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline, StableDiffusionXLPipeline
from tests.models import tiny
from tests.models.published import files
from tests.pipelines.conftest import FixedDetector
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from facesnap.core.errors import AdapterError, EncoderMismatchError, UsageError
from facesnap.core.pose import Pose
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.landmarks.layout import five_points
from facesnap.models.ffrnet import FFRNet
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.subjects import Subject

WIDTH = 2 * tiny.WIDTH
CLIP = 12


@pytest.fixture(scope="module")
def arcface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ArcFace's shape, 512 numbers out: the crop's averages, mixed at random."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(512, 3 * 64)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["mean"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["vector"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "arcface",
        [helper.make_tensor_value_info("data", kind, ["b", 3, 112, 112])],
        [helper.make_tensor_value_info("vector", kind, ["b", 512])],
        [helper.make_tensor("weight", kind, weights.shape, weights.ravel())],
    )
    path = tmp_path_factory.mktemp("arcface") / "arcface.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.fixture
def xl(tmp_path: Path) -> Path:
    StableDiffusionXLPipeline(**tiny.sdxl_parts(tmp_path / "f"), add_watermarker=False).save_pretrained(tmp_path / "xl")
    return tmp_path / "xl"


@pytest.fixture
def instantid(tmp_path: Path) -> Path:
    """``ip-adapter.bin`` and ``ControlNetModel/`` of a small SDXL."""
    folder = tmp_path / "InstantID"
    projection = files.instantid(dim=64, heads=1, width=WIDTH, queries=3)
    files.write(folder / "ip-adapter.bin", files.filled(projection, files.layers([16] * 8, WIDTH)))
    torch.manual_seed(0)
    net = ControlNetModel.from_unet(tiny.sdxl_unet(), conditioning_embedding_out_channels=(16, 32, 96))
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(conv.weight, std=1.0)
    net.save_pretrained(folder / "ControlNetModel")
    return folder


@pytest.fixture
def snap(mini: Path, xl: Path, instantid: Path, arcface: Path) -> FaceSnap:
    made = FaceSnap.from_pretrained(xl, instantid, device="cpu", face_encoder=arcface)
    return ready(made)


def ready(made: FaceSnap) -> FaceSnap:
    made.analyser.detector = FixedDetector((30, 30, 120, 120))
    made.pipeline.set_progress_bar_config(disable=True)
    return made


def picture(snap: FaceSnap, who: Any, pose: Any = None, **options: Any) -> np.ndarray:
    pose = pose or (None if isinstance(who, list) else Pose())
    given = {"seed": 1, "num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "np", **options}
    return np.asarray(snap("a face", who, pose, **given).images)


def faceid(folder: Path, plus: bool = False, rank: int | None = None, width: int = tiny.WIDTH, count: int = 4) -> Path:
    projection = files.faceid_plus(width, CLIP) if plus else files.faceid(width)
    name = "ip-adapter-faceid-plusv2_sd15.bin" if plus else "ip-adapter-faceid_sd15.bin"
    return files.write(folder / name, files.filled(projection, files.layers([16] * count, width, rank)))


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


# --- IP-Adapter-FaceID ---


@pytest.mark.parametrize("rank", [None, 3])
def test_faceid_without_a_controlnet(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray, rank: Any) -> None:
    if rank:
        pytest.importorskip("peft")
    snap = ready(FaceSnap.from_pretrained("mini", faceid(tmp_path, rank=rank), device="cpu", face_encoder=arcface))
    assert type(snap.pipeline) is StableDiffusionPipeline
    me, you = snap.enroll(photo), snap.enroll(photo[::-1].copy())
    for road in ({}, {"image": photo, "strength": 0.9}, {"image": photo, "mask_image": "face"}):
        mine = picture(snap, me, **road)
        assert np.array_equal(mine, picture(snap, me, **road))
        assert np.abs(mine - picture(snap, you, **road)).max() > 1e-5, road
    assert np.array_equal(picture(snap, me), picture(snap, me, Pose(yaw=30))), "it has no spatial control"
    for options, message in (
        ({"identity_window": (0, 0.5)}, "has no ControlNet"),
        ({"detail_scale": 0.5}, "has no mixer"),
        ({"control_images": [photo]}, "has no ControlNets"),
    ):
        with pytest.raises(UsageError, match=message):
            picture(snap, me, **options)


def test_faceid_plus_reads_clip_too(mini: Path, tmp_path: Path, arcface: Path, photo: np.ndarray) -> None:
    torch.manual_seed(5)
    config = CLIPVisionConfig(
        hidden_size=CLIP,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=8,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    options = {"device": "cpu", "face_encoder": arcface}
    file = faceid(tmp_path, plus=True)
    snap = ready(FaceSnap.from_pretrained("mini", file, image_encoder=tmp_path / "clip", **options))
    me = snap.enroll(photo)
    assert me.encoders["appearance"].endswith("[-2]")
    other = type(me)(me.face_embedding, 3 * me.appearance[::-1], me.shape, me.encoders)
    assert np.abs(picture(snap, me) - picture(snap, other)).max() > 1e-5
    wider = CLIPVisionConfig(**{**config.to_dict(), "hidden_size": 16})
    CLIPVisionModelWithProjection(wider).save_pretrained(tmp_path / "wider")
    with pytest.raises(EncoderMismatchError, match=r"CLIP tokens of 12 numbers, but wider@.* gives 16"):
        FaceSnap.from_pretrained("mini", file, image_encoder=tmp_path / "wider", **options)


# --- what doesn't fit ---


def test_without_its_recogniser_it_is_refused(mini: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderMismatchError, match=r"512 numbers, but tiny-face@.* gives 8: name its ArcFace file"):
        FaceSnap.from_pretrained("mini", faceid(tmp_path), device="cpu")


def test_another_base_is_refused_with_both_named(mini: Path, instantid: Path, arcface: Path) -> None:
    with pytest.raises(AdapterError, match=r"instantid fits .* bases .* this one is sd\(8-16"):
        FaceSnap.from_pretrained("mini", instantid, device="cpu", face_encoder=arcface)
