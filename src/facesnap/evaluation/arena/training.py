"""Training of a contestant: the same pairs, order, steps, noise and optimiser for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from facesnap.core.errors import UsageError
from facesnap.core.machine import choose_device
from facesnap.core.weights import read_json, save_module, sha256_12
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.evaluation.baselines.rival import CLASS_WORD, Parts, References, Rival, Texts, Training
from facesnap.training.adapter.objective import identity_rows, losses_of
from facesnap.training.batches import Batch
from facesnap.training.config import AdapterConfig, WorldConfig, mini_config
from facesnap.training.loop import Report, train
from facesnap.training.mini.card import TRAINING_NAME
from facesnap.training.mini.data import Split
from facesnap.training.mini.paired import Denoise, PairStage
from facesnap.training.mini.pairs import Pairs
from facesnap.training.mini.run import Run

#: The budget: steps, and pictures per step.
STEPS: Final = 1500
BATCH: Final = 32


class ContestantStage(PairStage):
    """Trains one contestant on pairs; exports its weights beside the run's."""

    def __init__(
        self,
        kind: type[Rival],
        config: AdapterConfig,
        train: Split,
        check: Split,
        out: Path,
        device: torch.device,
        seed: int,
        folder: Path,
    ) -> None:
        super().__init__(config, train, check, out, device, seed)
        self.draw_map, self.folder = kind.draw_map, folder
        self.face_dim = self.pairs.features.f_id.shape[-1]
        self.factor = train.world.images.shape[1] // self.pairs.latents.shape[-1]
        self.rival = kind(Parts(self.unet, self.appearance, self.face_dim, config, self.factor))
        self.modules = nn.ModuleDict({"rival": self.rival})
        self.unet.to(device)  # with what the rival put into it
        tokenizer = CLIPTokenizer.from_pretrained(out / "base" / "tokenizer")
        self.words, self.check_words = (
            torch.tensor([word_of(prompt, tokenizer) for prompt in each.texts.prompts])
            for each in (self.pairs, self.check)
        )

    def _drawn(self, pairs: Pairs, config: AdapterConfig, targets: np.ndarray, rng: np.random.Generator) -> Batch:
        batch = super()._drawn(pairs, config, targets, rng)
        words = self.words if pairs is self.pairs else self.check_words
        return {**batch, "words": words[batch["texts"]]}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_diff, L_id if its settings ask for it, and losses of its own."""
        seen, texts = _seen(batch, batch["drop"]), Texts(batch["encoder_hidden_states"], batch["words"])
        tokens, timesteps = self.rival.tokens(seen), batch["timesteps"]
        noisy = self.schedule.add_noise(batch["clean"], batch["noise"], timesteps)
        predicted = self.rival.predict(self.unet, noisy, timesteps, texts, tokens, batch["maps"])
        rows = identity_rows(timesteps, batch["drop"], len(self.schedule), self.config)
        losses = losses_of(predicted, noisy, self.frozen, self.schedule, self.config, batch, rows)
        own = self.rival.own_losses(Training(self.frozen, self.schedule, batch, seen, texts, tokens))
        return {**losses, **own, "loss": losses["loss"] + sum(own.values(), torch.zeros(()).to(noisy.device))}

    def denoiser(self, batch: Batch) -> Denoise:
        """The base with the contestant."""
        tokens = self.rival.tokens(_seen(batch, torch.zeros_like(batch["drop"])))
        texts = Texts(batch["encoder_hidden_states"], batch["words"])

        def denoise(noisy: Tensor, timesteps: Tensor) -> Tensor:
            return self.rival.predict(self.unet, noisy, timesteps, texts, tokens, batch["maps"])

        return denoise

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write its weights with what they were trained against; losses and portraits of unseen people."""
        config = {
            "name": self.rival.name,
            "face_dim": self.face_dim,
            "factor": self.factor,
            "settings": self.config.model_dump(mode="json"),
            "base": f"unet@{sha256_12(self.out / 'base' / 'unet')}",
            "encoders": {"face": self.face.identifier, "appearance": self.appearance.identifier},
        }
        save_module(self.folder, self.rival, config, about)
        count = sum(parameter.numel() for parameter in self.rival.parameters())
        return {"parameters": float(count), **self.figures()}


def _seen(batch: Batch, nobody: Tensor) -> References:
    return References(batch["f_id"], batch["f_clip"], nobody)


def word_of(prompt: str, tokenizer: CLIPTokenizer) -> int:
    """Place of the last token of :data:`CLASS_WORD` in a prompt, start of text included; -1 if it isn't there."""
    encoded = tokenizer(prompt, return_offsets_mapping=True, truncation=True)
    at = prompt.lower().find(CLASS_WORD)
    ends = [end for _, end in encoded["offset_mapping"]]
    return ends.index(at + len(CLASS_WORD)) if at >= 0 and at + len(CLASS_WORD) in ends else -1


def run_of(folder: Path, preset: str, device: str) -> Run:
    """A run of mini, with the worlds that it was trained on.

    Raises:
        AdapterError: nothing was trained there. UsageError: no such preset or device.
    """
    config, training = mini_config(preset), read_json(folder / "mini" / TRAINING_NAME)
    worlds = {name: WorldConfig.model_validate(training[name]) for name in ("world", "encoder_world")}
    return Run(folder, config.model_copy(update=worlds), choose_device(device, mps=False))


def train_contestant(
    run: Run,
    name: str,
    *,
    steps: int = STEPS,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    minutes: float | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Train a contestant by its name on a run of mini; resumes, and does nothing where it is finished.

    ``folder``: for its weights and state; None: the run's own, :func:`folder_of`.

    Raises:
        UsageError: no contestant of that name, or a setting that there isn't.
    """
    if name not in CONTESTANTS:
        raise UsageError(f"unknown method {name!r}: use one of {', '.join(CONTESTANTS)}")
    kind = CONTESTANTS[name]
    changes = {"steps": steps, "batch_size": BATCH, **kind.settings, **(settings or {})}
    config = AdapterConfig.model_validate({**run.config.adapter.model_dump(), **changes})
    folder = folder or folder_of(run.folder, name, seed)
    torch.manual_seed(seed)
    stage = ContestantStage(kind, config, *run.world.learnt, run.weights, run.device, seed, folder)
    state = folder / "state"
    return train("contestant", stage, config, state, seed=seed, minutes=minutes, device=run.device, say=say)


def folder_of(run: Path, name: str, seed: int) -> Path:
    """Where a contestant's weights of a training seed lie."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in name)
    return run / "arena" / f"{plain}-{seed}"
