"""A base with its adapter, as one pipeline; and pipelines as diffusers saves and loads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from tests.models import tiny
from tests.pipelines.loading.bases.tiny_bases import save_tiny_adapter

from facesnap.core.errors import AdapterError
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.bindings.sd import FaceSnapPipeline
from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.loading.load import choose_dtype, load_pipeline

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
    save_tiny_adapter(tiny.sdxl_unet(), tmp_path / "adapter")
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


def test_damaged_base_is_one_line(mini: Path, tmp_path: Path) -> None:
    shutil.copytree(mini / "base", tmp_path / "base")
    (tmp_path / "base" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"garbage")
    with pytest.raises(AdapterError, match=r"the unet at .* is damaged") as caught:
        load_pipeline(tmp_path / "base", mini / "adapter", CPU32)
    assert "\n" not in str(caught.value)


def test_dtypes() -> None:
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    assert choose_dtype(torch.float16, torch.device("cpu")) == torch.float16
