"""Portraits of several people at once, each in a picture of their own: one batch through the networks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.models.savings import Savings
from facesnap.pipelines.bindings.roads import road_class
from facesnap.pipelines.call.conditions import Conditions
from facesnap.pipelines.call.outcome import outcome
from facesnap.pipelines.call.prompts import CARRIED
from facesnap.pipelines.call.request import Noise, check_options, merged, seeds_of, steps_of, take_controls, take_speed
from facesnap.pipelines.call.result import Result
from facesnap.pipelines.call.sampling import Job, sample
from facesnap.pipelines.call.subjects import Subject
from facesnap.pipelines.call.texts import EMBEDDINGS, Texts, take_texts

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource
    from facesnap.pipelines.facade import FaceSnap

#: Options of a single call that each portrait says by itself, or that aren't of a batch's pictures.
_EACH_ITS_OWN: Final = frozenset({*EMBEDDINGS, "latents", "generator", "num_images_per_prompt", "output_type"})


@dataclass(frozen=True)
class Portrait:
    """One portrait of a batch.

    Attributes:
        prompt: what it shows.
        identity: whom.
        pose: a Pose, a driving photo, or None for the reference's own (see ``FaceSnap.pose_of``).
        negative_prompt: what it should not show.
        seeds: one picture for each; a number or None is one picture, None draws its seed.
    """

    prompt: str
    identity: Identity
    pose: Pose | ImageSource | None = None
    negative_prompt: str = ""
    seeds: Sequence[int] | np.ndarray | int | None = None

    def seed_list(self) -> list[int]:
        """The seeds, checked; UsageError for none, or one out of range."""
        if isinstance(self.seeds, Sequence | np.ndarray):
            return seeds_of(self.seeds, len(self.seeds))
        return seeds_of(self.seeds, 1)


def paint(
    snap: FaceSnap,
    portraits: Sequence[Portrait],
    *,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    carry: Collection[str] = CARRIED,
    speed: str | Savings = "exact",
    long_prompts: bool = False,
    callback_on_step_end: Any = None,
    **options: Any,
) -> list[Result]:
    """All portraits in one batch; each is what a call by itself makes of it, to the precision of the arithmetic.

    Args:
        snap: whose pipeline makes them, from text.
        portraits: who, how and how many of each; memory grows with the number of pictures.
        num_inference_steps: of all of them, as everything that follows; see ``FaceSnap.__call__``.
        guidance_scale: the same.
        width: the same.
        height: the same.
        carry: the same.
        speed: the same.
        long_prompts: the same.
        callback_on_step_end: the same; it is called once per step of the batch.
        options: the same, but what stands for prompts or noise.

    Returns:
        A result per portrait, in their order.

    Raises:
        UsageError: no portrait, other ControlNets, or what a single call refuses.
        PromptError, EncoderMismatchError: as a single call.
    """
    if not portraits:
        raise UsageError("give at least one portrait")
    if not all(isinstance(each, Portrait) and isinstance(each.identity, Identity) for each in portraits):
        raise UsageError("a batch is a list of Portrait, each of one Identity")
    if len(getattr(snap.pipeline, "nets", ())) > 1:
        raise UsageError("a batch of portraits works without other ControlNets: make them one by one")
    if own := sorted(_EACH_ITS_OWN & set(options)):
        raise UsageError(f"{own[0]} is not of a batch: each portrait has its prompt and its seeds")
    controls, stock = take_controls(options)
    given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
    stock = merged(snap.defaults, stock, given)
    steps_of(stock)
    check_options(road_class(snap.pipeline, None), stock, snap.adapter.sets)
    snap.adapter.check_controls(controls, posed=any(each.pose is not None for each in portraits))
    savings = take_speed(speed, snap.adapter)
    prompts, negatives = [each.prompt for each in portraits], [each.negative_prompt for each in portraits]
    texts = take_texts(snap.pipeline, prompts, negatives, stock, long_prompts)
    told = [snap.full_prompt(each.prompt, each.identity, carry, long_prompts) for each in portraits]
    people = [Subject(each.identity, snap.pose_of(each.identity, each.pose)) for each in portraits]
    size = snap.size(width, height)
    jobs = [
        Job(
            texts=replace(texts.only(i), prompts=[told[i]]),
            conditions=[snap.conditions(people[i], None, size, controls)],
            adapter=snap.adapter,
            controls=controls,
            savings=savings,
            noise=Noise(portrait.seed_list()),
            options={**stock, "callback_on_step_end": callback_on_step_end, "output_type": "pil"},
        )
        for i, portrait in enumerate(portraits)
    ]
    images = sample(snap.pipeline, _joined(jobs)).images
    results, start = [], 0
    for job, portrait, person in zip(jobs, portraits, people, strict=True):
        own = images[start : start + len(job.noise.seeds)]
        start += len(own)
        results.append(outcome(snap, job, own, [portrait.prompt], portrait.negative_prompt, [person], carry=carry))
    return results


def _joined(jobs: Sequence[Job]) -> Job:
    """One job of a row per picture."""
    rows = [job for job in jobs for _ in job.noise.seeds]
    first = rows[0]
    texts = Texts(
        [job.texts.prompts[0] for job in rows],
        [job.texts.negatives[0] for job in rows],
        long_prompts=first.texts.long_prompts,
        clip_skip=first.texts.clip_skip,
    )
    seeds = [seed for job in jobs for seed in job.noise.seeds]
    return replace(first, texts=texts, conditions=[_stacked([job.conditions[0] for job in rows])], noise=Noise(seeds))


def _stacked(conditions: Sequence[Conditions]) -> Conditions:
    """A row per picture of everything: tokens (B, N, W), landmarks (B, 72, 2), maps (B, H, W, 3)."""
    return Conditions(
        tokens=torch.cat([each.tokens for each in conditions]),
        null_tokens=torch.cat([each.null_tokens for each in conditions]),
        nobody=torch.cat([each.nobody for each in conditions]),
        landmarks=np.stack([each.landmarks for each in conditions]),
        landmark_map=np.stack([each.landmark_map for each in conditions]),
    )
