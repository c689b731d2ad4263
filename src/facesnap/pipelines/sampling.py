"""One run of a diffusers pipeline with everything that FaceSnap gives it, and the second pass for small faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from facesnap.core.errors import UsageError
from facesnap.models.controls import FaceControls
from facesnap.pipelines.adapters import FaceAdapter
from facesnap.pipelines.binding import execution_device
from facesnap.pipelines.conditions import Conditions, as_control
from facesnap.pipelines.long_prompts import encode_long
from facesnap.pipelines.roads import Source, source_image, take_road
from facesnap.pipelines.small_faces import SmallFaces, repaint_faces

if TYPE_CHECKING:
    from torch import Tensor

    from facesnap.core.images import ImageSource


@dataclass(frozen=True)
class Job:
    """What is sampled.

    Attributes:
        prompts: what the base is told.
        negative: against all of them; may be empty.
        conditions: everyone in the picture.
        adapter: that made them.
        controls: strengths, windows, levels.
        seeds: one per picture, those of one prompt side by side.
        source: the picture it starts from, if any.
        control_images: one per ControlNet beside FFRNet.
        control_scales: their weights.
        long_prompts: encode prompts in pieces.
        options: what else the stock pipeline is given.
    """

    prompts: Sequence[str]
    negative: str
    conditions: Sequence[Conditions]
    adapter: FaceAdapter
    controls: FaceControls
    seeds: Sequence[int]
    source: Source | None = None
    control_images: Sequence[ImageSource] = ()
    control_scales: Sequence[float] | None = None
    long_prompts: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def sample(pipeline: Any, job: Job) -> Any:
    """The pictures of a job, as its ``output_type`` has them.

    Raises:
        UsageError: not as many control images, or scales, as there are ControlNets beside FFRNet.
    """
    if job.adapter.control_scale is None and (job.control_images or job.control_scales):
        raise UsageError("this adapter's pipeline has no ControlNets: leave out control_images")
    pipeline = take_road(pipeline, job.source)
    control, given = _control(pipeline, job) if job.adapter.control_scale is not None else (None, {})
    if job.source is not None:
        given |= job.source.options(control, len(job.seeds))
    elif control is not None:
        given["image"] = control
    guided = job.options["guidance_scale"] > 1
    images = pipeline(
        **_texts(pipeline, job),
        **given,
        **job.adapter.options(pipeline, job.conditions, len(job.prompts), guided),
        num_images_per_prompt=len(job.seeds) // len(job.prompts),
        # On the CPU, so that a seed's noise doesn't depend on the device that samples.
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in job.seeds],
        **job.options,
    ).images
    return images if job.source is None else job.source.keep_rest(images)


def second_pass(pipeline: Any, job: Job, images: Any, side: int, settings: SmallFaces) -> Any:
    """Pictures of a job with their small faces made anew; see :mod:`facesnap.pipelines.small_faces`.

    Args:
        pipeline: that made them.
        job: that they are of.
        images: PIL pictures, or (N, H, W, 3) float in [0, 1].
        side: the base's own picture's, in pixels.
        settings: which faces, and how.

    Raises:
        UsageError: the pictures are latents or tensors.
    """
    if not isinstance(images, list | np.ndarray):
        raise UsageError('small_faces needs pictures: use output_type="pil" or "np"')
    faces = [each.landmarks for each in job.conditions]
    each_prompt = len(job.seeds) // len(job.prompts)
    options = {name: value for name, value in job.options.items() if name not in ("callback_on_step_end", "latents")}
    done = []
    for index, (image, seed) in enumerate(zip(images, job.seeds, strict=True)):
        single = replace(job, prompts=[job.prompts[index // each_prompt]], seeds=[seed], options=options)
        repaint = [partial(_repaint, pipeline, single, each, settings.strength) for each in job.conditions]
        done.append(_of_bytes(image, repaint_faces(_bytes(image), faces, side, settings, repaint)))
    return np.stack(done) if isinstance(images, np.ndarray) else done


def _repaint(
    pipeline: Any, job: Job, who: Conditions, strength: float, crop: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """One face (S, S, 3) uint8 made anew, its landmarks (72, 2) where they are in this cut-out."""
    drawn = job.adapter.draw(points, (crop.shape[1], crop.shape[0]))
    near = replace(who, landmarks=points, landmark_map=drawn, region=None)
    options = {**job.options, "output_type": "np"}
    closer = replace(job, conditions=[near], source=Source(crop, None, strength), options=options)
    return _bytes(sample(pipeline, closer)[0])


def _control(pipeline: Any, job: Job) -> tuple[Any, dict[str, Any]]:
    """Control images, FFRNet's map of everyone and one per other ControlNet, in their order; and what FFRNet needs."""
    drawn = np.max([each.landmark_map for each in job.conditions], axis=0)
    others = len(pipeline.nets) - 1
    scales = [1.0] * others if job.control_scales is None else [float(scale) for scale in job.control_scales]
    for name, given in (("control_images", job.control_images), ("control_scales", scales)):
        if len(given) != others:
            raise UsageError(f"{name}: {len(given)} given, but this pipeline has {others} ControlNet(s) beside FFRNet")
    alone = len(job.conditions) == 1
    faces = [each.face(len(job.prompts), alone) for each in job.conditions]
    needed: dict[str, Any] = {"faces": faces, "controls": job.controls}
    strength = (job.adapter.control_scale or 0.0) * job.controls.landmark_scale
    if not hasattr(pipeline.controlnet, "nets"):
        return as_control(drawn), {**needed, "controlnet_conditioning_scale": strength}
    size = drawn.shape[1], drawn.shape[0]
    shown: list[Tensor] = [as_control(source_image(image, size)) for image in job.control_images]
    place = pipeline.nets.index(pipeline.ffrnet)
    shown.insert(place, as_control(drawn))
    scales.insert(place, strength)
    return shown, {**needed, "controlnet_conditioning_scale": scales}


def _texts(pipeline: Any, job: Job) -> dict[str, Any]:
    if job.long_prompts:
        return dict(encode_long(pipeline, job.prompts, job.negative, execution_device(pipeline)))
    return {"prompt": list(job.prompts), "negative_prompt": [job.negative] * len(job.prompts) if job.negative else None}


def _bytes(image: Any) -> np.ndarray:
    return np.asarray(image) if isinstance(image, Image.Image) else np.asarray((image * 255).round(), dtype=np.uint8)


def _of_bytes(like: Any, picture: np.ndarray) -> Any:
    return Image.fromarray(picture) if isinstance(like, Image.Image) else picture.astype(np.float32) / 255
