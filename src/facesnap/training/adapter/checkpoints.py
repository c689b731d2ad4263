"""Checkpoints of a run: folders that appear whole, of which the newest stay.

::

    OUTPUT/checkpoints/step-00001000/
      state.safetensors   weights, their average, the optimiser's state (:class:`facesnap.training.state.TrainState`)
      random.safetensors  states of torch's generators
      run.json            the step, what may not change when going on, the loss scale of fp16
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from facesnap.core.errors import InputError, OutputError, UsageError, one_line
from facesnap.core.weights import read_json, write_json

RUN: Final = "run.json"
STATE: Final = "state.safetensors"
RANDOM: Final = "random.safetensors"
_PREFIX: Final = "step-"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints below ``folder``, of which ``keep`` stay."""

    folder: Path
    keep: int

    def save(self, step: int, about: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
        """Let ``write`` put the state into a new folder, which gets its name once all is there.

        Raises:
            OutputError: it can't be written; the checkpoints before stay.
        """
        target = self.folder / f"{_PREFIX}{step:08d}"
        temporary = self.folder / f".{target.name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f".{_PREFIX}*"):  # of a run that was killed
                shutil.rmtree(left)
            temporary.mkdir()
            write(temporary)
            write_json(temporary / RUN, {**about, "step": step})
            for file in temporary.iterdir():
                if file.is_file():
                    _sync(file)
            if target.exists():
                shutil.rmtree(target)
            os.replace(temporary, target)
        except Exception as error:  # safetensors reports a full disk by an error that is no OSError
            shutil.rmtree(temporary, ignore_errors=True)
            raise OutputError(f"can't write the checkpoint {target}: {one_line(error)}") from error
        for old in self._all()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def latest(self) -> Path | None:
        """The newest; None if there is none."""
        found = self._all()
        return found[-1] if found else None

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob(f"{_PREFIX}*") if (path / RUN).is_file())


def read_run(checkpoint: Path, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """What :data:`RUN` says.

    Args:
        checkpoint: its folder.
        fixed: what must be as it was, or the data would come in another order.

    Raises:
        InputError: it is damaged. UsageError: something differs (named).
    """
    about = read_json(checkpoint / RUN)
    if not isinstance(about.get("step"), int):
        raise InputError(f"{checkpoint} is damaged: it doesn't say its step")
    before = about.get("fixed", {})
    plain = json.loads(json.dumps(fixed))
    for name, value in plain.items():
        if before.get(name) != value:
            raise UsageError(
                f"{checkpoint.parent.parent} holds a run with {name}={before.get(name)}, not {value}: set it back, give"
                " another output, or resume=false to begin anew"
            )
    return about


def save_random(folder: Path) -> None:
    """Write the states of torch's generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    save_file(states, folder / RANDOM)


def load_random(folder: Path) -> None:
    """Go on with the states that were written; cards that aren't here are passed over."""
    states: dict[str, Tensor] = load_file(folder / RANDOM)
    torch.set_rng_state(states["cpu"])
    for name, state in states.items():
        card = name.removeprefix("cuda.")
        if card != name and torch.cuda.is_available() and int(card) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(card))


def _sync(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())  # some file systems report a full disk only here
