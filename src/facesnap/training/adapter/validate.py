"""``facesnap train --validate``: everything that can be known before any hour of a card is spent."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from facesnap.core.errors import AdapterError, FaceSnapError, InputError, UsageError, one_line
from facesnap.core.lazy import require
from facesnap.data.layout import DatasetInfo, read_dataset, shards
from facesnap.training.adapter.base import Base, find_base, read_base
from facesnap.training.adapter.checkpoints import Checkpoints, read_run
from facesnap.training.adapter.config import TrainConfig
from facesnap.training.adapter.estimate import estimate
from facesnap.training.adapter.judges import ClipJudge, FaceJudge
from facesnap.training.adapter.loop import micro_batch
from facesnap.training.adapter.nets import Features, check_start, face_encoder, features_of, find_start, morphable

_CPU = torch.device("cpu")


@dataclass
class Findings:
    """What was found: ``lines`` to read, and what would stop a run."""

    lines: list[str] = field(default_factory=list)
    problems: list[FaceSnapError] = field(default_factory=list)

    def look(self, at: Callable[[], str | list[str]]) -> None:
        """Note what one check says, or why it fails."""
        try:
            said = at()
            self.lines += said if isinstance(said, list) else [said]
        except FaceSnapError as error:
            self.problems.append(error)


def validate(config: TrainConfig, processes: int = 1) -> Findings:
    """Check a run's settings, data, base, encoders and judges, and estimate what it takes; nothing is written.

    Args:
        config: the settings.
        processes: that will train.
    """
    found = Findings()
    info, base, features = _data(config, found), _base(config, found), None
    if info is not None:
        features = _features(config, found)
    found.look(lambda: _dealt(config, processes))
    found.look(lambda: _optional(config))
    if info is not None:
        known: DatasetInfo = info
        found.look(lambda: _encoders(config, known))
        found.look(lambda: _judges(config, known))
    if base is not None:
        asked: Base = base
        found.look(lambda: _start(config, asked))
        if info is not None:
            side = info.size
            found.look(lambda: _sizes(asked, side))
    found.look(lambda: _output(config))
    if base is not None and info is not None and features is not None and not found.problems:
        known_base, known_features, size = base, features, info.size
        found.look(lambda: estimate(config, known_base, known_features, size, processes).lines(config.optim.steps))
        found.look(lambda: _disk(config, known_base, known, size))
    return found


def _data(config: TrainConfig, found: Findings) -> DatasetInfo | None:
    try:
        info = read_dataset(config.data.folder)
        train, val = info.splits["train"], info.splits["val"]
        there = len(shards(config.data.folder, "train")) + len(shards(config.data.folder, "val"))
        if not train.photos:
            raise InputError(f"{config.data.folder} has nobody in its split train")
    except FaceSnapError as error:
        found.problems.append(error)
        return None
    licences = ", ".join(f"{name or 'not said'} ({count})" for name, count in sorted(info.licences.items()))
    found.lines.append(
        f"data: {train.photos} photos of {train.people} people to train on, {val.photos} of {val.people} to validate,"
        f" {info.size} px, {there} shards; licences: {licences or 'not said'}"
    )
    return info


def _features(config: TrainConfig, found: Findings) -> Features | None:
    try:
        return features_of(config.data.folder)
    except FaceSnapError as error:
        found.problems.append(error)
        return None


def _base(config: TrainConfig, found: Findings) -> Base | None:
    try:
        base = read_base(config.base, find_base(config.base, fetch=False))
    except FaceSnapError as error:
        found.problems.append(error)
        return None
    zero = ", its last step noise alone" if float(base.schedule.alpha[-1]) == 0 else ""
    found.lines.append(f"base: {base.name}, family {base.family}, predicts {base.schedule.prediction}{zero}")
    found.look(lambda: f"latents and text states of stamp {base.stamp}")
    return base


def _encoders(config: TrainConfig, info: DatasetInfo) -> list[str]:
    face = face_encoder(config.objective, info, _CPU)
    morphable(config.objective, info)
    names = ", ".join(f"{part} {name}" for part, name in sorted(info.encoders.items()))
    how = f"L_id by {face.identifier}, weight {config.objective.lambda_id}" if face else "no L_id"
    return [f"features: {names}", how]


def _judges(config: TrainConfig, info: DatasetInfo) -> str:
    if not config.watch.validate_every:
        return "no validation"
    if not info.splits["val"].photos:
        return "no validation: the data has nobody in its split val"
    face, clip = FaceJudge(config.watch.judge_face, info, _CPU), ClipJudge(config.watch.judge_clip, _CPU)
    return f"validation every {config.watch.validate_every} steps, judged by {face.name} and {clip.name}"


def _start(config: TrainConfig, base: Base) -> str:
    if config.nets.start is None:
        return "begins with a copy of the base's encoder"
    return f"begins with {check_start(find_start(config.nets.start), base)}"


def _sizes(base: Base, size: int) -> str:
    step = base.factor * 2 ** (len(base.unet["block_out_channels"]) - 1)
    if size % step:
        raise UsageError(f"pictures of {size} px don't fit {base.name}: prepare them at a multiple of {step}")
    usual = base.unet.get("sample_size")
    told = f"{size} px pictures, {size // base.factor} px latents"
    if isinstance(usual, int) and usual != size // base.factor:
        told += f" (this base was trained at {usual * base.factor} px)"
    return told


def _dealt(config: TrainConfig, processes: int) -> str:
    micro = micro_batch(config.optim, processes)
    if config.data.lanes % processes:
        raise UsageError(f"data.lanes={config.data.lanes} must be a multiple of the {processes} processes")
    passes = config.optim.batch_size // (processes * micro)
    return (
        f"{config.optim.steps} steps of {config.optim.batch_size}: {processes} process(es), {passes} pass(es) of"
        f" {micro}, {config.compute.precision}, {config.optim.optimizer} at {config.optim.learning_rate:g}"
    )


def _optional(config: TrainConfig) -> list[str]:
    wanted = {
        "bitsandbytes": config.optim.optimizer == "adamw8bit",
        "wandb": config.watch.wandb is not None,
        "tensorboard": config.watch.tensorboard,
    }
    for module, needed in wanted.items():
        if needed:
            require(module, "train")
    return []


def _output(config: TrainConfig) -> str:
    folder = config.output
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UsageError(f"output={folder} can't be written: {one_line(error)}") from error
    latest = Checkpoints(folder / "checkpoints", 1).latest()
    if latest is None:
        return f"begins anew in {folder}"
    if not config.resume:
        return f"begins anew in {folder}, beside {latest.name} of an earlier run"
    read_run(latest, {"seed": config.seed, "optim.batch_size": config.optim.batch_size})
    return f"goes on from {latest}"


def _disk(config: TrainConfig, base: Base, info: DatasetInfo, size: int) -> str:
    """Of the precomputed shards."""
    latents = 2 * int(base.unet["out_channels"]) * (size // base.factor) ** 2
    texts = config.data.captions * 77 * int(base.unet["cross_attention_dim"])
    photos = sum(split.photos for split in info.splits.values())
    return (
        f"precomputed: {2 * (latents + texts) / 2**20:.2f} MB a photo,"
        f" {2 * (latents + texts) * photos / 2**30:.2f} GB in {config.precomputed}, at most"
    )


def first_error(found: Findings) -> FaceSnapError:
    """The first problem, as the one that ends the command; the others are counted."""
    first, *others = found.problems
    more = f" (and {len(others)} more, see above)" if others else ""
    return type(first)(f"{first}{more}") if not isinstance(first, AdapterError) else AdapterError(f"{first}{more}")


def told(path: Path, found: Findings) -> list[str]:
    """All findings as lines."""
    problems = [f"problem: {error}" for error in found.problems]
    return [f"{path}:", *(f"  {line}" for line in found.lines), *problems]
