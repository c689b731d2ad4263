"""The run: accelerate's processes, the steps, what is kept of them, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from facesnap.core.errors import FaceSnapError, UsageError
from facesnap.core.lazy import require
from facesnap.core.machine import machine, today
from facesnap.core.weights import write_json
from facesnap.data.layout import DatasetInfo
from facesnap.models.checkpoint import AdapterConfig, save_adapter
from facesnap.training.adapter.checkpoints import (
    STATE,
    Checkpoints,
    load_random,
    read_run,
    save_random,
)
from facesnap.training.adapter.config import OptimConfig, TrainConfig
from facesnap.training.adapter.drawing import KEYS, on_device, plan
from facesnap.training.adapter.guard import Verdict, judge, save_batch
from facesnap.training.adapter.objective import FaceNets, total_loss
from facesnap.training.adapter.setup import Setup
from facesnap.training.adapter.validation import Validation
from facesnap.training.adapter.watch import Watch
from facesnap.training.loop import StopSignal, learning_rate
from facesnap.training.muon import Muon, parameter_groups
from facesnap.training.state import Ema, TrainState

ADAPTER: Final = "adapter"
#: A name for what accelerate writes of a model that is spread over cards.
SHARDED: Final = "accelerate"
_SPREAD: Final = (DistributedType.FSDP, DistributedType.DEEPSPEED)
#: Gradients of infinite size that fp16's loss scale may cause in a row, before it is no accident any more.
OVERFLOWS: Final = 20

#: Whether this process was asked to stop, and whether its time is over.
Ends = Callable[[], tuple[bool, bool]]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: at which step, with which losses (means of the last window), and why."""

    step: int
    steps: int
    losses: dict[str, float]
    stopped: bool
    adapter: Path | None

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps


class Trainer:
    """One process of a run."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, setup: Setup, say: Callable[[str], None]) -> None:
        self.config, self.accelerator, self.setup, self.say = config, accelerator, setup, say
        self.spread = accelerator.distributed_type in _SPREAD
        self._check()
        self.micro = micro_batch(config.optim, accelerator.num_processes)
        self.passes: int = config.optim.batch_size // (accelerator.num_processes * self.micro)
        accelerator.gradient_accumulation_steps = self.passes
        self.nets: Any = setup.nets.to(accelerator.device) if not self.spread else setup.nets
        if config.compute.gradient_checkpointing:
            setup.nets.ffrnet.enable_gradient_checkpointing()
            setup.frozen.unet.enable_gradient_checkpointing()
            setup.frozen.vae.enable_gradient_checkpointing()
        self.raw = _optimizer(config.optim, setup.nets)
        self.wrapped, self.optimizer = accelerator.prepare(self.nets, self.raw)
        self.state = (
            TrainState(setup.nets, self.raw, Ema(setup.nets, config.optim.ema_decay)) if not self.spread else None
        )
        self.step, self.overflows = 0, 0
        self.checkpoints = Checkpoints(config.output / "checkpoints", config.watch.keep)
        self.fixed = {
            "seed": config.seed,
            "base": setup.base.stamp,
            "data": setup.stamp,
            "data.lanes": config.data.lanes,
            "data.buffer_people": config.data.buffer_people,
            "optim.batch_size": config.optim.batch_size,
            "optim.optimizer": config.optim.optimizer,
        }

    def run(self, minutes: float | None = None) -> Outcome:
        """Train until the steps are done, ``minutes`` are over, or SIGTERM or Ctrl-C asks for an end.

        A checkpoint and the adapter are left in any case but a broken loss.

        Raises:
            FaceSnapError: the loss isn't finite any more; the batch is kept, and the checkpoints before.
            InputError: a shard is damaged.
        """
        watch = Watch(self.config, self.say, self.accelerator.is_main_process)
        self._resume()
        first, saved = self.step, self.step
        deadline = time.monotonic() + 60.0 * minutes if minutes is not None else float("inf")
        validation = self.setup.validation if self.accelerator.is_main_process else None
        try:
            with StopSignal() as signal:
                batches = self.setup.reader.batches(self.step)
                asked, late = False, deadline <= time.monotonic()
                while self.step < self.config.optim.steps and not (asked or late):
                    verdict = self._one(batches, watch, lambda: (signal.asked, time.monotonic() >= deadline))
                    asked, late = verdict.asked, verdict.late
                    every = self.config.watch
                    if _due(self.step, every.validate_every):
                        self._validate(validation, watch)
                    if _due(self.step, every.checkpoint_every):
                        self._save()
                        saved = self.step
                        watch.pause()
            if saved != self.step or self.checkpoints.latest() is None:
                self._save()
            if self.step > first and not _due(self.step, self.config.watch.validate_every) and not asked:
                self._validate(validation, watch)
            adapter = self._export(watch.losses)
        finally:
            watch.close()
        return Outcome(self.step, self.config.optim.steps, watch.losses, asked, adapter)

    def _one(self, batches: Iterator[dict[str, Any]], watch: Watch, ends: Ends) -> Verdict:
        """One step."""
        rate = learning_rate(self.config.optim, self.step)
        for group in self.raw.param_groups:
            group["lr"] = rate
        begun = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - begun
        verdict, norm = self._passes(batch, ends)
        watch.step(self.step, verdict.means, norm, rate, waited)
        return verdict

    def _passes(self, batch: dict[str, Any], ends: Ends) -> tuple[Verdict, float]:
        """Forward and backward of this process' rows, pass by pass, and the optimiser's step."""
        keys = batch.pop(KEYS)
        rows = self._identity_rows()
        parts: list[Mapping[str, Tensor]] = []
        for number in range(self.passes):
            first, last = number * self.micro, (number + 1) * self.micro
            device = on_device({name: value[first:last] for name, value in batch.items()}, self.accelerator.device)
            own = rows[(rows >= self._first + first) & (rows < self._first + last)] - self._first - first
            # Gradients are averaged over all passes of all processes, so that a part counts as the mean of the whole.
            share = len(own) * self.accelerator.num_processes * self.passes / max(1, len(rows))
            with self.accelerator.accumulate(self.wrapped):
                with self.accelerator.autocast():
                    losses = total_loss(
                        *(self.wrapped, self.setup.frozen, self.setup.base.schedule, self.config.objective),
                        device,
                        own.to(self.accelerator.device),
                        share,
                    )
                self.accelerator.backward(losses["loss"])
                parts.append({name: value.detach() for name, value in losses.items()})
                if number + 1 < self.passes:
                    self.optimizer.step()  # accelerate leaves it out until the last pass
                    self.optimizer.zero_grad()
                    continue
                norm = float(self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.optim.clip) or 0.0)
                verdict = judge(parts, *ends(), self.accelerator.gather)
                self._check_finite(verdict, norm, batch, keys)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.state is not None:
            self.state.step = self.step
            self.state.ema.update(self.setup.nets, self.step)
        return verdict, norm

    @property
    def _first(self) -> int:
        """Number of this process' first row in the batch."""
        rank: int = self.accelerator.process_index
        return rank * self.micro * self.passes

    def _identity_rows(self) -> Tensor:
        settings, batch = self.config.objective, self.config.optim.batch_size
        return plan(settings, self.config.seed, self.step, batch, len(self.setup.base.schedule)).identity

    def _check_finite(self, verdict: Verdict, norm: float, batch: Mapping[str, Tensor], keys: list[Any]) -> None:
        finite = norm == norm and abs(norm) != float("inf")
        scaled = self.accelerator.scaler is not None
        self.overflows = 0 if finite else self.overflows + 1
        if not verdict.broken and (finite or (scaled and self.overflows < OVERFLOWS)):
            return
        about = {**verdict.means, "gradient_norm": norm, "keys": keys, "settings": self.config.model_dump(mode="json")}
        place = save_batch(self.config.output, self.step, self.accelerator.process_index, batch, about)
        latest = self.checkpoints.latest()
        raise FaceSnapError(
            f"the loss became {verdict.means['loss']:.4g} (gradient norm {norm:.4g}) at step {self.step}: the batch is"
            f" in {place}; lower optim.learning_rate and go on from {latest.name if latest else 'the start'}"
        )

    def _validate(self, validation: Validation | None, watch: Watch) -> None:
        """By the main process, with the averaged weights; the others wait."""
        if validation is not None:
            with self._averaged():
                figures, pictures = validation.run(self.setup.nets)
            watch.validated(self.step, figures, pictures, validation.judges)
        self.accelerator.wait_for_everyone()
        watch.pause()

    def _averaged(self) -> AbstractContextManager[None]:
        return _Averaged(self.state) if self.state is not None else nullcontext()

    def _save(self) -> None:
        if self.spread:
            self._save_spread()
        elif self.accelerator.is_main_process:
            about: dict[str, Any] = {"fixed": self.fixed}
            if self.accelerator.scaler is not None:
                about["scaler"] = self.accelerator.scaler.state_dict()
            self.checkpoints.save(self.step, about, self._write)
        self.accelerator.wait_for_everyone()

    def _write(self, folder: Path) -> None:
        assert self.state is not None
        self.state.save(folder / STATE)
        save_random(folder)

    def _save_spread(self) -> None:
        """A model that is spread over cards is written by accelerate, by all processes together, in its own files."""
        folder = self.config.output / SHARDED / f"step-{self.step:08d}"
        self.accelerator.save_state(str(folder))
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.step, {"fixed": self.fixed, SHARDED: str(folder)}, lambda _: None)

    def _resume(self) -> None:
        latest = self.checkpoints.latest() if self.config.resume else None
        if latest is None:
            return
        about = read_run(latest, self.fixed)
        if self.spread:
            self.accelerator.load_state(about[SHARDED])
        else:
            assert self.state is not None
            self.state.load(latest / STATE)
            load_random(latest)
        if self.accelerator.scaler is not None and "scaler" in about:
            self.accelerator.scaler.load_state_dict(about["scaler"])
        self.step = int(about["step"])
        if self.accelerator.is_main_process:
            self.say(f"resumed at step {self.step} of {self.config.optim.steps}")

    def _export(self, losses: Mapping[str, float]) -> Path | None:
        """The adapter, as :meth:`facesnap.FaceSnap.from_pretrained` reads it, and how it came about."""
        gathered = self.accelerator.get_state_dict(self.wrapped) if self.spread else None
        if not self.accelerator.is_main_process:
            return None
        folder, info = self.config.output / ADAPTER, self.setup.info
        manifest = AdapterConfig.for_unet(self.setup.base.unet, info.encoders, self.config.nets.defaults)
        kind = getattr(torch, self.config.nets.export)
        nets = self.setup.nets
        if gathered is not None:
            nets = self.setup.empty_nets(gathered)
        with self._averaged():
            save_adapter(folder, nets.ffrnet, nets.mixer, manifest, dtype=kind)
        write_json(folder / "training.json", self._told(info, losses))
        return folder

    def _told(self, info: DatasetInfo, losses: Mapping[str, float]) -> dict[str, Any]:
        return {
            "step": self.step,
            "losses": {name: round(value, 5) for name, value in losses.items()},
            "settings": self.config.model_dump(mode="json"),
            "base": {"name": self.setup.base.name, "stamp": self.setup.base.stamp},
            "data": {"people": info.splits["train"].people, "photos": info.splits["train"].photos}
            | {"licences": dict(info.licences)},
            "processes": self.accelerator.num_processes,
            "machine": machine(str(self.accelerator.device)),
            "date": today(),
        }

    def _check(self) -> None:
        config = self.config.optim
        if self.spread and (config.ema_decay or config.optimizer == "muon"):
            raise UsageError(
                "with FSDP or DeepSpeed no process holds whole weights: set optim.ema_decay=0 and optim.optimizer=adamw"
            )


class _Averaged:
    """The averaged weights in the networks' place, inside the block."""

    def __init__(self, state: TrainState) -> None:
        self.state = state

    def __enter__(self) -> None:
        self.kept = {name: value.detach().clone() for name, value in self.state.modules.state_dict().items()}
        self.state.ema.load_into(self.state.modules)

    def __exit__(self, *_: object) -> None:
        self.state.modules.load_state_dict(self.kept)


def micro_batch(config: OptimConfig, processes: int) -> int:
    """Rows of one pass on one process. UsageError unless the batch can be dealt out evenly."""
    each, left = divmod(config.batch_size, processes)
    micro = config.micro_batch_size or each
    if left or each % min(micro, each):
        raise UsageError(
            f"optim.batch_size={config.batch_size} can't be dealt to {processes} processes in passes of {micro}"
        )
    return min(micro, each)


def _optimizer(config: OptimConfig, nets: FaceNets) -> Any:
    groups = parameter_groups(nets, config.weight_decay, config.optimizer == "muon")
    settings: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas}
    if config.optimizer == "adamw8bit":
        kind = require("bitsandbytes", "train").optim.AdamW8bit
        return kind([{k: v for k, v in group.items() if k != "muon"} for group in groups], **settings)
    return Muon(groups, **settings)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
