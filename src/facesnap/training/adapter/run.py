"""From settings to a trained adapter, in one call per process."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from facesnap.core.weights import write_json
from facesnap.training.adapter.config import TrainConfig
from facesnap.training.adapter.loop import Outcome, Trainer
from facesnap.training.adapter.setup import prepare


def train_adapter(config: TrainConfig, minutes: float | None = None, say: Callable[[str], None] = print) -> Outcome:
    """Train, in this process alone or as one of those that ``accelerate launch`` started.

    Args:
        config: all settings.
        minutes: budget of this call; the run goes on where it stopped. 0 writes the adapter of the last checkpoint.
        say: takes one line of progress at a time.

    Raises:
        FaceSnapError: something can't be used (says what), or the loss isn't finite any more.
    """
    accelerator = Accelerator(mixed_precision=config.compute.precision, cpu=config.compute.device == "cpu")
    set_seed(config.seed)

    def tell(line: str) -> None:
        if accelerator.is_main_process:
            say(line)

    try:
        setup = prepare(config, accelerator, tell)
        if accelerator.is_main_process:
            write_json(config.output / "settings.json", config.model_dump(mode="json"))
        outcome = Trainer(config, accelerator, setup, tell).run(minutes)
        accelerator.wait_for_everyone()
    finally:
        accelerator.free_memory()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            accelerator.end_training()
        AcceleratorState._reset_state(reset_partial_state=True)  # so that another run may have another precision
    return outcome
