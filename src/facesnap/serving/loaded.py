"""One model that pictures are made with, loaded, and how a batch of orders goes through it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from facesnap.core.pose import Pose
from facesnap.pipelines.call.prompts import CARRIED
from facesnap.pipelines.call.result import Judgement, Report, Result, as_bytes
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.passes.many import Portrait
from facesnap.serving.checker import SafetyFlags
from facesnap.serving.config import ModelSource, ServeConfig
from facesnap.serving.painter import Order, Painted, Watch
from facesnap.serving.previews import Forming, LatentColours
from facesnap.serving.provenance import finished_png
from facesnap.serving.requests import GenerationRequest, LoadedModelInfo

#: What a job's client is told of a flagged picture.
FLAGGED = "the safety checker flagged a picture of this job: change the prompt, or try another seed"


class _StoppedError(Exception):
    """Nobody wants the batch any more."""


class LoadedModel:
    """A FaceSnap with its name. Batches go through it one at a time; everything else may be asked meanwhile.

    Args:
        name: of the model.
        source: where it comes from.
        config: device, dtype, safety checker and watermark.

    Raises:
        AdapterError: it is missing or damaged. UsageError: no such device; a safety checker that isn't there.
    """

    def __init__(self, name: str, source: ModelSource, config: ServeConfig) -> None:
        self.name, self.source = name, source
        self.snap = FaceSnap.from_pretrained(
            source.base,
            source.adapter,
            config.device,
            config.dtype,
            base_config=source.base_config,
            face_encoder=source.face_encoder,
            image_encoder=source.image_encoder,
        )
        self.snap.pipeline.set_progress_bar_config(disable=True)
        self._marked = config.watermark
        self._flags = SafetyFlags(self.snap.pipeline, config.safety_checker, name)
        self._painting = threading.Lock()

    @cached_property
    def info(self) -> LoadedModelInfo:
        """What clients are told of it."""
        width, height = self.snap.size()
        return LoadedModelInfo(
            name=self.name,
            base=self.source.base,
            adapter=self.source.adapter,
            width=width,
            height=height,
            multiple=int(self.snap.pipeline.vae_scale_factor),
            default_steps=self.snap.default_steps,
            default_guidance=float(self.snap.defaults["guidance_scale"]),
            has_pose=self.has_pose,
            hashes=self.snap.hashes,
        )

    @property
    def has_pose(self) -> bool:
        """Whether its adapter follows landmarks."""
        return self.snap.adapter.control_scale is not None

    @cached_property
    def colours(self) -> LatentColours:
        """For previews; fitted when the first batch is painted."""
        return LatentColours.fit(self.snap.pipeline.vae)

    def paint(self, orders: Sequence[Order], watch: Watch) -> list[Painted]:
        """See :meth:`Painter.paint`."""
        with self._painting:
            if {order.id for order in orders} <= set(watch.stopped()):
                return []
            self._flags.clear()
            try:
                results = self._results(orders, watch)
            except _StoppedError:
                return []
            painted, first = [], 0
            for order, result in zip(orders, results, strict=True):
                flagged = self._flags.any_of(first, len(order.seeds))
                first += len(order.seeds)
                painted.append(_refused(order) if flagged else self._painted(order, result))
            return painted

    def _results(self, orders: Sequence[Order], watch: Watch) -> list[Result]:
        shared = orders[0].request
        return self.snap.many(
            [
                Portrait(
                    order.request.prompt,
                    order.person.identity,
                    self._pose(order),
                    order.request.negative_prompt,
                    order.seeds,
                )
                for order in orders
            ],
            width=shared.width,
            height=shared.height,
            num_inference_steps=shared.num_inference_steps,
            guidance_scale=shared.guidance_scale,
            identity_scale=shared.identity_scale,
            landmark_scale=shared.landmark_scale,
            speed=shared.speed,
            carry=CARRIED if shared.carry is None else shared.carry,
            callback_on_step_end=self._on_step_end(orders, watch),
        )

    def _pose(self, order: Order) -> Pose | None:
        """What was asked for, or the reference's own; an adapter that follows no landmarks is asked for none."""
        request: GenerationRequest = order.request
        if request.pose is not None:
            return request.pose.pose()
        return (order.person.pose or Pose()) if self.has_pose else None

    def _on_step_end(self, orders: Sequence[Order], watch: Watch) -> Any:
        colours = self.colours
        ids = {order.id for order in orders}
        forming: Forming | None = None

        def tell(pipeline: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
            nonlocal forming
            del timestep
            forming = forming or Forming(pipeline.scheduler)
            latents, previews, first = forming.guess(step, given["latents"]), {}, 0
            for order in orders:
                previews[order.id] = colours.jpeg(latents[first])
                first += len(order.seeds)
            watch.step(step + 1, int(pipeline.num_timesteps), previews)
            if ids <= set(watch.stopped()):
                raise _StoppedError
            return {}

        return tell

    def _painted(self, order: Order, result: Result) -> Painted:
        settings = {**result.settings, **result.provenance()}
        pictures = [as_bytes(image) for image in result.images]
        pngs = [
            finished_png(picture, settings, seed, order.id, consent=order.consent, marked=self._marked)
            for picture, seed in zip(pictures, order.seeds, strict=True)
        ]
        judge = self._judgement(order, result)
        report = Report(judge.measure(picture, seed) for picture, seed in zip(pictures, order.seeds, strict=True))
        return Painted(order.id, tuple(pngs), order.seeds, tuple(report.to_dicts()))

    def _judgement(self, order: Order, result: Result) -> Judgement:
        """By the judge's own view of the person, if it was kept and the judge is still the same."""
        snap, person = self.snap, order.person
        judge = snap.judge
        vector = person.judged if judge is not None and judge.identifier == person.judge else None
        pose = self._pose(order)
        landmarks = None if pose is None else result.landmarks
        return Judgement.of(snap.analyser, judge, person.identity, vector, pose, landmarks)


def _refused(order: Order) -> Painted:
    return Painted(order.id, (), order.seeds, (), FLAGGED)
