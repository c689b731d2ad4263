"""The published key and shape tables, in full size, are known; everything else is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.models import tiny
from tests.models.published import files

from facesnap.core.errors import AdapterError
from facesnap.models.published.adapter import build_projection
from facesnap.models.published.layout import Layout, recognise

SDXL_CONFIG: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
BASES: dict[str, tuple[dict[str, Any], dict[tuple[int, int], int], int]] = {
    "sd1": ({"cross_attention_dim": 768}, files.SD15, 768),
    "sdxl": (SDXL_CONFIG, files.SDXL, 2048),
}
PUBLISHED = [
    ("instantid", "sdxl", files.instantid(), None, 16, None),
    ("ip-adapter-faceid", "sd1", files.faceid(768), 128, 4, None),
    ("ip-adapter-faceid", "sdxl", files.faceid(2048), 128, 4, None),
    ("ip-adapter-faceid-plus", "sd1", files.faceid_plus(768), 128, 4, 1280),
    ("ip-adapter-faceid-plus", "sdxl", files.faceid_plus(2048), 128, 4, 1280),
]


@pytest.mark.parametrize(("kind", "family", "projection", "rank", "tokens", "clip"), PUBLISHED)
def test_published_tables_are_known_and_fit_their_base(
    kind: str, family: str, projection: files.Shapes, rank: int | None, tokens: int, clip: int | None
) -> None:
    config, ranges, text = BASES[family]
    state = files.weightless(projection, files.layers(files.widths(ranges), text, rank))
    layout = recognise(state, "a file")
    assert (layout.kind, layout.family, layout.tokens, layout.lora_rank) == (kind, family, tokens, rank)
    assert (layout.face_dim, layout.appearance_dim, layout.width) == (512, clip, text)
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
        layout.check_unet(unet)
        build_projection(state["image_proj"], "a file")  # strict: key by key, shape by shape
        unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)  # the same
        found = unet._load_ip_adapter_loras([state])
    assert len(found.get(0, {})) == (0 if rank is None else 16 * len(layout.attentions))


def test_the_published_counts() -> None:
    assert len(files.widths(files.SD15)) == 16
    assert len(files.widths(files.SDXL)) == 70


def test_a_base_of_another_family_is_refused_and_both_are_named() -> None:
    state = files.weightless(files.instantid(), files.layers(files.widths(files.SDXL), 2048))
    layout = recognise(state, "a file")
    with torch.device("meta"):
        sd1 = UNet2DConditionModel(cross_attention_dim=768)
    with pytest.raises(AdapterError, match=r"instantid fits sdxl bases \(70 .*this one is sd1 \(16\)"):
        layout.check_unet(sd1)


def test_a_base_with_other_layers_is_refused() -> None:
    fitting = Layout("instantid", 512, None, 16, tiny.WIDTH, (16, 16, 16, 16), None)
    fitting.check_unet(tiny.unet())
    for wrong in ((16, 16, 16), (16, 16, 8, 16)):
        with pytest.raises(AdapterError, match=f"other.*attentions {'-'.join(map(str, wrong))}.*sd.8-16"):
            Layout("instantid", 512, None, 16, tiny.WIDTH, wrong, None).check_unet(tiny.unet())
    with pytest.raises(AdapterError, match="text 20"):
        Layout("instantid", 512, None, 16, 20, (16, 16, 16, 16), None).check_unet(tiny.unet())


ATTENTION = files.layers([8, 16], 16)


@pytest.mark.parametrize(
    ("projection", "what"),
    [
        (files.linear("proj", 64, 1024) | files.norm("norm", 16), "plain IP-Adapter"),
        (files.linear("proj.0", 1280, 1280) | files.linear("proj.3", 768, 1280), "plain IP-Adapter"),
        (files.instantid(dim=24, heads=1, width=16, face=1280), "IP-Adapter-Plus"),
        (files.faceid(16, tokens=16), r"portrait variant .*16 tokens"),
        (files.linear("something", 4, 4), "another layout"),
    ],
)
def test_other_adapters_are_refused_by_name(projection: files.Shapes, what: str) -> None:
    with pytest.raises(AdapterError, match=f"^a file .*{what}"):
        recognise(files.weightless(projection, ATTENTION), "a file")


@pytest.mark.parametrize("rank", [None, 3])
def test_every_missing_or_wrong_layer_is_found(rank: int | None) -> None:
    whole = files.layers([8, 16], 16, rank)
    assert recognise(files.weightless(files.faceid(16), whole), "a file").attentions == (8, 16)
    for key, shape in whole.items():
        less = {k: s for k, s in whole.items() if k != key}
        with pytest.raises(AdapterError, match="a file is damaged"):
            recognise(files.weightless(files.faceid(16), less), "a file")
        with pytest.raises(AdapterError, match="a file is damaged"):
            recognise(files.weightless(files.faceid(16), {**whole, key: (shape[0] + 1, shape[1] + 1)}), "a file")


def test_unknown_or_surplus_layers_are_refused() -> None:
    for key, message in {
        "7.to_k_lora.up.weight": "damaged",
        "1.to_q_ip.weight": "no InstantID and no IP-Adapter",
    }.items():
        with pytest.raises(AdapterError, match=message):
            recognise(files.weightless(files.faceid(16), {**ATTENTION, key: (8, 16)}), "a file")


def read_both(state: files.State) -> None:
    recognise(state, "a file")
    build_projection(state["image_proj"], "a file")


@pytest.mark.parametrize("projection", [files.instantid(24, 1, 16, 5), files.faceid(16), files.faceid_plus(16, 20)])
def test_a_projection_with_anything_missing_is_damaged(projection: files.Shapes) -> None:
    for key in projection:
        less = {k: s for k, s in projection.items() if k != key}
        state = files.weightless(less, ATTENTION)
        with torch.device("meta"), pytest.raises(AdapterError, match=r"^a file "):
            read_both(state)
