"""The second pass of a call: its small faces made anew, as :mod:`.small_faces` cuts them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from facesnap.core.errors import UsageError
from facesnap.pipelines.bindings.binding import stock_options
from facesnap.pipelines.bindings.roads import road_class
from facesnap.pipelines.call.conditions import Conditions
from facesnap.pipelines.call.masks import touches
from facesnap.pipelines.call.request import least_strength, steps_of
from facesnap.pipelines.call.result import as_bytes
from facesnap.pipelines.call.sampling import Job, sample
from facesnap.pipelines.call.start import Source, source_image
from facesnap.pipelines.passes.small_faces import SmallFaces, repaint_faces

#: Options that speak of the whole picture.
_OF_THE_WHOLE: Final = frozenset(
    {"latents", "timesteps", "sigmas", "original_size", "target_size", "negative_original_size"}
    | {"negative_target_size", "crops_coords_top_left", "negative_crops_coords_top_left"}
)


def second_pass(pipeline: Any, job: Job, images: Any, side: int, settings: SmallFaces) -> Any:
    """Pictures of a job with their small faces made anew, where its mask (if any) lets them.

    The user's callback is called in it, too, from step 0 on for every face; once it interrupts, all else stays.

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
    painter = _Painter(pipeline, job, side, settings)
    done = [painter.picture(index, image) for index, image in enumerate(images)]
    return np.stack(done) if isinstance(images, np.ndarray) else done


@dataclass
class _Painter:
    pipeline: Any
    job: Job
    side: int
    settings: SmallFaces
    interrupted: bool = False

    def picture(self, index: int, image: Any) -> Any:
        """One picture of the job, as it came or with new faces."""
        single = self._single(index)
        mask = None if self.job.source is None else self.job.source.mask
        free = [each for each in self.job.conditions if mask is None or touches(mask, each.landmarks)]
        repaint = [partial(self._repaint, single, each) for each in free]
        before = as_bytes(image)
        after = repaint_faces(before, [each.landmarks for each in free], self.side, self.settings, repaint)
        if after is before:
            return image
        new = Image.fromarray(after) if isinstance(image, Image.Image) else after.astype(np.float32) / 255
        if self.job.source is None:
            return new
        return self.job.source.keep_rest([new])[0]

    def _single(self, index: int) -> Job:
        """The job of one picture."""
        prompt = index // (len(self.job.noise.seeds) // len(self.job.texts))
        road = road_class(self.pipeline, Source(np.empty(0), None, 1.0))
        options = _for_cut_outs(self.job.options, road)
        return replace(self.job, texts=self.job.texts.only(prompt), noise=self.job.noise.only(index), options=options)

    def _repaint(
        self, job: Job, who: Conditions, crop: np.ndarray, points: np.ndarray, matrix: np.ndarray
    ) -> np.ndarray | None:
        """One face (S, S, 3) uint8 made anew, its landmarks (72, 2) where they are in this cut-out."""
        if self.interrupted:
            return None
        size = crop.shape[1], crop.shape[0]
        near = replace(who, landmarks=points, landmark_map=job.adapter.draw(points, size), region=None)
        strength = max(self.settings.strength, least_strength(job.options["num_inference_steps"]))
        controls = [_cut(source_image(image, self.job.size), matrix, size) for image in job.control_images]
        closer = replace(job, conditions=[near], source=Source(crop, None, strength), control_images=controls)
        made = sample(self.pipeline, closer)
        self.interrupted = made.interrupted
        return None if made.interrupted else as_bytes(made.images[0])


def _for_cut_outs(options: Mapping[str, Any], road: Any) -> dict[str, Any]:
    """Options of a job for its second pass: those that the road of pictures takes and that fit another size."""
    known = stock_options(road) - _OF_THE_WHOLE
    kept = {name: value for name, value in options.items() if name in known}
    if kept.get("callback_on_step_end_tensor_inputs") is not None:
        names = kept["callback_on_step_end_tensor_inputs"]
        kept["callback_on_step_end_tensor_inputs"] = [n for n in names if n in road._callback_tensor_inputs]
    return {**kept, "num_inference_steps": steps_of(options), "output_type": "np"}


def _cut(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
