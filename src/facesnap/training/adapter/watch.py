"""What a run tells: a line at a time, a file of them, TensorBoard, and Weights & Biases where it is asked for."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch

from facesnap.core.images import save_png
from facesnap.core.lazy import require
from facesnap.training.adapter.config import TrainConfig

LOG: Final = "log.jsonl"


class _Sink(Protocol):
    """Where figures and pictures go."""

    def scalars(self, values: Mapping[str, float], step: int) -> None: ...
    def picture(self, name: str, image: np.ndarray, step: int) -> None: ...
    def close(self) -> None: ...


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        self.writer: Any = require("torch.utils.tensorboard", "train").SummaryWriter(str(folder))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    def __init__(self, project: str, folder: Path, config: Mapping[str, Any]) -> None:
        self.library: Any = require("wandb", "train")
        kept = folder / "wandb-run.txt"
        name = kept.read_text().strip() if kept.exists() else self.library.util.generate_id()
        kept.write_text(name)
        self.run = self.library.init(project=project, dir=str(folder), id=name, resume="allow", config=dict(config))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self.run.log({name: self.library.Image(image)}, step=step)

    def close(self) -> None:
        self.run.finish()


class Watch:
    """The main process' log; the others' says nothing.

    ``batch``: rows of a step. ``say``: takes a line.
    """

    def __init__(self, config: TrainConfig, say: Callable[[str], None], main: bool) -> None:
        self.config, self.say, self.main = config, say, main
        self.window: list[dict[str, float]] = []
        self.losses: dict[str, float] = {}
        self.begun, self.waited, self.images = time.monotonic(), 0.0, 0
        self.sinks: list[_Sink] = []
        if main and config.watch.tensorboard:
            self.sinks.append(_TensorBoard(config.output / "tensorboard"))
        if main and config.watch.wandb:
            self.sinks.append(_Wandb(config.watch.wandb, config.output, config.model_dump(mode="json")))

    def step(self, step: int, means: Mapping[str, float], norm: float, rate: float, waited: float) -> None:
        """After each step; ``norm``: of the gradient; ``waited``: seconds for the batch."""
        self.window.append({**means, "gradient_norm": norm})
        self.waited += waited
        self.images += self.config.optim.batch_size
        if step % self.config.watch.log_every and step < self.config.optim.steps:
            return
        self.losses = _mean(self.window)
        taken = max(1e-9, time.monotonic() - self.begun)
        speed = {"images_per_second": self.images / taken, "waiting_for_data": self.waited / taken, **memory()}
        self._tell(step, {**self.losses, "learning_rate": rate, **speed}, "train")
        self.pause()

    def pause(self) -> None:
        """Begin a new window: what lies between (validation, checkpoints) is no training."""
        self.window, self.begun, self.waited, self.images = [], time.monotonic(), 0.0, 0

    def validated(self, step: int, figures: Mapping[str, float], pictures: np.ndarray | None, judges: str) -> None:
        """After a validation; ``judges``: who measured; ``pictures``: a grid of portraits (H, W, 3) uint8."""
        self._tell(step, figures, "val", judges)
        if self.main and pictures is not None:
            save_png(self.config.output / "samples" / f"step-{step:08d}.png", pictures)
            for sink in self.sinks:
                sink.picture("val/portraits", pictures, step)

    def close(self) -> None:
        """At the end."""
        for sink in self.sinks:
            sink.close()

    def _tell(self, step: int, values: Mapping[str, float], kind: str, judges: str = "") -> None:
        if not self.main:
            return
        line: dict[str, Any] = {"step": step, "kind": kind, **{k: float(f"{v:.6g}") for k, v in values.items()}}
        if judges:
            line["judges"] = judges
        with (self.config.output / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for sink in self.sinks:
            sink.scalars({f"{kind}/{name}": value for name, value in values.items()}, step)
        shown = " ".join(f"{name}={value:.4g}" for name, value in values.items())
        self.say(f"{kind} {step}/{self.config.optim.steps} {shown}" + (f" (judged by {judges})" if judges else ""))


def memory() -> dict[str, float]:
    """Peak memory in GB: of the process, and of its card where it has one."""
    peak = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    if torch.cuda.is_available():
        peak["card_memory_gb"] = torch.cuda.max_memory_allocated() / 2**30
    return peak


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean per key over the rows that have it."""
    keys = {key: None for row in rows for key in row}
    return {key: sum(r[key] for r in rows if key in r) / sum(key in r for r in rows) for key in keys}
