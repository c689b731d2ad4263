"""Each rival against its paper's formula, written out here a second time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from facesnap.evaluation.baselines import CONTESTANTS, FaceID, FaceIDPlus, InstantID, IPAdapter, PhotoMaker, PuLID
from facesnap.evaluation.baselines.decoupled import crossing_layers, fine_blocks, queries_of
from facesnap.evaluation.baselines.ours import Ours, WithoutClip, WithoutFam, WithoutId
from facesnap.evaluation.baselines.pulid import alignment
from facesnap.evaluation.baselines.rival import Parts, References, Rival, Texts, pooled
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.landmarks.layout import five_points
from facesnap.training.config import AdapterConfig
from facesnap.training.mini.base import schedule

WIDTH, FACE, SIDE = 16, 12, 8


def parts_of(seed: int = 0) -> Parts:
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=SIDE, in_channels=4, out_channels=4, block_out_channels=(32, 48, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=16,
    ).eval().requires_grad_(False)  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=20, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20, image_size=28, patch_size=14,
        projection_dim=10,
    )  # fmt: skip
    appearance = AppearanceEncoder(CLIPVisionModelWithProjection(vision), "tiny@0")
    config = AdapterConfig(attention=(True, True, False), map_channels=(4, 8, 8, 8), tokens=3, id_tokens=2)
    return Parts(unet, appearance, FACE, config, factor=8)


def built(kind: type[Rival]) -> tuple[Any, Parts]:
    parts = parts_of()
    return kind(parts).eval(), parts


def people(parts: Parts, count: int = 3, nobody: tuple[int, ...] = ()) -> References:
    torch.manual_seed(1)
    rows = torch.tensor([row in nobody for row in range(count)])
    return References(F.normalize(torch.randn(count, FACE)), torch.randn(count, *parts.appearance.shape), rows)


def prompts(count: int = 3) -> Texts:
    torch.manual_seed(2)
    return Texts(torch.randn(count, 7, WIDTH), torch.tensor([4, 2, -1])[:count])


def latents(count: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    return torch.randn(count, 4, SIDE, SIDE), torch.tensor([900, 500, 20])[:count], torch.rand(count, 3, 64, 64)


def predicted(rival: Any, parts: Parts, tokens: Tensor) -> Tensor:
    noisy, times, maps = latents()
    with torch.no_grad():
        return rival.predict(parts.unet, noisy, times, prompts(), tokens, maps)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_without_strength_the_base_is_left_and_with_it_the_face_counts(name: str) -> None:
    rival, parts = built(CONTESTANTS[name])
    begin_at_zero = [each.attention.to_out[0] for each in rival.attention.fine] if hasattr(rival, "attention") else []
    for module in [*begin_at_zero, *getattr(rival, "lora", ())]:
        torch.nn.init.normal_(module.weight)
    noisy, times, _ = latents()
    alone = parts_of().unet(noisy, times, prompts().states).sample
    seen = people(parts)
    other = References(seen.f_id.flip(0), seen.f_clip.flip(0), seen.nobody)
    with torch.no_grad():
        tokens, others = rival.tokens(seen), rival.tokens(other)
        assert (predicted(rival, parts, tokens) - predicted(rival, parts, others)).abs().max() > 1e-6
        rival.strength = 0.0
        torch.testing.assert_close(predicted(rival, parts, tokens), alone, atol=1e-5, rtol=1e-5)


def test_pooled_is_what_clip_itself_calls_the_image_embedding() -> None:
    parts, pixels = parts_of(), torch.randn(2, 3, 28, 28)
    made = parts.appearance.model(pixel_values=pixels)
    torch.testing.assert_close(pooled(parts.appearance, made.last_hidden_state), made.image_embeds)


def test_ip_adapters_tokens_and_their_nobody() -> None:
    rival, parts = built(IPAdapter)
    seen = people(parts, nobody=(1,))
    layer, norm = rival.projection.image_embeds, rival.projection.norm
    embedding = pooled(parts.appearance, seen.f_clip)
    embedding[1] = 0
    expected = norm(F.linear(embedding, layer.weight, layer.bias).view(3, 4, WIDTH))
    torch.testing.assert_close(rival.tokens(seen), expected)


def attended(layer: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V, head by head."""
    parts = []
    for head in range(layer.heads):
        size = queries.shape[-1] // layer.heads
        q, k, v = (each[..., head * size : (head + 1) * size] for each in (queries, keys, values))
        parts.append((q @ k.transpose(1, 2) / math.sqrt(size)).softmax(-1) @ v)
    return torch.cat(parts, -1)


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_decoupled_attention_is_equation_5(strength: float) -> None:
    rival, parts = built(FaceID)
    tokens, rival.strength = rival.tokens(people(parts)).detach(), strength
    for each in rival.attention.crossings:
        torch.nn.init.normal_(each.to_k_ip[0].weight)
    seen: list[Any] = []
    layer = crossing_layers(parts.unet)[0]
    layer.register_forward_hook(lambda _m, given, made: seen.append((given[0], made)))
    predicted(rival, parts, tokens)
    given, made = seen[0]
    own, states = layer.processor, prompts().states
    queries = layer.to_q(given)
    text = attended(layer, queries, layer.to_k(states), layer.to_v(states))
    face = attended(layer, queries, own.to_k_ip[0](tokens), own.to_v_ip[0](tokens))
    torch.testing.assert_close(made, layer.to_out[0](text + strength * face))


def test_decoupled_attention_begins_as_the_texts_and_stands_at_the_finest_level_too() -> None:
    rival, parts = built(IPAdapter)
    layers = crossing_layers(parts.unet)
    assert len(layers) == len(rival.attention.crossings) == 4  # one down, one in the middle, two up
    for layer, own in zip(layers, rival.attention.crossings, strict=True):
        assert torch.equal(own.to_k_ip[0].weight, layer.to_k.weight)
        assert torch.equal(own.to_v_ip[0].weight, layer.to_v.weight)
    assert len(rival.attention.fine) == len(fine_blocks(parts.unet)) == 3  # one down, two up
    features, tokens = torch.randn(2, 32, 4, 4), torch.randn(2, 5, WIDTH)
    fine = rival.attention.fine[0]
    assert torch.equal(fine(features, tokens), features)
    torch.nn.init.eye_(fine.attention.to_out[0].weight)
    rows = fine.norm(features).flatten(2).transpose(1, 2)
    layer = fine.attention
    expected = (
        attended(layer, layer.to_q(rows), layer.to_k(tokens), layer.to_v(tokens)).transpose(1, 2).view(2, 32, 4, 4)
    )
    torch.testing.assert_close(fine(features, tokens), features + expected)


def test_faceids_tokens_and_their_nobody() -> None:
    rival, parts = built(FaceID)
    seen = people(parts, nobody=(2,))
    vectors = seen.f_id.clone()
    vectors[2] = 0
    first, second = rival.projection.ff.net[0].proj, rival.projection.ff.net[2]
    hidden = F.gelu(F.linear(vectors, first.weight, first.bias))
    expected = rival.projection.norm(F.linear(hidden, second.weight, second.bias).view(3, 4, WIDTH))
    torch.testing.assert_close(rival.tokens(seen), expected)


def test_faceid_plus_adds_what_clip_sees_to_faceids_tokens() -> None:
    rival, parts = built(FaceIDPlus)
    seen = people(parts, nobody=(0,))
    both = rival.tokens(seen)
    rival.projection.shortcut_scale = 0.0
    alone = rival.tokens(seen)
    vectors = seen.vectors()
    first, second = rival.projection.proj.net[0].proj, rival.projection.proj.net[2]
    hidden = F.gelu(F.linear(vectors, first.weight, first.bias))
    x = rival.projection.norm(F.linear(hidden, second.weight, second.bias).view(3, 4, WIDTH))
    torch.testing.assert_close(alone, x)
    clip = rival.projection.proj_in(torch.where(seen.nobody[:, None, None], rival.nothing, seen.f_clip))
    state = x
    for block in rival.projection.layers:
        context = torch.cat([block.ln0(clip), block.ln1(state)], dim=1)
        q, k, v = block.attn.to_q(block.ln1(state)), block.attn.to_k(context), block.attn.to_v(context)
        state = block.attn.to_out[0](attended(block.attn, q, k, v)) + state
        state = block.ff(state) + state
    seen_by_clip = rival.projection.norm_out(rival.projection.proj_out(state))
    torch.testing.assert_close(both, x + seen_by_clip)


def test_instantid_reads_five_points_and_the_long_vector_and_no_text_in_identity_net() -> None:
    rival, parts = built(InstantID)
    landmarks = np.random.default_rng(0).uniform(10, 50, (72, 2))
    np.testing.assert_array_equal(rival.draw_map(landmarks, (64, 64)), draw_keypoints(five_points(landmarks), (64, 64)))
    seen = people(parts, nobody=(1,))
    long = torch.where(seen.nobody[:, None], 0.0, seen.f_id * math.sqrt(FACE))[:, None]
    tokens = rival.tokens(seen)
    torch.testing.assert_close(tokens, rival.resampler(long))
    noisy, times, maps = latents()
    with torch.no_grad(), rival.identity_net.attend_to(tokens):
        down, mid = rival.identity_net(noisy, times, controlnet_cond=maps, return_dict=False)
    with torch.no_grad():
        states = (prompts().states, [tokens])
        expected = parts.unet(
            noisy, times, states, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample
    torch.testing.assert_close(predicted(rival, parts, tokens), expected)


def test_photomaker_replaces_the_class_word_alone() -> None:
    rival, parts = built(PhotoMaker)
    seen, texts = people(parts, nobody=(1,)), prompts()
    states = rival.fused(texts, rival.tokens(seen))
    changed = (states != texts.states).any(dim=2)
    assert changed.nonzero().tolist() == [[0, 4]]  # nobody is in row 1, and row 2's prompt has no such word
    word = texts.states[0, 4]
    face = F.linear(pooled(parts.appearance, seen.f_clip)[0], rival.projection.weight, rival.projection.bias)

    def mlp(network: Any, x: Tensor) -> Tensor:
        norm, first, _, second = network
        return second(F.gelu(first(F.layer_norm(x, x.shape, norm.weight, norm.bias))))

    fused = word + mlp(rival.fuse, torch.cat([word, face]))
    fused = F.layer_norm(fused + mlp(rival.refine, fused), fused.shape, rival.norm.weight, rival.norm.bias)
    torch.testing.assert_close(states[0, 4], fused)


def test_photomakers_loras_act_on_attention_and_are_all_that_moves_in_the_base() -> None:
    rival, parts = built(PhotoMaker)
    tokens = rival.tokens(people(parts)).detach()
    before = predicted(rival, parts, tokens)
    layers = [name for name, _ in parts.unet.named_modules() if name.endswith("lora_B.default")]
    assert len(layers) == 4 * 8  # four of each attention; each crossing comes with one of the picture itself
    assert 2 * len(layers) == len(rival.lora)
    torch.nn.init.normal_(rival.lora[1].weight)
    assert not torch.equal(predicted(rival, parts, tokens), before)


def test_queries_are_kept_by_their_layers_not_in_the_order_of_running() -> None:
    rival, parts = built(PuLID)
    layers = crossing_layers(parts.unet)
    seen: dict[int, Tensor] = {}
    for place, layer in enumerate(layers):
        layer.register_forward_hook(lambda m, given, _, p=place: seen.update({p: m.to_q.weight @ given[0].mT}))
    tokens = rival.tokens(people(parts)).detach()
    _, queries = queries_of(layers, lambda: predicted(rival, parts, tokens))
    assert list(seen) != sorted(seen)  # the middle runs before what goes up, but is held after it
    for place, found in enumerate(queries):
        torch.testing.assert_close(found.mT, seen[place])
    with torch.no_grad():
        _, alone = queries_of(layers, lambda: rival.attention(parts.unet, *latents()[:2], prompts(), tokens, 0.0))
        aligned = alignment(layers, queries, alone, prompts().states)
    assert min(float(each) for each in aligned.values()) > 0


def test_pulids_alignment_is_written_out_and_zero_for_equal_queries() -> None:
    _, parts = built(PuLID)
    layers = crossing_layers(parts.unet)[:1]
    after, before, states = torch.randn(2, 9, 48), torch.randn(2, 9, 48), torch.randn(2, 7, WIDTH)
    found = alignment(layers, [after], [before], states)
    torch.testing.assert_close(found["layout"], (after - before).square().mean())
    keys = layers[0].to_k(states)
    answers = [attended(layers[0], keys, queries, queries) for queries in (after, before)]
    torch.testing.assert_close(found["semantic"], (answers[0] - answers[1]).square().mean())
    same = alignment(layers, [after], [after], states)
    assert float(same["layout"]) == float(same["semantic"]) == 0.0


def test_pulids_branch_finds_the_picture_that_an_exact_base_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    rival, _ = built(PuLID)
    noises, truth = schedule(), torch.randn(2, 4, SIDE, SIDE)
    asked: list[float] = []

    def exact(unet: Any, noisy: Tensor, timesteps: Tensor, *_: Any, strength: float = 1.0) -> Tensor:
        asked.append(strength)
        for layer in crossing_layers(unet):
            layer.to_q(torch.ones(2, 4, layer.inner_dim))
        alpha, sigma = noises.at(timesteps, 4)
        return noises.velocity(truth, (noisy - alpha * truth) / sigma, timesteps)

    monkeypatch.setattr(rival.attention, "forward", exact)
    texts = Texts(torch.randn(2, 7, WIDTH), torch.tensor([1, 1]))
    clean, aligned = rival.branch(noises, torch.randn(2, 4, SIDE, SIDE), texts, torch.randn(2, 8, WIDTH))
    torch.testing.assert_close(clean, truth, atol=1e-4, rtol=1e-4)
    assert asked == [1.0, 0.0] * 4
    assert float(aligned["layout"]) == 0.0


def test_one_stream_tells_one_thing_and_without_fam_both_are_told() -> None:
    for kind, deaf in ((WithoutClip, "f_clip"), (WithoutId, "f_id"), (WithoutFam, "")):
        rival, parts = built(kind)
        seen = people(parts, nobody=(2,))
        tokens = rival.tokens(seen)
        assert torch.equal(tokens[2], rival.mixer.null)
        for name in ("f_id", "f_clip"):
            changed = replace(seen, **{name: getattr(seen, name).flip(0)})
            assert torch.equal(rival.tokens(changed)[0], tokens[0]) == (name == deaf)
    plain, places = rival.mixer, parts.appearance.shape[0]
    expected = F.linear(seen.f_id, plain.of_id.weight).view(3, -1, WIDTH)
    torch.testing.assert_close(tokens[:2, :-places], plain.norm(expected)[:2])


def test_ours_is_ffrnet_holding_what_the_mixer_makes() -> None:
    rival, parts = built(Ours)
    seen = people(parts, nobody=(1,))
    noisy, times, maps = latents()
    with torch.no_grad():
        tokens = rival.mixer(seen.f_id, seen.f_clip, drop=seen.nobody)
        with rival.ffrnet.attend_to(tokens):
            down, mid = rival.ffrnet(noisy, times, controlnet_cond=maps, return_dict=False)
        expected = parts.unet(
            *(noisy, times, prompts().states), down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample
    torch.testing.assert_close(predicted(rival, parts, rival.tokens(seen).detach()), expected)
