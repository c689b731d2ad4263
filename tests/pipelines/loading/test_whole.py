"""What is not whole is refused: a tensor that a file lacks, a tokenizer, a saved pipeline in the place of a base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models import tiny

from facesnap.core.errors import AdapterError
from facesnap.models.checkpoint import family_of
from facesnap.models.ffrnet import FFRNet
from facesnap.pipelines.bindings.sd import FaceSnapPipeline
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.loading.controlnets import find_controlnet, load_controlnet
from facesnap.pipelines.loading.load import load_pipeline


def without(folder: Path, part: str) -> str:
    """Take a tensor out of a folder's weights; its name."""
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(key for key in tensors if part in key)[0]
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    return name


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        ("adapter/mixer", "id_proj"),
        ("adapter/ffrnet", "mid_block"),
        ("base/unet", "mid_block"),
        ("base/vae", "decoder"),
        ("base/text_encoder", "layers.0"),
    ],
)
def test_a_missing_tensor_is_named(mini: Path, tmp_path: Path, folder: str, part: str) -> None:
    shutil.copytree(mini, tmp_path / "mini")
    name = without(tmp_path / "mini" / folder, part)
    with pytest.raises(AdapterError, match=rf"is damaged: 1 tensors are missing, .*{name.split('.')[-1]}"):
        load_pipeline(tmp_path / "mini" / "base", tmp_path / "mini" / "adapter", torch.float32)


def test_a_controlnet_with_a_missing_tensor(mini: Path, tmp_path: Path) -> None:
    FFRNet.from_unet(tiny.unet(), vae_scale_factor=4).save_config(tmp_path / "depth")
    from diffusers import ControlNetModel

    ControlNetModel.from_unet(tiny.unet(), conditioning_embedding_out_channels=(4, 8)).save_pretrained(tmp_path / "net")
    without(tmp_path / "net", "mid_block")
    with pytest.raises(AdapterError, match=r"the ControlNet .* is damaged: 1 tensors"):
        load_controlnet(tmp_path / "net", torch.float32)


def test_a_base_without_its_tokenizer(mini: Path, tmp_path: Path) -> None:
    shutil.copytree(mini / "base", tmp_path / "base")
    for file in (tmp_path / "base" / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(AdapterError, match=r"is not whole: tokenizer/.* is missing"):
        load_pipeline(tmp_path / "base", mini / "adapter", torch.float32)


def test_a_saved_pipeline_is_no_base_without_an_adapter(mini: Path, tmp_path: Path) -> None:
    FaceSnap.from_pretrained("mini", device="cpu").pipeline.save_pretrained(tmp_path / "saved")
    with pytest.raises(AdapterError, match="a saved FaceSnap pipeline"):
        FaceSnap.from_pretrained(tmp_path / "saved", device="cpu")
    FaceSnap.from_pretrained(tmp_path / "saved", mini / "adapter", device="cpu")


def test_a_pipeline_without_a_mixer_is_saved_and_loaded(mini: Path, tmp_path: Path) -> None:
    pipeline, _ = load_pipeline(mini / "base", mini / "adapter", torch.float32)
    pipeline.register_modules(mixer=None)
    pipeline.save_pretrained(tmp_path / "saved")
    assert FaceSnapPipeline.from_pretrained(tmp_path / "saved", low_cpu_mem_usage=False).mixer is None


def test_depth_is_part_of_a_family(mini: Path, tmp_path: Path) -> None:
    deep, shallow = tiny.unet(layers_per_block=2), tiny.unet()
    assert family_of(deep.config) != family_of(shallow.config)
    no_middle = {**shallow.config, "mid_block_type": None}
    assert family_of(no_middle) != family_of(shallow.config)
    sd1 = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "out_channels": 4}
    assert family_of({**sd1, "layers_per_block": 2}) == "sd1"
    assert family_of({**sd1, "layers_per_block": 1}) != "sd1"
    net = FFRNet.from_unet(deep, vae_scale_factor=4)
    net.register_to_config(_class_name="ControlNetModel")
    net.save_config(tmp_path / "net")
    text = (tmp_path / "net" / "config.json").read_text().replace('"FFRNet"', '"ControlNetModel"')
    (tmp_path / "net" / "config.json").write_text(text)
    with pytest.raises(AdapterError, match="x 2 layers"):
        find_controlnet(tmp_path / "net", shallow.config, "this base")
