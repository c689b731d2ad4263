"""Which base, of which family, with which adapter; and pipelines as diffusers saves and loads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import constants
from safetensors.torch import save_file
from tests.models import tiny

from facesnap.core.errors import AdapterError
from facesnap.models.checkpoint import AdapterConfig, save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.loading import choose_dtype, detect_family, find_adapter, find_base, load_pipeline
from facesnap.pipelines.sd import FaceSnapPipeline
from facesnap.pipelines.sdxl import FaceSnapXLPipeline

CPU32 = torch.float32


def picture(pipeline: FaceSnapPipeline | FaceSnapXLPipeline, seed: int = 5) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    tokens = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(seed))
    images = pipeline(
        "a face",
        image=torch.ones(1, 3, tiny.SIZE, tiny.SIZE),
        face_tokens=tokens,
        null_tokens=torch.zeros(1, 3, 24),
        num_inference_steps=2,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images
    return np.asarray(images)


@pytest.fixture
def xl(tmp_path: Path) -> tuple[Path, Path]:
    """A tiny SDXL folder and an adapter for it."""
    StableDiffusionXLPipeline(**tiny.sdxl_parts(tmp_path / "files"), add_watermarker=False).save_pretrained(
        tmp_path / "xl"
    )
    torch.manual_seed(0)
    net = FFRNet.from_unet(tiny.sdxl_unet(), token_width=24, vae_scale_factor=4, zero_init=False)
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(conv.weight, std=1.0)
    mixer = FacialAttributeMixer(8, 12, 24, id_tokens=2, tokens=3, heads=2, decoder_layers=1)
    save_adapter(tmp_path / "adapter", net, mixer, AdapterConfig.for_unet(tiny.sdxl_unet().config, {}))
    return tmp_path / "xl", tmp_path / "adapter"


def test_sdxl_loads_and_its_tokens_matter(xl: tuple[Path, Path]) -> None:
    pipeline, config = load_pipeline(*xl, CPU32)
    assert isinstance(pipeline, FaceSnapXLPipeline)
    assert config.family.startswith("sdxl(")
    assert np.abs(picture(pipeline, 5) - picture(pipeline, 6)).max() > 1e-3


def test_wrong_pairing_is_refused_with_both_named(xl: tuple[Path, Path], mini: Path) -> None:
    with pytest.raises(AdapterError, match=r"fits sd\(8-16.*/xl is sdxl\("):
        load_pipeline(xl[0], mini / "adapter", CPU32)
    with pytest.raises(AdapterError, match=r"fits sdxl\(8-16.*/base is sd\("):
        load_pipeline(mini / "base", xl[1], CPU32)


def test_pipeline_saves_and_loads_as_one_folder(mini: Path, tmp_path: Path) -> None:
    """All parts are registered, so diffusers' own save and load carry FFRNet and mixer along."""
    pipeline, _ = load_pipeline(mini / "base", mini / "adapter", CPU32)
    pipeline.save_pretrained(tmp_path)
    again = FaceSnapPipeline.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    assert isinstance(again.controlnet, FFRNet)
    assert isinstance(again.mixer, FacialAttributeMixer)
    assert np.abs(picture(pipeline) - picture(again)).max() < 1e-3


def test_base_stays_a_stock_pipeline_and_is_not_changed(mini: Path) -> None:
    pipeline, _ = load_pipeline(mini / "base", mini / "adapter", CPU32)
    stock = StableDiffusionPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False)
    picture(pipeline)
    for name in ("unet", "vae", "text_encoder"):
        ours, theirs = getattr(pipeline, name).state_dict(), getattr(stock, name).state_dict()
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_batch_of_prompts_shares_one_face(mini: Path) -> None:
    pipeline, _ = load_pipeline(mini / "base", mini / "adapter", CPU32)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        ["one", "two"],
        image=torch.ones(1, 3, tiny.SIZE, tiny.SIZE),
        face_tokens=torch.randn(1, 3, 24),
        num_images_per_prompt=2,
        num_inference_steps=1,
        output_type="np",
    )
    assert len(made.images) == 4


def test_families_of_single_files(tmp_path: Path) -> None:
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    for width, family in ((768, "sd1"), (1024, "sd2"), (2048, "sdxl")):
        save_file({key: torch.zeros(2, width)}, tmp_path / f"{family}.safetensors")
        assert detect_family(tmp_path / f"{family}.safetensors") == family
    save_file({"lora.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(AdapterError, match="not a Stable Diffusion"):
        detect_family(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(AdapterError, match="can't read"):
        detect_family(tmp_path / "text.safetensors")


def test_folders_that_are_no_base(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"model_index\.json"):
        detect_family(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(json.dumps({"_class_name": "UNet1DModel"}))
    with pytest.raises(AdapterError, match="UNet1DModel"):
        detect_family(tmp_path)


def test_damaged_base_is_one_line(mini: Path, tmp_path: Path) -> None:
    shutil.copytree(mini / "base", tmp_path / "base")
    (tmp_path / "base" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"garbage")
    with pytest.raises(AdapterError, match="can't be loaded") as caught:
        load_pipeline(tmp_path / "base", mini / "adapter", CPU32)
    assert "\n" not in str(caught.value)


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for find in (find_base, find_adapter):
        with pytest.raises(AdapterError, match="no-such-folder"):
            find(tmp_path / "no-such-folder")
        with pytest.raises(AdapterError, match="neither cached nor"):
            find("nobody/nothing")


def test_dtypes() -> None:
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    assert choose_dtype(torch.float16, torch.device("cpu")) == torch.float16
