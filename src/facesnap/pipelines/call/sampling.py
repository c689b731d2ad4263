"""One run of a diffusers pipeline with everything that FaceSnap gives it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.models.controls import FaceControls
from facesnap.models.savings import Savings
from facesnap.pipelines.adapters import FaceAdapter
from facesnap.pipelines.bindings.binding import execution_device, stock_options
from facesnap.pipelines.bindings.roads import rebuilt, road_class
from facesnap.pipelines.call.conditions import Conditions, as_control
from facesnap.pipelines.call.decoding import decoding
from facesnap.pipelines.call.request import Noise
from facesnap.pipelines.call.start import Source, source_image
from facesnap.pipelines.call.texts import Texts

if TYPE_CHECKING:
    from torch import Tensor

    from facesnap.core.images import ImageSource


@dataclass(frozen=True)
class Job:
    """What is sampled.

    Attributes:
        texts: what the base is told.
        conditions: everyone in the picture.
        adapter: that made them.
        controls: strengths, windows, levels.
        savings: work that is left out.
        noise: of each picture, those of one prompt side by side.
        source: the picture it starts from, if any.
        control_images: one per ControlNet beside FFRNet.
        control_scales: their weights.
        options: what else the stock pipeline is given.
    """

    texts: Texts
    conditions: Sequence[Conditions]
    adapter: FaceAdapter
    controls: FaceControls
    savings: Savings
    noise: Noise
    source: Source | None = None
    control_images: Sequence[ImageSource] = ()
    control_scales: Sequence[float] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scales(self) -> list[float]:
        """Weights of the ControlNets beside FFRNet; 1 each where the call doesn't say."""
        given = [1.0] * len(self.control_images) if self.control_scales is None else self.control_scales
        return [float(scale) for scale in given]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        height, width = self.conditions[0].landmark_map.shape[-3:-1]
        return width, height

    @property
    def landmark_map(self) -> np.ndarray:
        """Everyone's map in one, (H, W, 3) uint8; of a batch (B, H, W, 3)."""
        return np.asarray(np.max([each.landmark_map for each in self.conditions], axis=0))


class Sampled(NamedTuple):
    """Pictures as the job's ``output_type`` has them, and whether the user's callback interrupted them."""

    images: Any
    interrupted: bool


def sample(pipeline: Any, job: Job) -> Sampled:
    """The pictures of a job.

    They are made by a pipeline of their own around the same components, whose scheduler is a copy: schedulers count
    their steps, so that two calls on one would disturb each other. Callbacks are given that pipeline.

    Raises:
        UsageError: not as many control images, or scales, as there are ControlNets beside FFRNet.
    """
    road = road_class(pipeline, job.source)
    # Whoever does without a safety checker was told so once: a flag that would only say it again at every call is off.
    own = {"scheduler": copy.deepcopy(pipeline.scheduler), "requires_safety_checker": False}
    runs = rebuilt(pipeline, road, **own)
    try:
        with decoding(runs, len(job.noise.seeds), job.size, execution_device(runs)):
            images = runs(**_arguments(runs, job)).images
    finally:
        pipeline.maybe_free_model_hooks()  # those of offloading are known to the user's pipeline alone
    if job.source is not None:
        images = job.source.keep_rest(images)
    return Sampled(images, bool(getattr(runs, "_interrupt", False)))


def _arguments(pipeline: Any, job: Job) -> dict[str, Any]:
    """All that a stock pipeline's call is given."""
    pictures = len(job.noise.seeds)
    control, given = _control(pipeline, job) if job.adapter.control_scale is not None else (None, {})
    if job.source is not None:
        given |= job.source.options(control, pictures)
    elif control is not None:
        given["image"] = control
    size = dict(zip(("width", "height"), job.size, strict=True))
    given |= {name: side for name, side in size.items() if name in stock_options(pipeline)}
    guided = job.options["guidance_scale"] > 1 and pipeline.unet.config.time_cond_proj_dim is None
    from_adapter = job.adapter.options(pipeline, job.conditions, len(job.texts), guided)
    options = {**job.options, **from_adapter}
    attention = {**(job.options.get("cross_attention_kwargs") or {}), **from_adapter.get("cross_attention_kwargs", {})}
    if attention:
        options["cross_attention_kwargs"] = attention
    return {
        **options,
        **given,
        **job.texts.encoded(pipeline, guided, attention.get("scale")),
        "num_images_per_prompt": pictures // len(job.texts),
        "generator": job.noise.generators(),
    }


def _control(pipeline: Any, job: Job) -> tuple[Any, dict[str, Any]]:
    """Control images, FFRNet's map of everyone and one per other ControlNet, in their order; and what FFRNet needs."""
    others = len(pipeline.nets) - 1
    scales = job.scales
    for name, given in (("control_images", job.control_images), ("control_scales", scales)):
        if len(given) != others:
            raise UsageError(f"{name}: {len(given)} given, but this pipeline has {others} ControlNet(s) beside FFRNet")
    alone = len(job.conditions) == 1
    faces = [each.face(len(job.texts), alone) for each in job.conditions]
    needed: dict[str, Any] = {"faces": faces, "controls": job.controls, "savings": job.savings}
    strength = (job.adapter.control_scale or 0.0) * job.controls.landmark_scale
    drawn = as_control(job.landmark_map)
    if not hasattr(pipeline.controlnet, "nets"):
        return drawn, {**needed, "controlnet_conditioning_scale": strength}
    shown: list[Tensor] = [as_control(source_image(image, job.size)) for image in job.control_images]
    place = pipeline.nets.index(pipeline.ffrnet)
    shown.insert(place, drawn)
    scales.insert(place, strength)
    return shown, {**needed, "controlnet_conditioning_scale": scales}
