"""What the arena runs on: a run of mini with its frozen parts, its base alone, trained contestants, and judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesnap.core.errors import AdapterError, UsageError
from facesnap.core.machine import choose_device
from facesnap.core.weights import MODEL_NAME, sha256_12
from facesnap.evaluation.arena.contestant import Contestant
from facesnap.evaluation.arena.summary import TRAINED
from facesnap.evaluation.arena.training import CONDITIONING, folder_of, parts_of
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
    """Load what ``run`` holds, and the contestants of these names (all that were trained, if there are none), each of
    all its training seeds.

    Raises:
        AdapterError: nothing was trained there, or parts are missing.
        UsageError: an unknown contestant, no such device, or a judge that is a conditioning network.
    """
    device, mini = str(choose_device(device, mps=False)), run / "mini"
    if unknown := set(names) - set(CONTESTANTS):
        raise UsageError(f"unknown method {sorted(unknown)[0]!r}: use one of {', '.join(CONTESTANTS)}")
    analyser = Analyser.from_pretrained(mini, device)
    pipeline = stock_pipeline(mini / "base", device)
    found = {name: folder for each in names or CONTESTANTS for name, folder in trainings(run, each).items()}
    if missing := [name for name in names if name not in found]:
        raise AdapterError(f"{missing[0]} isn't trained in {run}: facesnap arena train {run} {missing[0]!r}")
    if not found:
        raise AdapterError(f"no contestant is trained in {run}: begin with `facesnap arena train {run}`")
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


def trainings(run: Path, name: str) -> dict[str, Path]:
    """Column -> folder of a contestant's trainings, by their seeds; the first seed's column bears its plain name."""
    plain = folder_of(run, name, 0).name.removesuffix("0")
    seeds = sorted(
        int(folder.name.removeprefix(plain))
        for folder in (run / "arena").glob(f"{plain}*")
        if folder.name.removeprefix(plain).isdigit() and (folder / "config.json").is_file()
    )
    columns = [name, *(f"{name}{TRAINED}{place}" for place in range(1, len(seeds)))]
    return {column: folder_of(run, name, seed) for column, seed in zip(columns, seeds, strict=False)}
