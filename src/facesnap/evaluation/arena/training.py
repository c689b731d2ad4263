"""Training of a contestant: the same pairs, order, steps, noise and optimiser for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from facesnap.core.errors import UsageError
from facesnap.core.machine import choose_device
from facesnap.core.weights import CONFIG_NAME, read_config, read_json, save_module, sha256_12, write_json
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.evaluation.baselines.rival import CLASS_WORD, Parts, References, Rival, Texts, Training
from facesnap.faces.align import arcface_matrix
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.layout import five_points
from facesnap.training.adapter.objective import identity_rows, losses_of
from facesnap.training.batches import Batch
from facesnap.training.config import AdapterConfig, WorldConfig, checked, mini_config
from facesnap.training.loop import Report, train
from facesnap.training.mini.card import TRAINING_NAME
from facesnap.training.mini.data import Split
from facesnap.training.mini.paired import Denoise, PairStage
from facesnap.training.mini.pairs import Pairs
from facesnap.training.mini.run import Run

#: Folders below a run's weights that condition or train what is measured.
CONDITIONING: Final = ("face_encoder", "image_encoder", "landmarks", "base/text_encoder", "base/unet", "base/vae")
#: What a training was begun with.
STAMP_NAME: Final = "training.json"
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
        folder: Path,
        about: Mapping[str, Any],
    ) -> None:
        super().__init__(config, train, check, out, device, seed=0)  # all trainings see the same views of references
        self.draw_map, self.predicts_shape = kind.draw_map, kind.predicts_shape
        self.folder, self.about = folder, about
        self.face_dim = self.pairs.features.f_id.shape[-1]
        self.factor = train.world.images.shape[1] // self.pairs.latents.shape[-1]
        self.rival = kind(Parts(self.unet, self.appearance, self.face_dim, config, self.factor))
        self.modules = nn.ModuleDict({"rival": self.rival})  # and with it all that it put into the UNet
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

        def aligned(pictures: Tensor, places: Tensor) -> Tensor:
            return self._aligned(pictures, batch["points"][places])

        own = self.rival.own_losses(Training(self.frozen, self.schedule, batch, seen, texts, tokens, aligned))
        return {**losses, **own, "loss": losses["loss"] + sum(own.values(), torch.zeros(()).to(noisy.device))}

    @torch.no_grad()
    def _aligned(self, pictures: Tensor, points: Tensor) -> Tensor:
        """Matrices (R, 2, 3) that cut out the faces of pictures (R, 3, H, W), as E_3d finds them near ``points``."""
        seen = (pictures.float().permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
        faces = self.fitter.fit_all(seen, [landmark_box(each) for each in points.cpu().numpy()])
        matrices = arcface_matrix(np.stack([five_points(face.landmarks2d) for face in faces]))
        return torch.from_numpy(matrices.astype(np.float32)).to(pictures.device)

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
        config = {"name": self.rival.name, "face_dim": self.face_dim, "factor": self.factor, **self.about}
        save_module(self.folder, self.rival, {**config, "step": int(about["step"])}, about)
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
    label: str = "",
    minutes: float | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Report | None:
    """Train a contestant by its name on a run of mini; resumes. None where it was finished before.

    ``label``: tells it from another training of the same contestant with other settings; its column is then
    :func:`column_of` both. ``folder``: for its weights and state; None: the run's own, :func:`folder_of`.

    Raises:
        UsageError: no contestant of that name, no such setting, or what lies there was trained otherwise.
    """
    if name not in CONTESTANTS:
        raise UsageError(f"unknown method {name!r}: use one of {', '.join(CONTESTANTS)}")
    kind, folder = CONTESTANTS[name], folder or folder_of(run.folder, column_of(name, label), seed)
    config = config_of(run, kind, steps, settings or {})
    about = {"settings": config.model_dump(mode="json"), "label": label, "seed": seed, "parts": parts_of(run.weights)}
    if _finished(folder, about, steps):
        return None
    write_json(folder / STAMP_NAME, about)
    torch.manual_seed(seed)
    stage = ContestantStage(kind, config, *run.world.learnt, run.weights, run.device, folder, about)
    state = folder / "state"
    return train("contestant", stage, config, state, seed=seed, minutes=minutes, device=run.device, say=say)


def config_of(run: Run, kind: type[Rival], steps: int, settings: Mapping[str, object]) -> AdapterConfig:
    """A contestant's settings: the run's own of the adapter, what is asked for, and what makes the contestant."""
    changes = {"steps": steps, "batch_size": BATCH, **settings, **kind.settings}
    return checked(AdapterConfig, {**run.config.adapter.model_dump(), **changes})


def parts_of(mini: Path) -> dict[str, str]:
    """Whatever of a run's weights takes part in a contestant's training or portraits: name -> hash."""
    return {part: sha256_12(mini / part) for part in CONDITIONING}


def _finished(folder: Path, about: Mapping[str, Any], steps: int) -> bool:
    """Whether all steps were done; UsageError where something was begun with other settings or parts."""
    if not (folder / STAMP_NAME).is_file():
        return False
    before = read_json(folder / STAMP_NAME)
    if before != about:
        changed = [key for key in about if before.get(key) != about[key]]
        raise UsageError(f"{folder} was trained with other {' and '.join(changed)}: remove it to begin anew")
    there = read_config(folder)["step"] if (folder / CONFIG_NAME).is_file() else 0
    return int(there) >= steps


def column_of(name: str, label: str) -> str:
    """What a training is called in tables: the contestant's name, and what tells it from others of that name."""
    return f"{name}, {label}" if label else name


def folder_of(run: Path, column: str, seed: int) -> Path:
    """Where the weights of a training lie."""
    plain = "".join(letter if letter.isalnum() or letter in "=." else "-" for letter in column)
    return run / "arena" / f"{plain}-{seed}"
