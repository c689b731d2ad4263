"""Other ControlNets by name: from safetensors alone, and refused before a base is read where they don't fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from tests.models import tiny
from tests.pipelines.loading.bases import tiny_bases
from tests.pipelines.loading.bases.tiny_bases import FakeHub, into_cache
from tests.pipelines.test_diffusers_user import depth, made

from facesnap.core.errors import AdapterError
from facesnap.models.ffrnet import FFRNet
from facesnap.models.several import FaceControlNets
from facesnap.pipelines.bindings.sd import FaceSnapPipeline
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.loading.controlnets import find_controlnet, load_controlnet

NAME = "someone/depth"
UNET = tiny.unet().config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    depth().save_pretrained(tmp_path / "depth")
    return tmp_path / "depth"


@pytest.mark.parametrize("other", [{"block_out_channels": (8, 8)}, {"cross_attention_dim": 24}])
def test_one_of_another_family_is_refused_before_the_base_is_read(
    mini: Path, tmp_path: Path, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ControlNetModel.from_unet(tiny.unet(**other)).save_pretrained(tmp_path / "other")

    def read(*args: object, **kwargs: object) -> None:
        raise AssertionError("the base was read")

    monkeypatch.setattr("facesnap.pipelines.loading.assembly.load_pipeline", read)
    said = r"the ControlNet .*/other has 8-\d+ channels and reads text \d+ wide, but mini has 8-16 .* text 16 wide"
    with pytest.raises(AdapterError, match=said):
        FaceSnap.from_pretrained("mini", device="cpu", controlnets=[tmp_path / "other"])


def test_what_is_no_stock_controlnet_is_refused(mini: Path, folder: Path) -> None:
    with pytest.raises(AdapterError, match="is a FFRNet, which can't stand beside FFRNet"):
        find_controlnet(mini / "adapter" / "ffrnet", UNET, "mini")
    with pytest.raises(AdapterError, match=r"is no ControlNet: it has no config\.json"):
        find_controlnet(mini, UNET, "mini")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_class_name": "ControlNetUnionModel"}))
    with pytest.raises(AdapterError, match="is a ControlNetUnionModel"):
        find_controlnet(folder, UNET, "mini")


def test_pickles_are_refused_and_variants_found(folder: Path) -> None:
    weights = folder / "diffusion_pytorch_model.safetensors"
    half = weights.rename(folder / "diffusion_pytorch_model.fp16.safetensors")
    assert load_controlnet(find_controlnet(folder, UNET, "mini"), torch.float32).dtype == torch.float32
    half.rename(weights.with_suffix(".bin"))
    with pytest.raises(AdapterError, match="depth has no safetensors of its model, only a pickle"):
        find_controlnet(folder, UNET, "mini")
    weights.write_bytes(b"garbage")
    with pytest.raises(AdapterError, match="is damaged") as caught:
        load_controlnet(find_controlnet(folder, UNET, "mini"), torch.float32)
    assert "\n" not in str(caught.value)


def test_the_cache_goes_before_the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_bases.cut_off(monkeypatch, tmp_path / "cache")
    snapshot = into_cache(folder, NAME, tmp_path / "cache")
    assert find_controlnet(NAME, UNET, "mini") == snapshot
    with pytest.raises(AdapterError, match="switched off"):
        find_controlnet("someone/else", UNET, "mini")


def test_of_a_hubs_one_set_of_weights_travels_and_none_of_a_wrong_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_bases.cut_off(monkeypatch, tmp_path / "cache")
    for name in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors", "sample.json"):
        (folder / name).write_bytes(b"more")
    fake = FakeHub(NAME, folder, tmp_path / "snapshot").stand_in(monkeypatch)
    with pytest.raises(AdapterError, match=rf"the ControlNet {NAME} has 8-16 channels .* but SDXL has .*, as SDXL"):
        find_controlnet(NAME, tiny.sdxl_unet().config, "SDXL")
    assert fake.travelled == ["config.json"]
    found = find_controlnet(NAME, UNET, "mini")
    assert set(fake.travelled) == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert isinstance(load_controlnet(found, torch.float32), ControlNetModel)


def test_a_pipeline_of_several_is_saved_and_loaded_as_it_was(
    mini: Path, folder: Path, tmp_path: Path, snap: FaceSnap, photo: np.ndarray
) -> None:
    both = FaceSnap.from_pretrained("mini", device="cpu", controlnets=[folder])
    assert set(both.hashes) == {"base", "ffrnet", "mixer", "controlnet_1"}
    both.pipeline.save_pretrained(tmp_path / "saved")
    again = FaceSnapPipeline.from_pretrained(tmp_path / "saved", low_cpu_mem_usage=False)
    assert isinstance(again.controlnet, FaceControlNets)
    assert [type(net) for net in again.nets] == [FFRNet, ControlNetModel]
    code = "import sys; from facesnap.pipelines.bindings.sd import FaceSnapPipeline as P"
    code += "; P.from_pretrained(sys.argv[1]).ffrnet"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "saved")], check=True)  # where nothing else is imported
    me, options = snap.enroll(photo), {"control_images": [photo]}
    wanted = made(both, me, **options)
    both.pipeline = again
    again.set_progress_bar_config(disable=True)
    both.adapter.mixer = again.mixer  # type: ignore[attr-defined]
    assert np.abs(made(both, me, **options) - wanted).max() < 1e-4
