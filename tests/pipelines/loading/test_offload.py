"""Offloading from the start: the pipeline is never on the accelerator as a whole. The CPU stands for one here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesnap.core.errors import MissingExtraError, UsageError
from facesnap.core.pose import Pose
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.loading.load import load_pipeline
from facesnap.pipelines.loading.offload import check_offload, is_offloaded, place

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_what_cant_be_is_refused_before_anything_is_loaded(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown offload 'disk': use one of none, model, sequential, group"):
        FaceSnap.from_pretrained("nobody/nothing", device="cpu", offload="disk")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"offload=model .* device is the CPU"):
        FaceSnap.from_pretrained("nobody/nothing", device="cpu", offload="model")
    check_offload("none", CPU)
    check_offload("group", CUDA)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    for how in ("model", "sequential"):
        with pytest.raises(MissingExtraError, match=r'accelerate .*pip install "facesnap\[lora\]"'):
            check_offload(how, CUDA)
    check_offload("group", CUDA)


@pytest.mark.parametrize("how", ["model", "group"])
def test_every_part_is_offloaded_and_the_picture_is_the_same(snap: FaceSnap, photo: np.ndarray, how: str) -> None:
    if how == "model":
        pytest.importorskip("accelerate", reason="offloading needs accelerate (extra: lora)")
    me = snap.enroll(photo)

    def picture() -> Any:
        return np.asarray(snap("a face", me, Pose(), seed=1, output_type="np").images)

    before = picture()
    assert not is_offloaded(snap.pipeline.unet)
    assert place(snap.pipeline, CPU, how) is snap.pipeline
    for part in ("unet", "vae", "text_encoder", "controlnet", "mixer"):
        assert is_offloaded(getattr(snap.pipeline, part)), part
    assert np.abs(picture() - before).max() < 1e-4


def test_sequential_offloading_is_diffusers_own() -> None:
    """What it makes of FFRNet and mixer is tested with the pipelines; diffusers has no such call for the CPU."""

    class Pipeline:
        def enable_sequential_cpu_offload(self, device: torch.device) -> None:
            self.asked = device

    pipeline = Pipeline()
    assert place(pipeline, CUDA, "sequential") is pipeline
    assert pipeline.asked == CUDA


def test_the_pipeline_is_placed_once_and_as_asked(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[Any] = []

    def note(pipeline: Any, device: torch.device, how: str) -> Any:
        placed.append((device.type, how))
        return pipeline

    def moved(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("the whole pipeline was moved")

    pipeline, _ = load_pipeline(mini / "base", mini / "adapter", torch.float32)
    monkeypatch.setattr(type(pipeline), "to", moved)
    monkeypatch.setattr("facesnap.pipelines.loading.assembly.place", note)
    monkeypatch.setattr("facesnap.pipelines.facade.choose_device", lambda name: CUDA)
    FaceSnap.from_pretrained("mini", dtype="float32", offload="group")
    assert placed == [("cuda", "group")]
