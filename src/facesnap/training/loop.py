"""The training loop that all stages share: a budget, a schedule, an average, a checkpoint, a log."""

from __future__ import annotations

import json
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.core.errors import FaceSnapError
from facesnap.training.batches import Batch, batches, sensible_workers
from facesnap.training.config import StageConfig
from facesnap.training.muon import Muon, parameter_groups
from facesnap.training.state import Ema, TrainState

#: Seconds between two checkpoints.
CHECKPOINT_SECONDS = 120.0


class Stage(ABC):
    """One thing to train. ``modules`` holds exactly what the optimiser may change."""

    modules: nn.ModuleDict

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Batch:
        """Tensors (on the CPU) of a step: all that is random about it, and nothing that a network says.

        May run in another process, ahead of time.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars of a drawn batch, which is on the device; ``loss`` is minimised, the others are logged."""

    @abstractmethod
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the (averaged) modules where the product reads them; return the figures of the final check."""


@dataclass(frozen=True)
class Report:
    """How far a stage got.

    ``losses``: means over the last tenth of the steps of this piece, none if it had no steps;
    ``stopped``: SIGTERM or Ctrl-C asked for an end.
    """

    stage: str
    step: int
    steps: int
    seconds: float
    samples_per_second: float
    losses: dict[str, float]
    figures: dict[str, float]
    stopped: bool = False

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps

    def as_dict(self) -> dict[str, Any]:
        """For the model card and the log; how this piece ended is of no interest there."""
        return {name: value for name, value in asdict(self).items() if name != "stopped"}


class StopSignal:
    """Turns SIGTERM and SIGINT into a request to stop at the next step, with everything saved."""

    def __enter__(self) -> StopSignal:
        self.asked = False
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Rates(Protocol):
    """What decides the learning rate."""

    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def warmup(self) -> int: ...  # noqa: D102
    @property
    def decay_fraction(self) -> float: ...  # noqa: D102


def learning_rate(config: Rates, step: int) -> float:
    """Warm-up, then constant, then linear to 2% over the last ``decay_fraction`` of the steps."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    left = (config.steps - step) / max(1.0, config.steps * config.decay_fraction)
    return config.learning_rate * warm * max(0.02, min(1.0, left))


def train(
    name: str,
    stage: Stage,
    config: StageConfig,
    folder: Path,
    *,
    seed: int,
    minutes: float | None,
    device: torch.device,
    say: Callable[[str], None],
    workers: int | None = None,
) -> Report:
    """Train a stage until its steps are done or ``minutes`` are over, resuming from ``folder`` if it was begun.

    Always leaves a checkpoint, and exports the averaged weights (so that what exists can be used at any time).
    SIGTERM and Ctrl-C end it like a budget; the report says so (``stopped``), and the caller should stop, too.
    ``workers``: processes that make batches; None: as many as the device needs. The outcome doesn't depend on it.

    Raises:
        FaceSnapError: the loss became NaN or infinite; the last good checkpoint stays.
    """
    stage.modules.to(device).train()
    state = _state(stage, config)
    workers = sensible_workers(device) if workers is None else workers
    checkpoint = folder / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state.load(checkpoint)
        say(f"{name}: resumed at step {state.step} of {config.steps}")
    begun, first, log = time.monotonic(), state.step, _Log(folder / f"{name}.jsonl", config, say, name)
    before, saved, waited = state.seconds, begun, 0.0
    deadline = begun + 60.0 * minutes if minutes is not None else float("inf")
    with StopSignal() as stop:
        drawn = batches(stage, seed, state.step, config.steps, workers)
        while state.step < config.steps and time.monotonic() < deadline and not stop.asked:
            asked = time.perf_counter()
            batch = next(drawn)
            waited += time.perf_counter() - asked
            losses = _step(stage, state, config, batch, device)
            state.seconds = before + time.monotonic() - begun
            log.add(state, losses, first, begun, waited)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                state.save(checkpoint)
                saved = time.monotonic()
    state.save(checkpoint)
    rate = (state.step - first) * config.batch_size / max(1e-9, time.monotonic() - begun)
    state.ema.load_into(stage.modules)
    stage.modules.eval()
    about = {"stage": name, "step": str(state.step), "seed": str(seed)}
    figures = stage.export(about)
    times = round(state.seconds, 1), round(rate, 1)
    return Report(name, state.step, config.steps, *times, log.recent(), figures, stopped=stop.asked)


def _state(stage: Stage, config: StageConfig) -> TrainState:
    groups = parameter_groups(stage.modules, config.weight_decay, config.muon)
    optimizer = Muon(groups, lr=config.learning_rate, betas=config.betas, foreach=True)
    return TrainState(stage.modules, optimizer, Ema(stage.modules, config.ema_decay))


def _step(stage: Stage, state: TrainState, config: StageConfig, batch: Batch, device: torch.device) -> dict[str, float]:
    rate = learning_rate(config, state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        losses = stage.loss(batch)
    values = {k: float(v.detach()) for k, v in losses.items()}
    if not torch.isfinite(losses["loss"]):
        raise FaceSnapError(f"the loss became {values['loss']} at step {state.step}: {values}; lower the learning rate")
    losses["loss"].backward()  # type: ignore[no-untyped-call, unused-ignore]
    norm = nn.utils.clip_grad_norm_(stage.modules.parameters(), config.clip)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.ema.update(stage.modules, state.step)
    return {**values, "gradient_norm": float(norm)}


class _Log:
    """One JSON line and one printed line every ``log_every`` steps, each the mean since the last.

    Beside the losses, the speed since the piece began and the share of time spent waiting for batches.
    """

    def __init__(self, path: Path, config: StageConfig, say: Callable[[str], None], name: str) -> None:
        self.path, self.config, self.say, self.name = path, config, say, name
        self.window: list[dict[str, float]] = []
        self.means: list[dict[str, float]] = []

    def add(self, state: TrainState, losses: dict[str, float], first: int, begun: float, waited: float) -> None:
        self.window.append(losses)
        if state.step % self.config.log_every and state.step < self.config.steps:
            return
        mean = _mean(self.window)
        self.means.append(mean)
        self.window = []
        taken = time.monotonic() - begun
        rate, waiting = (state.step - first) * self.config.batch_size / taken, round(waited / taken, 3)
        speed = {"samples_per_second": round(rate, 1), "waiting_for_data": waiting}
        line = {"step": state.step, "seconds": round(state.seconds, 1), **speed, **mean}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        shown = " ".join(f"{k}={v:.4g}" for k, v in mean.items())
        self.say(f"{self.name} {state.step}/{self.config.steps} {rate:.0f}/s (data {waiting:.0%}) {shown}")

    def recent(self) -> dict[str, float]:
        last = self.means[-max(1, len(self.means) // 10) :] or ([_mean(self.window)] if self.window else [])
        return {k: round(v, 5) for k, v in _mean(last).items()}


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean per key over the rows that have it (some losses exist only in some batches)."""
    keys = {k: None for row in rows for k in row}
    return {k: sum(r[k] for r in rows if k in r) / sum(k in r for r in rows) for k in keys}
