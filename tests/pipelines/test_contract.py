"""What diffusers' own tests ask of every pipeline, asked of all six of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from tests.models import tiny

from facesnap.core.pose import Pose
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.models.savings import NAIVE, Savings
from facesnap.pipelines.bindings.binding import stock_options
from facesnap.pipelines.bindings.roads import ROADS
from facesnap.pipelines.facade import FaceSnap

CLASSES = [road for family in ROADS for road in family]
XL = set(ROADS[1])
WIDTH, N = 24, 3


def components(kind: Any, folder: Path) -> dict[str, Any]:
    unet = tiny.sdxl_unet() if kind in XL else tiny.unet()
    torch.manual_seed(0)
    net = FFRNet.from_unet(unet, token_width=WIDTH, vae_scale_factor=4, zero_init=False)
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(conv.weight, std=1.0)
    mixer = FacialAttributeMixer(8, 12, WIDTH, id_tokens=2, tokens=N, heads=2, decoder_layers=1)
    parts = tiny.sdxl_parts(folder) if kind in XL else tiny.parts(folder)
    parts = {"image_encoder": None, "feature_extractor": None, **parts, "unet": unet}
    return {**parts, "controlnet": net.eval(), "mixer": mixer.eval()}


Make = Callable[[], Any]


@pytest.fixture(params=CLASSES, ids=lambda kind: str(kind.__name__))
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def pipe(kind: Any, tmp_path: Path) -> Any:
    made = kind(**components(kind, tmp_path / "files"), **({"add_watermarker": False} if kind in XL else {}))
    made.set_progress_bar_config(disable=True)
    return made


def inputs(pipe: Any, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """As the mixins' ``get_dummy_inputs``."""
    noise = torch.Generator().manual_seed(seed)
    control = torch.rand(1, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(7))
    given: dict[str, Any] = {
        "prompt": "a face",
        "image": control,
        "face_tokens": torch.randn(1, N, WIDTH, generator=torch.Generator().manual_seed(5)),
        "null_tokens": torch.zeros(1, N, WIDTH),
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "output_type": "np",
        "generator": noise,
    }
    if "strength" in stock_options(pipe):
        given |= {"control_image": control, "strength": 0.99, "num_inference_steps": 3}
        given["image"] = torch.rand(1, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(8))
    if "mask_image" in stock_options(pipe):
        given["mask_image"] = torch.ones(1, 1, tiny.SIZE, tiny.SIZE)
    return {**given, **changes}


def picture(pipe: Any, **changes: Any) -> np.ndarray:
    return np.asarray(pipe(**inputs(pipe, **changes)).images)


def test_saved_and_loaded_it_is_the_same(pipe: Any, kind: Any, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    again = kind.from_pretrained(tmp_path / "saved", low_cpu_mem_usage=False)
    again.set_progress_bar_config(disable=True)
    assert isinstance(again.controlnet, FFRNet)
    assert isinstance(again.mixer, FacialAttributeMixer)
    assert np.abs(picture(pipe) - picture(again)).max() < 1e-4


def test_its_call_shows_what_it_takes(kind: Any) -> None:
    taken = list(inspect.signature(kind.__call__).parameters)
    for name in ("prompt", "image", "height", "width", "guidance_scale", "negative_prompt", "prompt_embeds"):
        assert name in taken
    for name in ("num_images_per_prompt", "generator", "callback_on_step_end_tensor_inputs", "face_tokens", "faces"):
        assert name in taken
    assert taken[:3] == ["self", "prompt", "prompt_2" if kind in XL else "image"], "in the stock pipeline's order"
    assert kind.__call__.__doc__


def test_positions_are_the_stock_pipelines(pipe: Any) -> None:
    given = inputs(pipe)
    prompt = given.pop("prompt")
    assert np.array_equal(np.asarray(pipe(prompt, **given).images), picture(pipe))
    with pytest.raises(TypeError, match="stepz"):
        pipe(**inputs(pipe), stepz=3)


def test_components_are_what_went_in(pipe: Any, kind: Any, tmp_path: Path) -> None:
    assert set(pipe.components) - {"safety_checker"} == set(components(kind, tmp_path)) - {
        "safety_checker",
        "requires_safety_checker",
    }


def test_tuple_and_dict_are_equal(pipe: Any) -> None:
    as_tuple = pipe(**inputs(pipe), return_dict=False)[0]
    assert np.array_equal(np.asarray(as_tuple), picture(pipe))


def test_a_row_of_a_batch_is_what_it_is_alone(pipe: Any) -> None:
    given = inputs(pipe)
    shown = {name: given[name].repeat(3, 1, 1, 1) for name in ("image", "control_image", "mask_image") if name in given}
    three = picture(
        pipe,
        **shown,
        prompt=["a face", "a hat", "a cat"],
        generator=[torch.Generator().manual_seed(i) for i in range(3)],
        guidance_scale=3.0,
    )
    assert len(three) == 3
    alone = picture(pipe, prompt="a cat", generator=torch.Generator().manual_seed(2))
    assert np.abs(three[2] - alone[0]).max() < 1e-3


@pytest.mark.parametrize(("prompts", "each"), [(1, 2), (2, 1), (2, 2)])
def test_images_per_prompt(pipe: Any, prompts: int, each: int) -> None:
    prompt = "a face" if prompts == 1 else ["a face"] * prompts
    assert len(picture(pipe, prompt=prompt, num_images_per_prompt=each)) == prompts * each


def test_guidance_matters_and_one_is_none(pipe: Any) -> None:
    assert picture(pipe, guidance_scale=1.0).shape == picture(pipe, guidance_scale=5.0).shape
    assert np.abs(picture(pipe, guidance_scale=1.0) - picture(pipe, guidance_scale=5.0)).max() > 1e-5


def test_pt_np_and_pil_are_one_picture(pipe: Any) -> None:
    as_np, as_pt = picture(pipe), pipe(**inputs(pipe, output_type="pt")).images
    assert np.abs(as_pt.permute(0, 2, 3, 1).numpy() - as_np).max() < 1e-4
    as_pil = np.asarray(pipe(**inputs(pipe, output_type="pil")).images[0]) / 255
    assert np.abs(as_pil - as_np[0]).max() < 1.1 / 255


def test_callbacks_see_and_change_every_tensor(pipe: Any) -> None:
    seen: list[set[str]] = []

    def note(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(set(tensors))
        if step == pipeline.num_timesteps - 1:
            tensors["latents"] = torch.zeros_like(tensors["latents"])
        return tensors

    names = [name for name in pipe._callback_tensor_inputs if name in ("latents", "prompt_embeds")]
    out = pipe(
        **inputs(pipe, output_type="latent"),
        callback_on_step_end=note,
        callback_on_step_end_tensor_inputs=names,
    ).images
    assert seen
    assert all(each == set(names) for each in seen)
    if "mask_image" not in stock_options(pipe):
        assert not out.abs().max()


def test_text_can_be_encoded_apart(pipe: Any, kind: Any, tmp_path: Path) -> None:
    """With text parts alone, then without them."""
    parts = components(kind, tmp_path / "again")
    flags = {"add_watermarker": False} if kind in XL else {}
    text = {name: part if "text" in name or "tokenizer" in name else None for name, part in parts.items()}
    text.pop("requires_safety_checker", None)
    with torch.no_grad():
        encoded = kind(**text, **flags).encode_prompt(
            "a face", device=torch.device("cpu"), num_images_per_prompt=1, do_classifier_free_guidance=True
        )
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    rest = {name: None if name in text and text[name] is not None else part for name, part in parts.items()}
    if kind in XL:
        rest |= {"feature_extractor": None}
    blind = kind(**rest, **flags)
    blind.set_progress_bar_config(disable=True)
    given = inputs(blind, **dict(zip(names, encoded, strict=False)))
    given.pop("prompt")
    assert np.abs(np.asarray(blind(**given).images) - picture(pipe)).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(pipe: Any, dtype: torch.dtype) -> None:
    full = picture(pipe)
    half = picture(pipe.to(dtype))
    assert np.isfinite(half).all()
    assert np.abs(half - full).mean() < 0.05


def test_attention_slicing_changes_nothing(pipe: Any) -> None:
    before = picture(pipe)
    pipe.enable_attention_slicing()
    assert np.abs(picture(pipe) - before).max() < 1e-4


def test_what_is_saved_and_what_is_not(pipe: Any) -> None:
    steps = {"num_inference_steps": 6}
    assert np.array_equal(picture(pipe, **steps), picture(pipe, **steps, savings=NAIVE))
    fast = Savings(share_residuals=True, deep_every=2, guidance_until=0.5)
    two = picture(pipe, **steps, savings=fast, num_images_per_prompt=2)
    assert two.shape[0] == 2
    assert np.isfinite(two).all()
    assert np.abs(picture(pipe, **steps, savings=fast) - picture(pipe, **steps)).max() > 1e-5


def test_seeds_decide(pipe: Any) -> None:
    assert np.array_equal(picture(pipe), picture(pipe))
    assert np.abs(picture(pipe) - picture(pipe, seed=1)).max() > 1e-4


def test_from_pipe_and_back(kind: Any, tmp_path: Path) -> None:
    """Diffusers' way from a stock pipeline to ours."""
    parts = components(kind, tmp_path / "files")
    ours = {name: parts.pop(name) for name in ("controlnet", "mixer")}
    xl = kind in XL
    stock = (StableDiffusionXLPipeline if xl else StableDiffusionPipeline)(
        **parts, **({"add_watermarker": False} if xl else {})
    )
    made = kind.from_pipe(stock, **ours)
    assert made.unet is stock.unet
    assert np.isfinite(picture(made)).all()
    back = type(stock).from_pipe(made)
    assert back.text_encoder is stock.text_encoder


# --- offloading ---


def offloaded(pipe: Any, how: str) -> None:
    """As on a card, with the CPU in its place."""
    accelerate = pytest.importorskip("accelerate", reason="offloading needs accelerate (extra: lora)")
    here = torch.device("cpu")
    parts = (pipe.unet, pipe.controlnet, pipe.mixer, pipe.vae)
    if how == "model":
        pipe.enable_model_cpu_offload(device="cpu")
    for part in parts if how == "sequential" else ():
        accelerate.cpu_offload(part, here, offload_buffers=True)
    for part in parts if how == "group" else ():
        part.enable_group_offload(onload_device=here, offload_device=here, offload_type="leaf_level")


def is_hooked(part: torch.nn.Module) -> bool:
    return any(hasattr(module, "_hf_hook") or hasattr(module, "_diffusers_hook") for module in part.modules())


@pytest.mark.parametrize("how", ["model", "sequential", "group"])
def test_offloading_takes_ffrnet_and_mixer_along(pipe: Any, how: str) -> None:
    before = picture(pipe)
    offloaded(pipe, how)
    assert is_hooked(pipe.controlnet)
    assert is_hooked(pipe.mixer)
    for _ in range(2):
        assert np.abs(picture(pipe) - before).max() < 1e-4


@pytest.mark.parametrize("how", ["model", "sequential", "group"])
def test_a_call_of_an_offloaded_model(snap: FaceSnap, photo: np.ndarray, how: str) -> None:
    """The mixer runs outside of the pipeline's own call, and finds its weights all the same."""
    me = snap.enroll(photo)
    before = np.asarray(snap("a face", me, Pose(), seed=1, output_type="np").images)
    offloaded(snap.pipeline, how)
    for _ in range(2):
        after = np.asarray(snap("a face", me, Pose(), seed=1, output_type="np").images)
        assert np.abs(after - before).max() < 1e-4
