"""The mixer's wiring, shape by shape, and that no part of it can be taken out unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from facesnap.models.mixer import FacialAttributeMixer

B, T, C, D, W, N = 3, 5, 12, 8, 16, 6


@pytest.fixture
def mixer() -> FacialAttributeMixer:
    torch.manual_seed(0)
    return FacialAttributeMixer(D, C, W, id_tokens=2, tokens=N, heads=4, decoder_layers=1).eval()


@pytest.fixture
def face() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return nn.functional.normalize(torch.randn(B, D), dim=-1), torch.randn(B, T, C)


def test_output_is_normalised_tokens(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]) -> None:
    f_mix = mixer(*face)
    assert f_mix.shape == (B, N, W)
    assert torch.allclose(f_mix.mean(-1), torch.zeros(B, N), atol=1e-5)


def test_wiring_is_the_papers(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]) -> None:
    """Query = id tokens, key and value = id and appearance tokens; memory = what comes out; queries = f_l."""
    seen: dict[str, tuple[torch.Tensor, ...]] = {}
    mixer.cross_attention.register_forward_pre_hook(lambda _, args: seen.update(attention=args))
    mixer.decoder.register_forward_pre_hook(lambda _, args: seen.update(decoder=args))
    mixer(*face)
    query, key, value = seen["attention"]
    assert query.shape == (B, 2, W)
    assert key.shape == (B, 2 + T, W)
    assert torch.equal(key, value)
    assert torch.equal(query, key[:, :2])
    queries, memory = seen["decoder"]
    assert torch.equal(queries, mixer.f_l.expand(B, -1, -1))
    assert memory.shape == (B, 2, W)


@pytest.mark.parametrize(
    "part", ["id_proj", "clip_proj", "cross_attention.out_proj", "decoder.layers.0.multihead_attn"]
)
def test_every_part_matters(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...], part: str) -> None:
    before = mixer(*face)
    for weight in mixer.get_submodule(part).parameters():
        nn.init.zeros_(weight)
    assert (mixer(*face) - before).abs().max() > 1e-3


def test_both_streams_and_only_ones_own_face_matter(
    mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]
) -> None:
    f_id, f_clip = face
    before = mixer(f_id, f_clip)
    for changed in (mixer(f_id.roll(1, -1), f_clip), mixer(f_id, f_clip.roll(1, -1))):
        assert (changed - before).abs().max() > 1e-3
    assert torch.allclose(mixer(f_id[1:2], f_clip[1:2]), before[1:2], atol=1e-5)


def test_gradient_reaches_every_weight(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]) -> None:
    drop = torch.tensor([True, False, False])
    (mixer(*face, drop) * torch.randn(B, N, W)).sum().backward()
    unreached = [n for n, p in mixer.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


def test_dropped_rows_are_nobody(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]) -> None:
    drop = torch.tensor([False, True, False])
    f_mix = mixer(*face, drop)
    assert torch.equal(f_mix[1], mixer.null_tokens(1)[0])
    assert torch.equal(f_mix[0], mixer(*face)[0])


def test_scale_goes_from_nobody_to_the_person(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]) -> None:
    assert torch.allclose(mixer(*face, scale=0.0), mixer.null_tokens(B), atol=1e-6)
    assert torch.allclose(
        mixer(*face, scale=2.0) - mixer(*face, scale=1.0), mixer(*face) - mixer(*face, scale=0.0), atol=1e-6
    )


def test_streams_weigh_the_tokens_in_the_cross_attention(
    mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]
) -> None:
    """A stream of weight 0 is as if it weren't there; equal weights change nothing."""
    f_id, f_clip = face
    assert torch.allclose(mixer(*face, streams=(3.0, 3.0)), mixer(*face), atol=1e-5)
    no_detail = mixer(f_id, f_clip, streams=(1.0, 0.0))
    assert torch.allclose(no_detail, mixer(f_id, f_clip.roll(1, -1), streams=(1.0, 0.0)), atol=1e-5)
    assert (no_detail - mixer(*face)).abs().max() > 1e-3
    more = [mixer(f_id, f_clip, streams=(1.0, weight)) for weight in (1.0, 1.5, 1e6)]
    alone = mixer(f_id, f_clip, streams=(0.0, 1.0))
    distance = [(each - alone).abs().mean().item() for each in more]
    assert distance[0] > distance[1] > distance[2]
    assert distance[2] < 1e-3


def test_weights_of_streams_are_shares_of_the_attention(
    mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...]
) -> None:
    """Weight 2 on appearance: as if each of its tokens were there twice."""
    f_id, f_clip = face
    twice = mixer(f_id, torch.cat([f_clip, f_clip], dim=1))
    assert torch.allclose(mixer(f_id, f_clip, streams=(1.0, 2.0)), twice, atol=1e-5)


def test_attention_is_torchs(mixer: FacialAttributeMixer) -> None:
    """The same weights, the same numbers, with and without a bias on the logits."""
    torch.manual_seed(2)
    theirs = nn.MultiheadAttention(W, 4, batch_first=True)
    theirs.load_state_dict(mixer.cross_attention.state_dict())
    query, memory, bias = torch.randn(B, 2, W), torch.randn(B, T, W), torch.randn(2, T)
    for mask in (None, bias):
        expected, _ = theirs(query, memory, memory, attn_mask=mask)
        got, _ = mixer.cross_attention(query, memory, memory, attn_mask=mask)
        assert torch.allclose(got, expected, atol=1e-5)


def test_save_and_load(mixer: FacialAttributeMixer, face: tuple[torch.Tensor, ...], tmp_path: Path) -> None:
    mixer.save_pretrained(tmp_path)
    again = FacialAttributeMixer.from_pretrained(tmp_path)
    assert torch.equal(again(*face), mixer(*face))
    assert again.config.id_tokens == 2
    assert (tmp_path / "diffusion_pytorch_model.safetensors").is_file()
