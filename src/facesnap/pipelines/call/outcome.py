"""From sampled pictures to a result: their settings, and what they can be measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facesnap.pipelines.call.result import Result
from facesnap.pipelines.call.settings import settings_of

if TYPE_CHECKING:
    from facesnap.pipelines.call.sampling import Job
    from facesnap.pipelines.call.subjects import Subject
    from facesnap.pipelines.facade import FaceSnap


def outcome(
    snap: FaceSnap,
    job: Job,
    images: Any,
    prompts: Sequence[str],
    negative: str | Sequence[str] | None,
    people: Sequence[Subject],
    **told: Any,
) -> Result:
    """The result of a job that was sampled.

    Args:
        snap: that made it.
        job: what was sampled.
        images: what came of it.
        prompts: as the call had them.
        negative: the same.
        people: everyone in the picture, with their poses.
        told: what else goes into the settings, see :func:`~facesnap.pipelines.call.settings.settings_of`.
    """
    identities, posed = [each.identity for each in people], snap.adapter.control_scale is not None
    poses = [snap.pose_of(each.identity, each.pose) for each in people] if posed else [None] * len(people)
    settings = settings_of(snap.pipeline, job, prompts=prompts, negative=negative, people=people, poses=poses, **told)

    def provenance() -> dict[str, Any]:
        prints = [identity.fingerprint for identity in identities]
        return {"models": snap.hashes, "identity": prints[0] if len(prints) == 1 else prints}

    return Result.of(
        images,
        job.conditions,
        settings,
        judges=lambda: [snap.judgement(*each) for each in zip(identities, poses, job.conditions, strict=True)],
        provenance=provenance,
    )
