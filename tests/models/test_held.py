"""Whose face acts where, at which step, on which level."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models import tiny
from tests.models.test_ffrnet import N, call, control, loud, make, tokens

from facesnap.core.errors import UsageError
from facesnap.models.controls import FaceControls, is_open
from facesnap.models.ffrnet import FFRNet
from facesnap.models.held import FaceInPicture, in_regions
from facesnap.models.map_embedding import MapEmbedding

NULL = torch.zeros(1, N, tiny.WIDTH)


def residuals(net: FFRNet, rows: int = 1, shown: torch.Tensor | None = None) -> list[torch.Tensor]:
    latents = torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        down, mid = net(latents, 500, None, control() if shown is None else shown, return_dict=False)
    return [*down, mid]


def half(left: bool) -> torch.Tensor:
    mask = torch.zeros(tiny.SIZE, tiny.SIZE)
    mask[:, : tiny.SIZE // 2] = 1.0
    return mask if left else 1 - mask


# --- regions ---


def test_each_face_acts_in_its_own_region() -> None:
    net = loud(make())
    alone = []
    for seed in (5, 6):
        with net.attend_to(tokens(seed=seed), NULL):
            alone.append(residuals(net))
    both = [FaceInPicture(tokens(seed=s), NULL, region=half(left=s == 5)) for s in (5, 6)]
    with net.attend_to_all(both):
        together = residuals(net)
    for ours, first, second in zip(together, *alone, strict=True):
        middle = ours.shape[-1] // 2
        assert torch.allclose(ours[..., :middle], first[..., :middle], atol=1e-5)
        assert torch.allclose(ours[..., middle:], second[..., middle:], atol=1e-5)
    assert not torch.allclose(alone[0][-1], alone[1][-1], atol=1e-3)


def test_where_nobody_is_the_base_is_left_alone_and_crowds_share() -> None:
    ones = [[torch.ones(1, 2, 8, 8)], [3 * torch.ones(1, 2, 8, 8)]]
    (apart,) = in_regions(ones, [half(True), torch.zeros(tiny.SIZE, tiny.SIZE)])
    assert torch.equal(apart[..., :4], torch.ones(1, 2, 8, 4))
    assert not apart[..., 4:].any()
    (shared,) = in_regions(ones, [half(True), half(True)])
    assert torch.equal(shared[..., :4], 2 * torch.ones(1, 2, 8, 4))
    (everywhere,) = in_regions(ones, [None, half(False)])
    assert torch.equal(everywhere[0, 0, 0], torch.tensor([1.0] * 4 + [2.0] * 4))


def test_each_face_sees_its_own_map_and_is_embedded_once() -> None:
    net = loud(make())
    own = torch.rand(1, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(1))
    with net.attend_to(tokens(), NULL):
        expected = residuals(net, shown=own)
    with net.attend_to_all([FaceInPicture(tokens(), NULL, landmark_map=own)]) as held:
        got = residuals(net, shown=control())
        assert held.faces[0].map_memory.remembered.last is not None
        kept = held.faces[0].map_memory.remembered.last
        residuals(net, shown=control())
        assert held.faces[0].map_memory.remembered.last is kept
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(got, expected, strict=True))


def test_in_half_precision_each_map_is_embedded_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    net = loud(make()).to(torch.bfloat16)
    embedded: list[torch.Tensor] = []
    stock = MapEmbedding._embed
    monkeypatch.setattr(MapEmbedding, "_embed", lambda self, shown: (embedded.append(shown), stock(self, shown))[1])
    latents = torch.randn(1, 4, 8, 8).to(torch.bfloat16)
    faces = [FaceInPicture(tokens(seed=s), NULL, landmark_map=torch.rand(1, 3, tiny.SIZE, tiny.SIZE)) for s in (5, 6)]
    with torch.no_grad(), net.attend_to_all(faces):
        for step in (900, 500, 100):
            net(latents, step, None, control().to(torch.bfloat16), return_dict=False)
    assert len(embedded) == 2


# --- the map's strength ---


def test_the_maps_strength_is_on_the_line_from_the_empty_map() -> None:
    net = loud(make())
    face = FaceInPicture(tokens(), NULL)

    def embedded(scale: float, shown: torch.Tensor | None = None) -> torch.Tensor:
        with net.attend_to_all([face], controls=FaceControls(map_scale=scale)) as held:
            residuals(net, shown=shown)
            found = held.faces[0].map_memory.remembered.last
        assert found is not None
        return found

    empty, whole = embedded(1.0, torch.zeros_like(control())), embedded(1.0)
    assert not torch.allclose(empty, whole, atol=1e-3)
    for scale in (0.0, 0.5, 1.5):
        assert torch.allclose(embedded(scale), empty + scale * (whole - empty), atol=1e-5)


def test_the_map_can_be_weak_while_the_person_is_not() -> None:
    net = loud(make())

    def heard(scale: float, seed: int, shown: torch.Tensor) -> list[torch.Tensor]:
        with net.attend_to_all([FaceInPicture(tokens(seed=seed), NULL)], controls=FaceControls(map_scale=scale)):
            return residuals(net, shown=shown)

    assert same(heard(0.0, 5, control()), heard(0.0, 5, 1 - control())), "no map"
    assert same(heard(0.0, 5, control()), heard(1.0, 5, torch.zeros_like(control())))
    assert not same(heard(0.0, 5, control()), heard(0.0, 6, control())), "but the person"
    with torch.enable_grad(), net.attend_to_all([FaceInPicture(tokens(), NULL)], controls=FaceControls(map_scale=0.0)):
        latents = torch.zeros(1, 4, 8, 8)
        with_map, without = (net(latents, 5, None, m, return_dict=False)[1] for m in (control(), 0 * control()))
    assert torch.allclose(with_map, without, atol=1e-6), "while gradients are recorded, too"


# --- windows ---


def at(net: FFRNet, step: int, rows: int = 2, **knobs: Any) -> list[torch.Tensor]:
    """Residuals at a step of ten; nobody's tokens are all 2."""
    nobody = 2 * torch.ones_like(NULL)
    face = FaceInPicture(tokens(), NULL, nobody)
    with net.attend_to_all([face], controls=FaceControls(**knobs), step=lambda: (step, 10)):
        return residuals(net, rows)


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(first, second, strict=True))


def test_outside_the_identitys_window_there_is_nobody() -> None:
    net = loud(make())
    always, nobody = at(net, 5), at(net, 0, identity_window=(0.5, 1.0))
    assert same(at(net, 5, identity_window=(0.5, 1.0)), always)
    assert not same(nobody, always)
    with net.attend_to(2 * torch.ones_like(NULL), 2 * torch.ones_like(NULL)):
        assert same(nobody, residuals(net, 2))


def test_outside_the_landmarks_window_the_map_is_empty() -> None:
    net = loud(make())
    blind = at(net, 9, landmark_window=(0.0, 0.5))
    assert not same(blind, at(net, 4, landmark_window=(0.0, 0.5)))
    with net.attend_to(tokens(), NULL):
        assert same(blind, residuals(net, 2, shown=torch.zeros(1, 3, tiny.SIZE, tiny.SIZE)))


def test_with_both_windows_closed_ffrnet_is_silent_without_running(monkeypatch: pytest.MonkeyPatch) -> None:
    net = loud(make())
    monkeypatch.setattr(net.conv_in, "forward", lambda *_: pytest.fail("FFRNet ran"))
    silent = at(net, 9, identity_window=(0.0, 0.5), landmark_window=(0.0, 0.5))
    monkeypatch.undo()
    heard = at(net, 9)
    assert [each.shape for each in silent] == [each.shape for each in heard], "others' residuals are added in place"
    assert not any(each.any() for each in silent)
    assert len({each.data_ptr() for each in silent}) == len(silent), "to each its own"


def test_windows_follow_diffusers_rule_for_controlnets() -> None:
    """``keep = not (i / n < start or (i + 1) / n > end)``."""
    kept = [i for i in range(10) if is_open((0.25, 0.8), i, 10)]
    assert kept == [3, 4, 5, 6, 7]


def test_a_window_needs_to_know_the_step() -> None:
    net = make()
    held = net.attend_to_all([FaceInPicture(tokens())], controls=FaceControls(identity_window=(0.1, 1)))
    with held, pytest.raises(UsageError, match="need to know the step"):
        call(net)


# --- levels ---


def test_levels_are_scaled_one_by_one() -> None:
    """The tiny network's residuals: conv_in, a block, a downsampler (level 0), a block (level 1), the middle."""
    net = loud(make())
    plain, scaled = at(net, 0), at(net, 0, level_scales=(0.5, 2.0, 0.0))
    factors = [0.5, 0.5, 0.5, 2.0, 0.0]
    assert all(torch.equal(b, a * f) for a, b, f in zip(plain, scaled, factors, strict=True))
    with pytest.raises(UsageError, match="2 factors, but FFRNet has 3 levels"):
        at(net, 0, level_scales=(1.0, 1.0))


# --- controls ---


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"identity_guidance": 1.5}, "from 0 to 1"),
        ({"detail_scale": -1.0}, "detail_scale=-1"),
        ({"abstract_scale": float("nan")}, "abstract_scale=nan"),
        ({"abstract_scale": 0, "detail_scale": 0}, "nobody in particular"),
        ({"identity_window": (0.8, 0.2)}, r"identity_window=\(0.8, 0.2\)"),
        ({"landmark_window": (0, 2)}, "between 0 and 1"),
        ({"landmark_window": 0.5}, "two numbers"),
        ({"identity_scale": float("nan")}, "identity_scale=nan must be a finite number"),
        ({"landmark_scale": "1"}, "landmark_scale='1'"),
        ({"map_scale": float("inf")}, "map_scale=inf"),
        ({"identity_guidance": True}, "identity_guidance=True"),
        ({"level_scales": 2.0}, "must be a list of numbers"),
    ],
)
def test_impossible_knobs_are_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FaceControls(**knobs)
