"""Muon's steps are orthogonal, convolutions count as matrices, and the rest is AdamW's."""

import pytest
import torch
from torch import nn

from facesnap.training.muon import Muon, orthogonal, parameter_groups


@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(-2, 2, shape[1]))
    values = torch.linalg.svdvals(orthogonal(matrix).float())
    assert values.max() < 1.3
    assert values.median() > 0.6
    assert torch.linalg.svdvals(matrix).max() / torch.linalg.svdvals(matrix).median() > 5


def test_groups_tell_layers_from_embeddings_and_biases() -> None:
    net = nn.ModuleDict({"words": nn.Embedding(9, 4), "layer": nn.Conv2d(3, 4, 3), "norm": nn.GroupNorm(2, 4)})
    net["layer"].bias.requires_grad_(False)
    layers, words, rest = parameter_groups(net, 0.1, muon=True)
    assert (layers["muon"], [p.shape for p in layers["params"]]) == (True, [net["layer"].weight.shape])
    assert [p.shape for p in words["params"]] == [(9, 4)]
    assert (rest["weight_decay"], len(rest["params"])) == (0.0, 2)


def test_without_muon_it_is_adamw() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(5, 3), nn.Linear(5, 3)
    second.load_state_dict(first.state_dict())
    ours = Muon(parameter_groups(first, 0.0, muon=False), lr=0.1, betas=(0.9, 0.99))
    torchs = torch.optim.AdamW(second.parameters(), lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
    for _ in range(3):
        for net, optimizer in ((first, ours), (second, torchs)):
            net(torch.ones(2, 5)).pow(2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(first.weight, second.weight)


def test_a_step_has_the_size_of_adamws_and_the_direction_of_descent() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 16, 3)
    before = conv.weight.detach().clone()
    optimizer = Muon(parameter_groups(conv, 0.0, muon=True), lr=0.01)
    conv(torch.randn(4, 8, 6, 6)).pow(2).mean().backward()
    optimizer.step()
    step = conv.weight.detach() - before
    assert float(step.pow(2).mean().sqrt()) == pytest.approx(0.01 * 0.2, rel=0.3)
    assert conv.weight.grad is not None
    assert float((step * conv.weight.grad).sum()) < 0
