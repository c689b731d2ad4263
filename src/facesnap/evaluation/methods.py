"""What is compared: each method makes one portrait of a task. A new rival is one more class here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from facesnap.core.errors import NoFaceError
from facesnap.core.identity import Identity
from facesnap.evaluation.protocol import Trial

if TYPE_CHECKING:
    from facesnap.pipelines.facade import FaceSnap


@dataclass(frozen=True)
class Task:
    """What a method gets for one person.

    ``reference``: (H, W, 3) uint8; ``identity``: what FaceSnap enrolled from it, None where that failed, for which
    ``problem`` says why; ``steps``, ``guidance_scale``, ``size``: the same for all methods. ``requested``: (72, 2) the
    reference's face, as enrolled, in the asked pose; ``driven``: (72, 2) that of the picture that the pose is from.
    """

    trial: Trial
    reference: np.ndarray
    identity: Identity | None
    problem: str
    steps: int
    guidance_scale: float
    size: int
    requested: np.ndarray
    driven: np.ndarray


class Method(Protocol):
    """A way to make portraits."""

    name: str

    def portray(self, task: Task) -> np.ndarray:
        """(size, size, 3) uint8. InputError when the reference can't be used; it counts as the method's failure."""


class FaceSnapMethod:
    """The whole road: enrolled identity, the target's pose, the prompt."""

    name = "facesnap"

    def __init__(self, snap: FaceSnap) -> None:
        self.snap = snap

    def portray(self, task: Task) -> np.ndarray:
        """One portrait; NoFaceError where nobody could be enrolled."""
        if task.identity is None:
            raise NoFaceError(task.problem)
        result = self.snap(
            task.trial.prompt,
            task.identity,
            pose=task.trial.pose if self.snap.adapter.control_scale is not None else None,
            seed=task.trial.seed,
            num_inference_steps=task.steps,
            guidance_scale=task.guidance_scale,
            width=task.size,
            height=task.size,
            carry=(),  # the prompts say all that is to be seen: what they leave out isn't there
        )
        return np.asarray(result.images[0].convert("RGB"))


class BaseMethod:
    """The base without identity: a stock diffusers pipeline of the same model, prompt, seed, steps and guidance."""

    def __init__(self, pipeline: Any, name: str = "base", seed_offset: int = 0, **settings: Any) -> None:
        """``settings``: what FaceSnap hands to the pipeline, too (guidance_rescale ...)."""
        self.pipeline, self.name, self.seed_offset, self.settings = pipeline, name, seed_offset, settings

    def portray(self, task: Task) -> np.ndarray:
        """One picture of whomever the prompt suggests."""
        result = self.pipeline(
            task.trial.prompt,
            generator=torch.Generator("cpu").manual_seed(task.trial.seed + self.seed_offset),
            num_inference_steps=task.steps,
            guidance_scale=task.guidance_scale,
            width=task.size,
            height=task.size,
            **self.settings,
        )
        return np.asarray(result.images[0].convert("RGB"))
