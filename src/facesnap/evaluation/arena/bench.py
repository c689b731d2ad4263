"""What the arena runs on: a run of mini with its frozen parts, its base alone, trained contestants, and judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesnap.core.errors import AdapterError, UsageError
from facesnap.core.machine import choose_device
from facesnap.core.weights import CONFIG_NAME, MODEL_NAME, read_config, sha256_12
from facesnap.evaluation.arena.contestant import Contestant
from facesnap.evaluation.arena.summary import TRAINED
from facesnap.evaluation.arena.training import CONDITIONING, column_of, parts_of
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.evaluation.bench import JUDGES, stock_pipeline
from facesnap.evaluation.judges import ClipJudge, FaceJudge, check_independent
from facesnap.evaluation.observe import Observer
from facesnap.faces.attributes import AttributeJudge
from facesnap.pipelines.analyser import Analyser
from facesnap.pipelines.call.prompts import fits
from facesnap.training.mini.adapter import DEFAULTS


@dataclass(frozen=True)
class Arena:
    """Everything loaded, once.

    ``weights``: contestant -> ``name@hash``; ``judges``, ``parts``: what measures and what conditions, likewise;
    ``size``: side of a portrait in pixels.
    """

    analyser: Analyser
    observer: Observer
    pipeline: Any
    contestants: Sequence[Contestant]
    weights: Mapping[str, str]
    judges: Mapping[str, str]
    parts: Mapping[str, str]
    device: str
    size: int
    default_steps: int = int(DEFAULTS["num_inference_steps"])
    default_guidance: float = float(DEFAULTS["guidance_scale"])

    def fits(self, prompt: str) -> bool:
        """Whether the base's text encoder and the judge's both take the whole prompt."""
        return fits(self.pipeline, prompt) and self.observer.clip_judge.fits(prompt)


def assemble(run: Path, names: Sequence[str], device: str = "auto") -> Arena:
    """Load what ``run`` holds, and the contestants of these columns (all that were trained, if there are none), each
    of all its training seeds.

    Raises:
        AdapterError: nothing was trained there, or parts are missing.
        UsageError: nothing of that name was trained, no such device, or a judge that is a conditioning network.
    """
    device, mini = str(choose_device(device, mps=False)), run / "mini"
    there = trainings(run)
    if not there:
        raise AdapterError(f"no contestant is trained in {run}: begin with `facesnap arena train {run}`")
    if missing := [name for name in names if name not in there]:
        raise UsageError(f"{missing[0]!r} isn't trained in {run}: use one of {'; '.join(there)}")
    found = {column: folder for column, folder in there.items() if not names or column.split(TRAINED)[0] in names}
    analyser = Analyser.from_pretrained(mini, device)
    pipeline = stock_pipeline(mini / "base", device)
    appearance, parts = analyser.appearance_encoder, parts_of(mini)
    contestants = [Contestant.load(folder, mini, pipeline, appearance, name) for name, folder in found.items()]
    likeness, prompt, attributes = (mini / judge for judge in JUDGES)
    judges = FaceJudge.from_pretrained(likeness, device), ClipJudge.from_pretrained(prompt, device)
    reader = AttributeJudge.from_pretrained(attributes, device) if attributes.is_dir() else None
    conditioning = [mini / part for part in CONDITIONING]
    signatures = {judge: f"{judge}@{sha256_12(mini / judge)}" for judge in JUDGES if (mini / judge).is_dir()}
    for judge, signature in signatures.items():
        check_independent(signature, mini / judge, analyser.encoders, conditioning)
    return Arena(
        analyser,
        Observer(analyser.detector, analyser.fitter, *judges, reader),
        pipeline,
        contestants,
        weights={name: f"{folder.name}@{sha256_12(folder / MODEL_NAME)}" for name, folder in found.items()},
        judges=signatures,
        parts=parts,
        device=device,
        size=int(pipeline.unet.config["sample_size"]) * int(pipeline.vae_scale_factor),
    )


def trainings(run: Path) -> dict[str, Path]:
    """Column -> folder of all that was trained in a run.

    Several seeds of one training are ``NAME``, ``NAME~1``, ``NAME~2`` ..., in their order.
    """
    seeds: dict[str, dict[int, Path]] = {}
    for folder in (run / "arena").glob("*/"):
        if (folder / CONFIG_NAME).is_file():
            config = read_config(folder)
            seeds.setdefault(column_of(config["name"], config["label"]), {})[config["seed"]] = folder
    found = {}
    for column, several in sorted(seeds.items(), key=lambda each: _order(each[0])):
        for place, seed in enumerate(sorted(several)):
            found[f"{column}{TRAINED}{place}" if place else column] = several[seed]
    return found


def _order(column: str) -> tuple[int, str]:
    """FaceSnap, rivals, ablations, as they are listed; those with other settings behind their own kind."""
    listed = [place for place, name in enumerate(CONTESTANTS) if column == name]
    return (listed[0] if listed else len(CONTESTANTS)), column
