"""A run that is cut and resumed is the run that was never cut, bit for bit."""

import multiprocessing
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facesnap.core.errors import FaceSnapError, InputError
from facesnap.training.batches import Batch
from facesnap.training.config import StageConfig
from facesnap.training.loop import Stage, learning_rate, train

CONFIG = StageConfig(steps=12, batch_size=4, warmup=2, bf16=False, log_every=3)


class Line(Stage):
    """Learns y = 2x with a tiny network."""

    def __init__(self, poison_at: int = -1) -> None:
        torch.manual_seed(0)
        self.modules = nn.ModuleDict({"net": nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))})
        self.exported: dict[str, Tensor] = {}
        self.calls, self.poison_at = 0, poison_at

    def draw(self, rng: np.random.Generator) -> Batch:
        return {"x": torch.from_numpy(rng.standard_normal((4, 1), dtype=np.float32))}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        x = batch["x"]
        loss = (self.modules["net"](x) - 2 * x).pow(2).mean()
        return {"loss": loss * float("nan") if self.calls == self.poison_at else loss}

    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        self.exported = {k: v.clone() for k, v in self.modules.state_dict().items()}
        return {}


def run(stage: Line, folder: Path, minutes: float | None = None, config: StageConfig = CONFIG, workers: int = 0):
    given = {"seed": 3, "minutes": minutes, "device": torch.device("cpu"), "workers": workers}
    return train("line", stage, config, folder, say=lambda _: None, **given)


def test_resumed_run_equals_an_uncut_one(tmp_path: Path) -> None:
    whole = Line()
    assert run(whole, tmp_path / "whole").finished
    first = Line(poison_at=8)
    with pytest.raises(FaceSnapError, match="loss became nan"):
        run(first, tmp_path / "cut")  # stops without a checkpoint ...
    cut = Line()
    report = run(cut, tmp_path / "cut", minutes=0.0)  # ... so this one starts at 0 and is out of time at once
    assert report.step == 0
    assert not report.finished
    resumed = Line()
    assert run(resumed, tmp_path / "cut").step == CONFIG.steps
    for name, value in whole.exported.items():
        assert torch.equal(value, resumed.exported[name]), name


def test_stopping_in_the_middle_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, early, late = Line(), Line(), Line()
    run(whole, tmp_path / "whole")
    clock = iter(float(i) for i in range(10_000))
    monkeypatch.setattr("facesnap.training.loop.time.monotonic", lambda: next(clock))
    report = run(early, tmp_path / "cut", minutes=0.4)
    assert 0 < report.step < CONFIG.steps
    run(late, tmp_path / "cut")
    for name, value in whole.exported.items():
        assert torch.equal(value, late.exported[name]), name


def test_other_processes_make_the_same_batches_and_end_with_the_run(tmp_path: Path) -> None:
    alone, helped, cut = Line(), Line(), Line()
    run(alone, tmp_path / "alone")
    assert run(helped, tmp_path / "helped", workers=2).finished
    run(cut, tmp_path / "cut", minutes=0.0, workers=2)
    run(cut, tmp_path / "cut", workers=1)
    for name, value in alone.exported.items():
        assert torch.equal(value, helped.exported[name]), name
        assert torch.equal(value, cut.exported[name]), name
    assert not multiprocessing.active_children()


def test_export_uses_the_average_not_the_last_step(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    stage = Line()
    run(stage, tmp_path)
    saved = load_file(tmp_path / "line.safetensors")
    assert torch.equal(stage.exported["net.0.weight"], saved["ema.net.0.weight"])
    assert not torch.equal(stage.exported["net.0.weight"], saved["model.net.0.weight"])


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    run(Line(), tmp_path)
    other = Line()
    other.modules = nn.ModuleDict({"net": nn.Linear(1, 3)})
    with pytest.raises(InputError, match="another configuration"):
        run(other, tmp_path)


def test_learning_rate_warms_up_and_decays() -> None:
    config = StageConfig(steps=100, warmup=10, decay_fraction=0.2, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[-1] == pytest.approx(0.05)
    assert rates[79:] == sorted(rates[79:], reverse=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_piece_with_everything_saved(tmp_path: Path, number: signal.Signals) -> None:
    class Stopped(Line):
        def loss(self, batch: Batch) -> dict[str, Tensor]:
            if self.calls == 4:
                signal.raise_signal(number)
            return super().loss(batch)

    whole, stage, resumed = Line(), Stopped(), Line()
    handler = signal.getsignal(number)
    run(whole, tmp_path / "whole")
    report = run(stage, tmp_path / "cut")
    assert (report.step, report.stopped, report.finished) == (5, True, False)
    assert stage.exported
    assert "stopped" not in report.as_dict()
    assert signal.getsignal(number) is handler
    assert not run(resumed, tmp_path / "cut").stopped
    for name, value in whole.exported.items():
        assert torch.equal(value, resumed.exported[name]), name
