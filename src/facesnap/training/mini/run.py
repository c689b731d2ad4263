"""The stages of mini in order, each resumable, each reading what the earlier ones exported."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch

from facesnap.core.errors import UsageError
from facesnap.core.machine import choose_device, machine, today
from facesnap.core.weights import write_json
from facesnap.landmarks.morphable import MORPHABLE_NAME, write_morphable
from facesnap.training.config import MiniConfig, StageConfig, WorldConfig, mini_config
from facesnap.training.loop import Report, Stage, train
from facesnap.training.mini.adapter import AdapterStage
from facesnap.training.mini.attributes import AttributeStage
from facesnap.training.mini.card import TRAINING_NAME, write_card
from facesnap.training.mini.clip import ClipStage
from facesnap.training.mini.data import Split
from facesnap.training.mini.decoder import DecoderStage
from facesnap.training.mini.face import FaceStage
from facesnap.training.mini.landmarks import LandmarkStage
from facesnap.training.mini.looks import LooksStage
from facesnap.training.mini.unet import UnetStage
from facesnap.training.mini.vae import VaeStage
from facesnap.world.datasets.shards import render_split
from facesnap.world.facekit.head import find_head_file


@dataclass(frozen=True)
class World:
    """The splits of one set of renders; what is missing of one is rendered when it is first asked for."""

    folder: Path
    config: WorldConfig

    @cached_property
    def learnt(self) -> tuple[Split, Split]:
        """People that condition and train the model, and people that nothing is trained on, for the model card."""
        return self._split("train", self.config.train_people), self._unseen

    @cached_property
    def judged(self) -> tuple[Split, Split]:
        """People that only the judges are trained on, and those that nothing is trained on."""
        return self._split("judge", self.config.judge_people), self._unseen

    @cached_property
    def _unseen(self) -> Split:
        return self._split("val", self.config.val_people)

    def _split(self, name: str, people: int) -> Split:
        c, workers = self.config, os.cpu_count() or 1
        return Split.read(
            render_split(self.folder, name, people, c.images_per_person, workers, c.seed, c.preset, c.size)
        )


@dataclass(frozen=True)
class Run:
    """One training run: where it lives, how it is set, what it reads."""

    folder: Path
    config: MiniConfig
    device: torch.device

    @property
    def weights(self) -> Path:
        """Where the product finds the result (``FACESNAP_MINI``)."""
        return self.folder / "mini"

    @cached_property
    def world(self) -> World:
        """What mini learns to draw."""
        return World(self.folder / "world", self.config.world)

    @cached_property
    def encoder_world(self) -> World:
        """What its VAE, its encoders and the judges learn to read."""
        config = self.config.encoder_world
        return self.world if config == self.config.world else World(self.folder / "encoder_world", config)

    @property
    def both_worlds(self) -> tuple[Split, Split]:
        """Everybody, for whoever has to know as many people as there are: E_f, E_3d, the reader of looks.

        Not kept: it holds the pictures a second time.
        """
        train, unseen = self.encoder_world.learnt
        return (train if self.encoder_world is self.world else train.joined(self.world.learnt[0])), unseen


def _landmarks(run: Run) -> Stage:
    morphable = write_morphable(find_head_file(), run.weights / "landmarks" / MORPHABLE_NAME)
    return LandmarkStage(run.config.landmarks, *run.both_worlds, morphable, run.weights, run.device)


def _face(run: Run) -> Stage:
    return FaceStage(run.config.face, *run.both_worlds, run.weights, run.device, "face_encoder")


def _judge_face(run: Run) -> Stage:
    return FaceStage(run.config.judge_face, *run.encoder_world.judged, run.weights, run.device, "judge_face")


#: Name -> how the stage is made. Order matters: later ones read what earlier ones exported.
STAGES: Final[dict[str, Callable[[Run], Stage]]] = {
    "vae": lambda r: VaeStage(r.config.vae, *r.encoder_world.learnt, r.weights, r.device),
    "clip": lambda r: ClipStage(r.config.clip, *r.encoder_world.learnt, r.weights, r.device, judge=False),
    "face": _face,
    "landmarks": _landmarks,
    "looks": lambda r: LooksStage(r.config.looks, *r.both_worlds, r.weights, r.device),
    "decoder": lambda r: DecoderStage(r.config.decoder, *r.encoder_world.learnt, r.weights, r.device),
    "unet": lambda r: UnetStage(r.config.unet, *r.world.learnt, r.weights, r.device),
    "adapter": lambda r: AdapterStage(r.config.adapter, *r.world.learnt, r.weights, r.device, r.config.seed),
    "judge_face": _judge_face,
    "judge_clip": lambda r: ClipStage(r.config.judge_clip, *r.encoder_world.judged, r.weights, r.device, judge=True),
    "judge_attributes": lambda r: AttributeStage(
        r.config.judge_attributes, *r.encoder_world.judged, r.weights, r.device
    ),
}


def train_mini(
    output: str | Path,
    stages: Sequence[str] | None = None,
    preset: str = "cpu",
    minutes: float | None = None,
    device: str = "auto",
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Report]:
    """Train stages, rendering first what they need; each goes on where it stopped.

    Args:
        output: folder for renders (``world/``, ``encoder_world/``), states (``state/``) and weights (``mini/``).
        stages: names out of :data:`STAGES`; None for all.
        preset: ``cpu`` or ``gpu``.
        minutes: budget of each stage in this call; None until its steps are done.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: of everything random.
        overrides: dotted settings, e.g. ``{"unet.steps": 20000}``.
        say: takes one line of progress at a time.

    Raises:
        UsageError: unknown stage, preset, setting or device.
        KeyboardInterrupt: SIGTERM or Ctrl-C, once the stage's state, weights and record are written.
    """
    unknown = set(stages or ()) - set(STAGES)
    if unknown:
        raise UsageError(f"unknown stage {sorted(unknown)[0]!r}: use {', '.join(STAGES)}")
    config = mini_config(preset, {**(overrides or {}), "seed": seed})
    run = Run(Path(output), config, choose_device(device, mps=False))
    reports = {}
    for name in STAGES:
        if stages and name not in stages:
            continue
        stage_config = getattr(config, name)
        if stage_config.steps == 0:
            say(f"{name}: left out, since it has 0 steps")
            continue
        if done := finished(run, name, stage_config):
            say(f"{name}: all {done} steps were done before")
            continue
        torch.manual_seed(seed)
        report = train(
            *(name, STAGES[name](run), stage_config, run.folder / "state"),
            seed=seed,
            minutes=minutes,
            device=run.device,
            say=say,
        )
        reports[name] = report
        record(run, preset, report)
        say(f"{name}: {report.step} of {report.steps} steps in {report.seconds / 60:.1f} min; {report.figures}")
        if report.stopped:  # not before the record, which must describe the weights just exported
            raise KeyboardInterrupt
    return reports


def finished(run: Run, name: str, config: StageConfig) -> int:
    """How many steps a stage took if it has done all that its settings ask for, else 0."""
    path = run.weights / TRAINING_NAME
    stages = json.loads(path.read_text())["stages"] if path.exists() else {}
    step = int(stages.get(name, {}).get("step", 0))
    return step if step >= config.steps else 0


def record(run: Run, preset: str, report: Report) -> None:
    """Keep the stage's report and settings beside the weights and write the model card anew.

    The stage's ``note`` stays, and where no step was run, so do the losses and the speed of the piece before.
    """
    path = run.weights / TRAINING_NAME
    content = json.loads(path.read_text()) if path.exists() else {"stages": {}}
    config = run.config.model_dump(mode="json")
    worlds = {name: config[name] for name in ("world", "encoder_world")}
    content |= {"preset": preset, "seed": run.config.seed, **worlds}
    about = {"machine": machine(str(run.device)), "date": today(), "config": config[report.stage]}
    before, kept = content["stages"].get(report.stage, {}), ["note"]
    if not report.losses:
        kept += ["losses", "samples_per_second"]
    earlier = {name: before[name] for name in kept if name in before}
    content["stages"][report.stage] = {**report.as_dict(), **about, **earlier}
    write_json(path, content)
    write_card(run.weights, content)
