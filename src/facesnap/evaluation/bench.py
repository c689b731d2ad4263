"""What an evaluation runs on: the model under test, the base beside it, and those who measure."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline

from facesnap import __version__
from facesnap.core.machine import choose_device
from facesnap.core.quiet import quiet
from facesnap.core.weights import WEIGHTS, mini_folder, sha256_12
from facesnap.evaluation.judges import ClipJudge, FaceJudge, check_independent
from facesnap.evaluation.methods import BaseMethod, FaceSnapMethod, Method
from facesnap.evaluation.observe import Observer
from facesnap.faces.attributes import AttributeJudge
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.pipelines.call.prompts import fits
from facesnap.pipelines.facade import DEFAULTS, FaceSnap

JUDGES = ("judge_face", "judge_clip", "judge_attributes")


@dataclass(frozen=True)
class Bench:
    """Everything loaded, once.

    ``encoders``: what the adapter records it was made with; ``weights`` and ``judges``: name -> ``name@hash``;
    ``size``: side of the model's own pictures in pixels.
    """

    snap: FaceSnap
    predictor: LandmarkPredictor
    methods: Sequence[Method]
    observer: Observer
    encoders: Mapping[str, str]
    weights: Mapping[str, str]
    device: str
    size: int
    default_steps: int
    default_guidance: float

    @property
    def judges(self) -> dict[str, str]:
        """What each judge is."""
        attributes = self.observer.attribute_judge
        return {
            "likeness": self.observer.face_judge.signature,
            "prompt": self.observer.clip_judge.signature,
            **({"attributes": attributes.signature} if attributes else {}),
        }

    @property
    def versions(self) -> str:
        """See :func:`versions`."""
        return versions()

    def fits(self, prompt: str) -> bool:
        """Whether the base's text encoder and the judge's both take the whole prompt."""
        return fits(self.snap.pipeline, prompt) and self.observer.clip_judge.fits(prompt)

    def check_judges(self) -> None:
        """UsageError when a judge is one of the networks that condition or train the model."""
        others = [info.path for info in WEIGHTS if info.present and info.name not in JUDGES]
        for judge in (self.observer.face_judge, self.observer.clip_judge, self.observer.attribute_judge):
            if judge is not None:
                check_independent(judge.signature, judge.folder, self.encoders, others)


def versions() -> str:
    """The libraries the numbers depend on."""
    libraries = {"facesnap": __version__, "torch": torch.__version__, "diffusers": diffusers.__version__}
    return ", ".join(f"{n} {v}" for n, v in {**libraries, "transformers": transformers.__version__}.items())


def assemble(device: str = "auto") -> Bench:
    """Load mini, its base alone, and the judges.

    Raises:
        AdapterError: weights that aren't there; the message names the folder.
        UsageError: no such device.
    """
    device = str(choose_device(device, mps=False))
    face_judge, clip_judge = FaceJudge.from_pretrained(device=device), ClipJudge.from_pretrained(device=device)
    attributes = mini_folder() / "judge_attributes"
    attribute_judge = AttributeJudge.from_pretrained(attributes, device) if attributes.is_dir() else None
    snap = FaceSnap.from_pretrained("mini", device=device, dtype="float32")
    snap.pipeline.set_progress_bar_config(disable=True)
    base = stock_pipeline(mini_folder() / "base", device)
    defaults = {**DEFAULTS, **snap.adapter.defaults}
    return Bench(
        snap=snap,
        predictor=snap.predictor,
        methods=(FaceSnapMethod(snap), BaseMethod(base, **settings_for_base(defaults))),
        observer=Observer(snap.analyser.detector, snap.analyser.fitter, face_judge, clip_judge, attribute_judge),
        encoders=snap.analyser.encoders,
        weights={info.name: f"{info.name}@{sha256_12(info.path)}" for info in WEIGHTS if info.present},
        device=device,
        size=snap.size()[0],
        default_steps=int(defaults["num_inference_steps"]),
        default_guidance=float(defaults["guidance_scale"]),
    )


def settings_for_base(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What FaceSnap's calls set besides steps and guidance (which the task says), where it has an effect on both.

    Diffusers' ControlNet pipeline ignores what it doesn't know (guidance_rescale, for one), so handing that to the
    base alone would compare unlike things.
    """
    calls = (StableDiffusionPipeline.__call__, StableDiffusionControlNetPipeline.__call__)
    known = set.intersection(*(set(inspect.signature(call).parameters) for call in calls))
    said = {"num_inference_steps", "guidance_scale"}
    return {name: value for name, value in defaults.items() if name in known - said}


def beside(pipeline: Any) -> Any | None:
    """The stock text-to-image pipeline of another's components; None where an adapter sits in its UNet."""
    if pipeline.unet.encoder_hid_proj is not None:
        return None
    kind = StableDiffusionXLPipeline if hasattr(pipeline, "text_encoder_2") else StableDiffusionPipeline
    takes = set(inspect.signature(kind.__init__).parameters)
    given = {name: part for name, part in pipeline.components.items() if name in takes}
    if "requires_safety_checker" in takes:  # none is as good as what the other pipeline has
        given["requires_safety_checker"] = given.get("safety_checker") is not None
    with quiet():
        made = kind(**given)
    made.set_progress_bar_config(disable=True)
    return made


def stock_pipeline(folder: Path, device: str) -> Any:
    """The base as any diffusers user would load it."""
    with quiet():
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32, low_cpu_mem_usage=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
