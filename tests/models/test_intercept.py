"""Others see a module as it was, and so does everyone afterwards."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import nn

from facesnap.models.intercept import intercepting

X = torch.ones(1, 2)


def half(forward: Any, x: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = 0.5 * forward(x)
    return made


def test_inside_the_block_alone() -> None:
    layer = nn.Linear(2, 2)
    before = layer(X)
    with intercepting({layer: half}):
        assert torch.equal(layer(X), 0.5 * before)
        with intercepting({layer: lambda forward, x: 10 * forward(x)}):  # the inner one counts
            assert torch.equal(layer(X), 10 * before)
        assert torch.equal(layer(X), 0.5 * before)
    assert torch.equal(layer(X), before)
    assert "forward" not in layer.__dict__


def test_other_threads_see_nothing_of_it() -> None:
    layer = nn.Linear(2, 2)
    before, seen = layer(X), []
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with intercepting({layer: half}):
            entered.set()
            leave.wait(10)
            seen.append(layer(X))

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    assert torch.equal(layer(X), before)
    with intercepting({layer: lambda forward, x: 10 * forward(x)}):
        assert torch.equal(layer(X), 10 * before)
        leave.set()
        thread.join(10)
        assert torch.equal(seen[0], 0.5 * before)
        assert torch.equal(layer(X), 10 * before)  # the other one's end took nothing away
    assert torch.equal(layer(X), before)


def test_a_forward_that_was_put_on_the_module_stays() -> None:
    layer = nn.Linear(2, 2)
    own = layer.forward
    layer.forward = lambda x: -own(x)  # as offloading does
    before = layer(X)
    with intercepting({layer: half}):
        assert torch.equal(layer(X), 0.5 * before)
    assert torch.equal(layer(X), before)
    assert "forward" in layer.__dict__
