"""What a user of diffusers expects of a pipeline: every road and option works, and nothing of the base is changed."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from safetensors.torch import save_file
from tests.models import tiny

from facesnap.core.errors import AdapterError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.facade import FaceSnap


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def made(snap: FaceSnap, me: Identity, prompt: Any = "a face", **options: Any) -> np.ndarray:
    given = {"pose": Pose(), "seed": 1, "output_type": "np", "num_inference_steps": 3, **options}
    return np.asarray(snap(prompt, me, **given).images)


# --- attaching ---


def test_attaching_and_detaching_leaves_the_base_bit_identical(mini: Path, photo: np.ndarray) -> None:
    stock = StableDiffusionPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False)
    stock.set_progress_bar_config(disable=True)

    def plain() -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        return np.asarray(stock("a face", num_inference_steps=2, output_type="np", generator=generator).images)

    before, picture = stock.unet.state_dict(), plain()
    before = {key: value.clone() for key, value in before.items()}
    kinds = {name: type(processor) for name, processor in stock.unet.attn_processors.items()}
    snap = FaceSnap.from_pipe(stock)
    snap.analyser.detector = _Anywhere()
    assert snap.pipeline.unet is stock.unet
    made(snap, snap.enroll(photo))
    after = stock.unet.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert {name: type(processor) for name, processor in stock.unet.attn_processors.items()} == kinds
    assert not stock.unet._forward_hooks
    assert not stock.unet._forward_pre_hooks
    assert np.array_equal(plain(), picture)


def test_from_pipe_gives_what_from_pretrained_gives(snap: FaceSnap, me: Identity, mini: Path) -> None:
    stock = StableDiffusionPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False)
    attached = FaceSnap.from_pipe(stock)
    assert np.array_equal(made(attached, me), made(snap, me))


def test_a_saved_adapter_is_loaded_as_it_was(snap: FaceSnap, me: Identity, mini: Path, tmp_path: Path) -> None:
    snap.save_pretrained(tmp_path / "adapter")
    again = FaceSnap.from_pretrained(mini / "base", tmp_path / "adapter", device="cpu")
    assert np.array_equal(made(again, me), made(snap, me))


def test_what_is_no_such_pipeline_is_refused(mini: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="object is not a Stable Diffusion pipeline"):
        FaceSnap.from_pipe(object())
    other = StableDiffusionPipeline(**{**tiny.parts(tmp_path), "unet": tiny.unet(block_out_channels=(8, 8))})
    with pytest.raises(AdapterError, match=r"fits sd\(8-16.*StableDiffusionPipeline is sd\(8-8"):
        FaceSnap.from_pipe(other)


class _Anywhere:
    def detect(self, image: np.ndarray) -> Any:
        from tests.pipelines.conftest import FixedDetector

        return FixedDetector((30, 30, 120, 120)).detect(image)


# --- other ControlNets ---


def depth() -> ControlNetModel:
    torch.manual_seed(4)
    net = ControlNetModel.from_unet(tiny.unet(), conditioning_embedding_out_channels=(16, 32, 96))
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(conv.weight, std=0.5)
    return net


def test_other_controlnets_beside_ffrnet(mini: Path, tmp_path: Path, snap: FaceSnap, me: Identity) -> None:
    depth().save_pretrained(tmp_path)
    both = FaceSnap.from_pretrained("mini", device="cpu", controlnets=[tmp_path])
    map_of_it = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    shown = {"control_images": [map_of_it]}
    assert np.abs(made(both, me, **shown, control_scales=[0.0]) - made(snap, me)).max() < 1e-4
    assert np.abs(made(both, me, **shown) - made(snap, me)).max() > 1e-3
    face = made(both, me, **shown, landmark_scale=0.0)
    assert np.abs(face - made(both, me, **shown)).max() > 1e-3
    with pytest.raises(UsageError, match=r"control_images: 0 given, but this pipeline has 1"):
        made(both, me)
    with pytest.raises(UsageError, match=r"control_images: 1 given, but this pipeline has 0"):
        made(snap, me, **shown)
    with pytest.raises(AdapterError, match="no ControlNet at"):
        FaceSnap.from_pretrained("mini", controlnets=[tmp_path / "none"])


def test_a_pipelines_own_controlnets_stay_when_attached(mini: Path, me: Identity) -> None:
    stock = StableDiffusionControlNetPipeline.from_pretrained(
        mini / "base", controlnet=depth(), low_cpu_mem_usage=False
    )
    attached = FaceSnap.from_pipe(stock)
    assert len(attached.pipeline.nets) == 2
    black, white = (made(attached, me, control_images=[np.full((32, 32, 3), v, np.uint8)]) for v in (0, 255))
    assert np.abs(black - white).max() > 1e-3


# --- what is set on the pipeline ---


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler,
        DPMSolverMultistepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
        LCMScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    ],
)
def test_any_scheduler(snap: FaceSnap, me: Identity, scheduler: Any) -> None:
    snap.pipeline.scheduler = scheduler.from_config(snap.pipeline.scheduler.config)
    options = {"num_inference_steps": 4, "identity_window": (0.4, 1.0)}
    one = made(snap, me, **options)
    assert np.array_equal(one, made(snap, me, **options))
    assert np.isfinite(one).all()
    assert np.abs(one - made(snap, me, num_inference_steps=4)).max() > 1e-5, "windows count this scheduler's steps"


def test_another_vae(snap: FaceSnap, me: Identity) -> None:
    before = made(snap, me)
    torch.manual_seed(9)
    snap.pipeline.vae = AutoencoderKL.from_config(snap.pipeline.vae.config).eval()
    assert np.abs(made(snap, me) - before).max() > 1e-3


def test_textual_inversion(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    save_file({"<style>": torch.full((tiny.WIDTH,), 3.0)}, tmp_path / "style.safetensors")
    before = made(snap, me, "a <style>", long_prompts=True)
    snap.pipeline.load_textual_inversion(tmp_path / "style.safetensors", token="<style>")
    assert np.abs(made(snap, me, "a <style>") - before).max() > 1e-5


def test_lora_on_the_base(snap: FaceSnap, me: Identity) -> None:
    pytest.importorskip("peft", reason="LoRA needs peft (extra: lora)")
    before = made(snap, me)
    generator = torch.Generator().manual_seed(0)
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    width = 16
    snap.pipeline.load_lora_weights(
        {
            f"{name}.lora_A.weight": torch.randn(4, width, generator=generator),
            f"{name}.lora_B.weight": torch.randn(width, 4, generator=generator),
        }
    )
    assert np.abs(made(snap, me) - before).max() > 1e-5
    snap.pipeline.unload_lora_weights()
    assert np.array_equal(made(snap, me), before)


@pytest.mark.parametrize("saving", ["enable_attention_slicing", "vae.enable_slicing", "vae.enable_tiling"])
def test_memory_savings_change_no_picture(snap: FaceSnap, me: Identity, saving: str) -> None:
    before = made(snap, me, num_images_per_prompt=2)
    attrgetter(saving)(snap.pipeline)()
    assert np.abs(made(snap, me, num_images_per_prompt=2) - before).max() < 1e-4


# --- the call ---


def test_lists_of_prompts(snap: FaceSnap, me: Identity) -> None:
    four = made(snap, me, ["a face", "a hat"], num_images_per_prompt=2, negative_prompt="a beard")
    assert len(four) == 4
    for index, (prompt, seed) in enumerate((("a face", 1), ("a face", 2), ("a hat", 3), ("a hat", 4))):
        single = made(snap, me, prompt, seed=seed, negative_prompt="a beard")[0]
        assert np.abs(four[index] - single).max() < 1e-3


@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("guess_mode", [False, True])
def test_guidance_and_guess_mode(snap: FaceSnap, me: Identity, guidance: float, guess_mode: bool) -> None:
    options = {"guidance_scale": guidance, "guess_mode": guess_mode}
    changed = made(snap, me, identity_scale=0.0, **options) - made(snap, me, **options)
    assert np.abs(changed).max() > 1e-5


def test_windows_and_levels_reach_ffrnet(snap: FaceSnap, me: Identity) -> None:
    plain = made(snap, me, num_inference_steps=4)
    for knobs in (
        {"identity_window": (0.0, 0.5)},
        {"landmark_window": (0.5, 1.0)},
        {"level_scales": (1.0, 0.0, 0.0)},
        {"abstract_scale": 0.0},
        {"detail_scale": 0.0},
    ):
        assert np.abs(made(snap, me, num_inference_steps=4, **knobs) - plain).max() > 1e-5, knobs
    closed = made(snap, me, num_inference_steps=4, identity_window=(0, 0), landmark_window=(0, 0))
    off = made(snap, me, num_inference_steps=4, landmark_scale=0.0)
    assert np.abs(closed - off).max() < 1e-4, "closed windows are the base alone"


def test_a_window_leaves_the_users_callback_its_turn(snap: FaceSnap, me: Identity) -> None:
    seen: list[int] = []

    def stop(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(step)
        pipeline._interrupt = step == 1
        return tensors

    made(snap, me, num_inference_steps=4, identity_window=(0.0, 0.5), callback_on_step_end=stop)
    assert seen == [0, 1]


def test_latents_in_and_out(snap: FaceSnap, me: Identity) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    assert np.abs(made(snap, me, latents=latents) - made(snap, me)).max() < 1e-5, "seed 1's own noise"
    out = snap("a face", me, Pose(), seed=1, num_inference_steps=3, output_type="latent").images
    with torch.no_grad():
        decoded = snap.pipeline.vae.decode(out / snap.pipeline.vae.config.scaling_factor).sample
    shown = (decoded[0].permute(1, 2, 0).numpy() / 2 + 0.5).clip(0, 1)
    assert np.abs(shown - made(snap, me)[0]).max() < 1e-4
