"""More of what diffusers' own tests ask of every pipeline: callbacks, variants, dtypes, parts that may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.schedulers import KarrasDiffusionSchedulers
from tests.models import tiny
from tests.pipelines.test_contract import XL, components, inputs, kind, picture, pipe

from facesnap.pipelines.bindings.sd import FaceSnapPipeline

__all__ = ["kind", "pipe"]  # fixtures

#: They need libraries of their own (scipy, torchsde).
ELSEWHERE = {"LMSDiscreteScheduler", "DPMSolverSDEScheduler"}


def test_a_callback_may_change_the_guidance(pipe: Any) -> None:
    told: list[int] = []

    def stronger(runs: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        runs._guidance_scale += 1.0
        told.append(step)
        return given

    pipe(**inputs(pipe), callback_on_step_end=stronger)
    assert pipe.guidance_scale == pytest.approx(3.0 + len(told))
    assert told


def test_a_callback_may_change_every_tensor_that_it_is_given(pipe: Any) -> None:
    def zeros(runs: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        assert set(given) <= set(pipe._callback_tensor_inputs)
        if step == pipe.num_timesteps - 1:
            given["latents"] = torch.zeros_like(given["latents"])
        return given

    names = pipe._callback_tensor_inputs
    made = pipe(
        **inputs(pipe, output_type="latent"),
        callback_on_step_end=zeros,
        callback_on_step_end_tensor_inputs=names,
    ).images
    assert made.abs().sum() < 1e10
    assert torch.isfinite(made).all()
    if "mask_image" not in inputs(pipe):
        assert made.abs().sum() == 0


def test_optional_parts_may_be_missing(pipe: Any, kind: Any, tmp_path: Path) -> None:
    """But for SDXL's text encoders, which are optional for those who bring encoded prompts."""
    missing = [name for name in pipe._optional_components if not name.startswith(("tok", "text"))]
    for name in missing:
        setattr(pipe, name, None)
    pipe.save_pretrained(tmp_path / "saved")
    again = kind.from_pretrained(tmp_path / "saved", low_cpu_mem_usage=False)
    again.set_progress_bar_config(disable=True)
    assert all(getattr(again, name) is None for name in missing)
    assert np.abs(picture(pipe) - picture(again)).max() < 1e-4


def test_variants(pipe: Any, kind: Any, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved", variant="fp16")
    again = kind.from_pretrained(tmp_path / "saved", variant="fp16", low_cpu_mem_usage=False)
    again.set_progress_bar_config(disable=True)
    assert np.abs(picture(pipe) - picture(again)).max() < 1e-4
    with pytest.raises((ValueError, OSError)):
        kind.from_pretrained(tmp_path / "saved", variant="bf16", low_cpu_mem_usage=False)


def test_a_dtype_per_part(pipe: Any, kind: Any, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    wanted = {"unet": torch.bfloat16, "default": torch.float16}
    again = kind.from_pretrained(tmp_path / "saved", torch_dtype=wanted, low_cpu_mem_usage=False)
    assert again.unet.dtype == torch.bfloat16
    assert {again.vae.dtype, again.controlnet.dtype, again.mixer.dtype} == {torch.float16}


def test_from_pipe_keeps_the_config(pipe: Any, kind: Any, tmp_path: Path) -> None:
    stock = StableDiffusionXLPipeline if kind in XL else StableDiffusionPipeline
    parts = components(kind, tmp_path / "more")
    ours = {name: parts.pop(name) for name in ("controlnet", "mixer")}
    first = stock(**parts, **({"add_watermarker": False} if kind in XL else {}))
    back = stock.from_pipe(kind.from_pipe(first, **ours))
    told = [{k: v for k, v in each.config.items() if not k.startswith("_")} for each in (first, back)]
    assert told[0] == told[1]


def test_freeu_and_fused_projections_come_and_go(pipe: Any) -> None:
    before = picture(pipe)
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    assert np.abs(picture(pipe) - before).max() > 1e-5
    pipe.disable_freeu()
    assert np.abs(picture(pipe) - before).max() < 1e-5
    pipe.fuse_qkv_projections()
    assert np.abs(picture(pipe) - before).max() < 1e-3
    pipe.unfuse_qkv_projections()
    assert np.abs(picture(pipe) - before).max() < 1e-5


def test_group_offload_of_the_whole(pipe: Any) -> None:
    before = picture(pipe)
    pipe.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level")
    assert np.abs(picture(pipe) - before).max() < 1e-5


def test_layers_may_be_stored_in_eight_bits(pipe: Any) -> None:
    for part in (pipe.unet, pipe.controlnet, pipe.mixer):
        part.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    assert np.isfinite(picture(pipe)).all()


@pytest.mark.parametrize("scheduler", sorted({each.name for each in KarrasDiffusionSchedulers} - ELSEWHERE))
def test_every_scheduler(scheduler: str, tmp_path: Path) -> None:
    made = FaceSnapPipeline(**components(FaceSnapPipeline, tmp_path / "files"))
    made.set_progress_bar_config(disable=True)
    made.scheduler = getattr(diffusers, scheduler).from_config(made.scheduler.config)
    first = picture(made, num_inference_steps=4)
    assert first.shape == (1, tiny.SIZE, tiny.SIZE, 3)
    assert np.isfinite(first).all()
    assert np.array_equal(first, picture(made, num_inference_steps=4))
