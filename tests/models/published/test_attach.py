"""In and out of stock pipelines: one UNet step against the formula, and the base as it was afterwards, to the bit."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tests.models import tiny
from tests.models.published import files, reference

from facesnap.core.errors import AdapterError, MissingExtraError, UsageError
from facesnap.models.published import PublishedAdapter, read_published
from facesnap.models.published.adapter import LORA_NAME

RANK = 3


def adapter_for(folder: Path, xl: bool, rank: int | None = None, scale: float = 1.0) -> tuple[PublishedAdapter, Any]:
    width, count = (2 * tiny.WIDTH, 8) if xl else (tiny.WIDTH, 4)
    state = files.filled(files.faceid(width), files.layers([16] * count, width, rank))
    if rank:
        state["ip_adapter"] = {k: v * (scale if "_lora" in k else 1.0) for k, v in state["ip_adapter"].items()}
    adapter = read_published(files.write(folder / "ip-adapter-faceid.bin", state))
    assert adapter is not None
    return adapter, state["ip_adapter"]


def pipeline_of(folder: Path, xl: bool) -> Any:
    kind, parts = (StableDiffusionXLPipeline, tiny.sdxl_parts) if xl else (StableDiffusionPipeline, tiny.parts)
    pipeline = kind(**parts(folder))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def step(unet: UNet2DConditionModel, xl: bool, added: dict[str, Any] | None = None, **more: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    width = tiny.WIDTH * (1 + xl)
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    text = torch.randn(2, 6, width, generator=generator)
    if xl:
        pooled = torch.randn(2, tiny.WIDTH, generator=generator)
        added = {"text_embeds": pooled, "time_ids": torch.full((2, 6), 32.0), **(added or {})}
    with torch.no_grad():
        return unet(latents, 400, text, added_cond_kwargs=added, **more).sample


def tokens_of(adapter: PublishedAdapter) -> tuple[torch.Tensor, torch.Tensor]:
    return adapter.tokens(torch.randn(1, 512, generator=torch.Generator().manual_seed(8)))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("xl", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.35, 0.0])
def test_a_step_is_decoupled_attention(tmp_path: Path, xl: bool, scale: float) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl)
    plain, before = copy.deepcopy(pipeline.unet), step(pipeline.unet, xl)
    adapter, weights = adapter_for(tmp_path, xl)
    tokens, null = tokens_of(adapter)
    adapter.attach(pipeline, scale)
    found = step(pipeline.unet, xl, {"image_embeds": adapter.image_embeds(pipeline, tokens, null)})
    expected = step(reference.install(plain, weights, torch.cat([null, tokens]), scale), xl)
    assert difference(found, expected) < 1e-5
    assert (difference(found, before) > 1e-3) == (scale > 0)


@pytest.mark.parametrize("xl", [False, True])
def test_faceids_lora_is_added_to_every_attention(tmp_path: Path, xl: bool) -> None:
    pytest.importorskip("peft")
    pipeline = pipeline_of(tmp_path / "base", xl)
    plain = copy.deepcopy(pipeline.unet)
    adapter, weights = adapter_for(tmp_path, xl, RANK)
    tokens, null = tokens_of(adapter)
    adapter.attach(pipeline, 0.6)
    found = step(pipeline.unet, xl, {"image_embeds": adapter.image_embeds(pipeline, tokens, null)})
    rows = torch.cat([null, tokens])
    expected = step(reference.install(copy.deepcopy(plain), weights, rows, 0.6), xl)
    without = {key: value for key, value in weights.items() if "_lora" not in key}
    assert difference(found, expected) < 1e-5
    assert difference(expected, step(reference.install(plain, without, rows, 0.6), xl)) > 1e-3


@pytest.mark.parametrize("rank", [None, RANK])
def test_detach_leaves_everything_as_it_was(tmp_path: Path, rank: int | None) -> None:
    if rank:
        pytest.importorskip("peft")
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    unet = pipeline.unet
    unet.set_attn_processor(AttnProcessor())  # not what diffusers would put there
    tensors = {key: value.clone() for key, value in unet.state_dict().items()}
    processors, modules = dict(unet.attn_processors), [type(module) for module in unet.modules()]
    config, components = dict(unet.config), dict(pipeline.components)
    result = step(unet, xl=False)
    adapter, _ = adapter_for(tmp_path, xl=False, rank=rank)
    for _ in range(2):
        adapter.attach(pipeline)
        assert set(unet.state_dict()) != set(tensors)
        adapter.detach(pipeline)
        assert list(unet.state_dict()) == list(tensors)
        assert all(torch.equal(value, tensors[key]) for key, value in unet.state_dict().items())
        assert {name: id(p) for name, p in unet.attn_processors.items()} == {n: id(p) for n, p in processors.items()}
        assert [type(module) for module in unet.modules()] == modules
        assert dict(unet.config) == config
        assert unet.config.encoder_hid_dim_type is None
        assert dict(pipeline.components) == components
        assert torch.equal(step(unet, xl=False), result)
    with pytest.raises(UsageError, match="isn't attached"):
        adapter.detach(pipeline)


def test_the_users_own_loras_survive_detaching(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    adapter, weights = adapter_for(tmp_path, xl=False, rank=RANK)
    adapter.attach(pipeline)
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora"
    own = {f"{name}.{end}.weight": 3 * weights[f"6.to_q_lora.{end}.weight"] for end in ("down", "up")}
    pipeline.load_lora_weights(own, adapter_name="style")
    pipeline.set_adapters([LORA_NAME, "style"])
    adapter.detach(pipeline)
    assert set(pipeline.unet.peft_config) == {"style"}
    with pytest.raises(UsageError, match="has LoRAs already: attach the ip-adapter-faceid first"):
        adapter.attach(pipeline)


def test_loras_need_peft_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    adapter, _ = adapter_for(tmp_path, xl=False, rank=RANK)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r'pip install "facesnap\[lora\]"'):
        adapter.attach(pipeline)
    assert pipeline.unet.encoder_hid_proj is None


def test_wrong_bases_are_refused_before_anything_changes(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    processors = dict(pipeline.unet.attn_processors)
    adapter, _ = adapter_for(tmp_path, xl=True)
    with pytest.raises(AdapterError, match=r"fits other\(text 32.* bases.*this one is sd\(8-16; text 16"):
        adapter.attach(pipeline)
    assert dict(pipeline.unet.attn_processors) == processors


def test_families_are_checked_by_name_first(tmp_path: Path) -> None:
    adapter, _ = adapter_for(tmp_path, xl=False)
    adapter.check_family("sd1")  # a base of another shape: attach looks at every layer
    object.__setattr__(adapter.layout, "attentions", tuple(files.widths(files.SD15)))
    object.__setattr__(adapter.layout, "width", 768)
    adapter.check_family("sd1")
    with pytest.raises(AdapterError, match=r"ip-adapter-faceid fits sd1 bases, but base\.safetensors is sdxl"):
        adapter.check_family("sdxl", "base.safetensors")


def test_two_adapters_dont_fit_into_one_pipeline(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    adapter, _ = adapter_for(tmp_path, xl=False)
    adapter.attach(pipeline)
    with pytest.raises(UsageError, match="an IP-Adapter already"):
        adapter.attach(pipeline)


def test_a_failure_halfway_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    processors = dict(pipeline.unet.attn_processors)
    adapter, _ = adapter_for(tmp_path, xl=False)

    def fail(scale: float) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(pipeline, "set_ip_adapter_scale", fail)
    with pytest.raises(AdapterError, match="can't be attached: out of memory"):
        adapter.attach(pipeline)
    assert dict(pipeline.unet.attn_processors) == processors
    assert pipeline.unet.encoder_hid_proj is None


def test_several_faces_share_the_picture_by_masks(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    adapter, _ = adapter_for(tmp_path, xl=False)
    adapter.attach(pipeline)
    tokens, null = tokens_of(adapter)
    (one,) = adapter.image_embeds(pipeline, tokens, null)
    (two,) = adapter.image_embeds(pipeline, [tokens, null], [null, null])
    assert one.shape == (2, 1, 4, tiny.WIDTH)
    assert two.shape == (2, 2, 4, tiny.WIDTH)
    assert torch.equal(two[1, 0], tokens[0])
    assert adapter.image_embeds(pipeline, tokens.expand(3, -1, -1), null)[0].shape == (6, 1, 4, tiny.WIDTH)
    assert adapter.image_embeds(pipeline, tokens)[0].shape == (1, 1, 4, tiny.WIDTH)
    halves = torch.zeros(1, 2, 32, 32)
    halves[:, 0, :, :16], halves[:, 1, :, 16:] = 1, 1

    def run(embeds: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        kwargs = {"cross_attention_kwargs": {"ip_adapter_masks": [masks]}}
        return step(pipeline.unet, False, {"image_embeds": [embeds]}, **kwargs)

    (same,) = adapter.image_embeds(pipeline, [tokens, tokens], [null, null])
    whole = run(one, torch.ones(1, 1, 32, 32))
    assert difference(whole, step(pipeline.unet, False, {"image_embeds": [one]})) < 1e-5
    assert difference(run(same, halves), whole) < 1e-5
    assert difference(run(two, halves), whole) > 1e-3


def test_tokens_take_the_unets_dtype(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path / "base", xl=False)
    pipeline.unet.to(torch.bfloat16)
    adapter, _ = adapter_for(tmp_path, xl=False)
    adapter.attach(pipeline)
    assert {p.dtype for p in pipeline.unet.parameters()} == {torch.bfloat16}
    embeds = adapter.image_embeds(pipeline, *tokens_of(adapter))
    latents, text = torch.randn(2, 4, 8, 8).bfloat16(), torch.randn(2, 6, tiny.WIDTH).bfloat16()
    with torch.no_grad():
        assert pipeline.unet(latents, 400, text, added_cond_kwargs={"image_embeds": embeds}).sample.isfinite().all()
