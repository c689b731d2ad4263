"""Adapters onto pipelines at hand: what works is complete, what can't is refused before anything moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from tests.models import tiny
from tests.pipelines.conftest import FixedDetector
from tests.pipelines.loading.bases.tiny_bases import save_tiny_adapter
from tests.pipelines.test_diffusers_user import depth

from facesnap.core.errors import AdapterError, EncoderMismatchError, UsageError
from facesnap.core.pose import Pose
from facesnap.models.checkpoint import load_adapter
from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.loading.attach import attach


@pytest.fixture
def stock(mini: Path) -> Any:
    made = StableDiffusionPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False)
    made.set_progress_bar_config(disable=True)
    return made


# --- offloaded pipelines ---


@pytest.mark.parametrize("how", ["model", "sequential", "group"])
def test_an_offloaded_pipeline_is_refused_and_nothing_is_moved(mini: Path, stock: Any, how: str) -> None:
    accelerate = pytest.importorskip("accelerate", reason="offloading needs accelerate (extra: lora)")
    if how == "model":
        stock.enable_model_cpu_offload(device="cpu")
    elif how == "sequential":
        accelerate.cpu_offload(stock.unet, torch.device("cpu"), offload_buffers=True)
    else:
        stock.unet.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level")
    adapter = load_adapter(mini / "adapter")
    with pytest.raises(UsageError, match="attach the adapter first, then offload"):
        attach(stock, adapter)
    with pytest.raises(UsageError, match="attach the adapter first, then offload"):
        FaceSnap.from_pipe(stock)
    assert not any(parameter.is_meta for parameter in adapter.ffrnet.parameters())


def test_hooks_that_move_no_weights_are_no_hindrance(stock: Any) -> None:
    stock.unet.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)
    assert FaceSnap.from_pipe(stock).pipeline.ffrnet.dtype == torch.float32


# --- kinds of pipelines ---


def test_pipelines_that_would_lose_what_is_special_to_them_are_refused_by_name(stock: Any) -> None:
    pag = StableDiffusionPAGPipeline(**{**stock.components, "requires_safety_checker": False})

    class Mine(StableDiffusionPipeline):
        pass

    mine = Mine(**stock.components, requires_safety_checker=False)
    for pipeline, name in ((pag, "StableDiffusionPAGPipeline"), (mine, "Mine")):
        with pytest.raises(AdapterError, match=f"{name} is not a Stable Diffusion pipeline of the usual kinds"):
            FaceSnap.from_pipe(pipeline)
    with pytest.raises(AdapterError, match="FaceSnapPipeline has an adapter already"):
        FaceSnap.from_pipe(FaceSnap.from_pipe(stock).pipeline)


def test_unets_that_take_more_than_text_are_refused(stock: Any) -> None:
    parts = {**stock.components, "requires_safety_checker": False}
    inpainting = StableDiffusionInpaintPipeline(**{**parts, "unet": tiny.unet(in_channels=9, out_channels=4)})
    with pytest.raises(AdapterError, match=r"this StableDiffusionInpaintPipeline is an inpainting model .*9 channels"):
        FaceSnap.from_pipe(inpainting)
    ordinary = StableDiffusionInpaintPipeline(**parts)
    assert FaceSnap.from_pipe(ordinary).pipeline.unet is stock.unet


def test_what_a_pipeline_was_told_is_kept(mini: Path, tmp_path: Path) -> None:
    parts = tiny.sdxl_parts(tmp_path / "files")
    stock = StableDiffusionXLPipeline(**parts, add_watermarker=False, force_zeros_for_empty_prompt=False)
    save_tiny_adapter(tiny.sdxl_unet(), tmp_path / "adapter")
    made = attach(stock, load_adapter(tmp_path / "adapter"))
    assert isinstance(made, FaceSnapXLPipeline)
    assert made.config.force_zeros_for_empty_prompt is False
    road = StableDiffusionImg2ImgPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False)
    road.register_modules(image_encoder=None)
    assert FaceSnap.from_pipe(road).pipeline.scheduler is road.scheduler


# --- encoders and published adapters ---


def test_other_encoders_are_refused_before_an_adapter_is_read(
    mini: Path, stock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_adapter(tiny.unet(), tmp_path / "adapter")

    def read(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("facesnap.pipelines.loading.assembly.load_adapter", read)
    monkeypatch.setattr("facesnap.pipelines.loading.assembly.load_pipeline", read)
    monkeypatch.setattr("facesnap.pipelines.loading.assembly.find_base", read)
    with pytest.raises(EncoderMismatchError, match=r"no such encoder, but tiny-face@"):
        FaceSnap.from_pipe(stock, tmp_path / "adapter")
    with pytest.raises(EncoderMismatchError, match=r"no such encoder, but tiny-face@"):
        FaceSnap.from_pretrained("mini", tmp_path / "adapter", device="cpu")


def picture(snap: FaceSnap, who: Any, pose: Pose | None = None) -> np.ndarray:
    given = {"seed": 1, "num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "np"}
    return np.asarray(snap("a face", who, pose, **given).images)


def test_instantid_onto_a_pipeline_at_hand(
    mini: Path, xl: Path, instantid: Path, arcface: Path, photo: np.ndarray
) -> None:
    stock = StableDiffusionXLPipeline.from_pretrained(xl, low_cpu_mem_usage=False, add_watermarker=False)
    snap = FaceSnap.from_pipe(stock, instantid, face_encoder=arcface)
    loaded = FaceSnap.from_pretrained(xl, instantid, device="cpu", face_encoder=arcface)
    for each in (snap, loaded):
        each.analyser.detector = FixedDetector((30, 30, 120, 120))
    assert np.array_equal(picture(snap, snap.enroll(photo), Pose()), picture(loaded, loaded.enroll(photo), Pose()))
    assert snap.pipeline.unet is stock.unet
    snap.adapter.adapter.detach(stock)  # type: ignore[attr-defined]
    assert stock.unet.encoder_hid_proj is None


def test_faceid_onto_a_pipeline_at_hand(stock: Any, faceid: Path, arcface: Path, photo: np.ndarray, mini: Path) -> None:
    net = StableDiffusionControlNetPipeline.from_pretrained(mini / "base", controlnet=depth(), low_cpu_mem_usage=False)
    with pytest.raises(UsageError, match="ip-adapter-faceid works without ControlNets: attach it to a pipeline"):
        FaceSnap.from_pipe(net, faceid, face_encoder=arcface)
    with pytest.raises(EncoderMismatchError, match="name its ArcFace file as face_encoder"):
        FaceSnap.from_pipe(stock, faceid)
    snap = FaceSnap.from_pipe(stock, faceid, face_encoder=arcface)
    snap.analyser.detector = FixedDetector((30, 30, 120, 120))
    assert type(snap.pipeline) is StableDiffusionPipeline
    me, you = snap.enroll(photo), snap.enroll(photo[::-1].copy())
    assert np.abs(picture(snap, me) - picture(snap, you)).max() > 1e-5
