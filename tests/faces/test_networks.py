import numpy as np
import pytest
import torch

from facesnap.core.errors import AdapterError
from facesnap.faces.networks import FaceNet, PatchFaceNet, build_network

SMALL = {
    "FaceNet": {"architecture": "FaceNet", "dim": 16, "channels": [4, 8], "blocks": [1, 1]},
    "PatchFaceNet": {"architecture": "PatchFaceNet", "dim": 16, "width": 8, "depth": 1, "heads": 2},
}


@pytest.mark.parametrize("name", SMALL)
def test_unit_vectors_and_gradients_everywhere(name):
    torch.manual_seed(0)
    network = build_network(SMALL[name])
    images = torch.rand(3, 3, 112, 112, requires_grad=True)
    vectors = network(images)
    assert vectors.shape == (3, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    (vectors @ torch.randn(16)).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    for part, value in network.named_parameters():
        assert value.grad is not None, part
        assert torch.isfinite(value.grad).all(), part


@pytest.mark.parametrize("name", SMALL)
def test_it_can_learn_to_tell_people_apart(name):
    torch.manual_seed(0)
    network = build_network(SMALL[name])
    people = torch.rand(4, 3, 7, 7)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)

    def photos() -> torch.Tensor:
        faces = torch.nn.functional.interpolate(people.repeat(2, 1, 1, 1), (112, 112))
        return (faces + torch.randn(8, 3, 112, 112) * 0.2).clamp(0, 1)

    for _ in range(12):
        cosines = (vectors := network(photos())) @ vectors.T
        logits = 8 * cosines.masked_fill(torch.eye(8, dtype=torch.bool), -2)
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(8).roll(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        vectors = network(photos())
    same = (vectors[:4] * vectors[4:]).sum(1).mean()
    other = (vectors[:4] * vectors[4:].roll(1, 0)).sum(1).mean()
    assert same > other + 0.3


def test_the_full_sizes_fit_the_budget():
    for network, most in ((FaceNet(), 1.5e6), (PatchFaceNet(), 1.1e6)):
        assert sum(value.numel() for value in network.parameters()) < most
        with torch.inference_mode():
            assert network.eval()(torch.zeros(1, 3, 112, 112)).shape == (1, 256)


def test_a_config_rebuilds_its_network():
    network = build_network({"architecture": "FaceNet", "dim": 8, "channels": [4], "blocks": [2]})
    again = build_network(network.config)
    again.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 112, 112)
    assert np.allclose(network.eval()(image).detach(), again.eval()(image).detach())


def test_an_unknown_architecture_is_named():
    with pytest.raises(AdapterError, match=r"'ResNet'.*FaceNet, PatchFaceNet"):
        build_network({"architecture": "ResNet"})
