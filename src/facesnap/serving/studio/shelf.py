"""The portraits of a visit: taken over from the service, found again, deleted."""

from __future__ import annotations

import contextlib
from functools import partial

from facesnap.core.errors import MissingError
from facesnap.serving.requests import JobState, JobStatus
from facesnap.serving.service import Service
from facesnap.serving.studio import showing
from facesnap.serving.studio.attempt import attempt
from facesnap.serving.studio.files import keep
from facesnap.serving.studio.visit import Shot, Visit, remove

#: Portraits of a visit that are kept at hand, the newest first; older ones go.
SHOTS = 48


def collect(service: Service, visit: Visit, status: JobStatus) -> None:
    """Put a finished job's pictures before the others."""
    _put(visit, [*_shots(service, status), *visit.shots])


def restore(service: Service, visit: Visit) -> JobStatus | None:
    """Put back what a visit made before its page was loaded anew.

    Returns:
        Its newest job, if there is any.
    """
    jobs = service.jobs(visit.client)
    shots: list[Shot] = []
    for status in jobs:
        if status.state is JobState.done and len(shots) < SHOTS:
            found, _ = attempt(partial(_shots, service, status))  # it may expire just now
            shots += found or []
    _put(visit, shots)
    return jobs[0] if jobs else None


def delete(service: Service, visit: Visit) -> int:
    """Delete the picture that is looked at, and those of the same job, which go together.

    Returns:
        How many there were.

    Raises:
        FaceSnapError: they can't be deleted; they stay on the shelf then.
    """
    if visit.shot is None:
        return 0
    job = visit.shot.job
    _delete(service, job)
    gone = [shot for shot in visit.shots if shot.job == job]
    remove(shot.path for shot in gone)
    _put(visit, [shot for shot in visit.shots if shot.job != job])
    return len(gone)


def clear(service: Service, visit: Visit) -> None:
    """Delete all jobs of a visit but an unfinished one, with their pictures. Raises as :func:`delete`."""
    for status in service.jobs(visit.client):
        if status.state.final:
            _delete(service, status.id)
    remove(shot.path for shot in visit.shots)
    _put(visit, [])


def _delete(service: Service, job: str) -> None:
    with contextlib.suppress(MissingError):  # it has expired
        service.delete_job(job)


def _shots(service: Service, status: JobStatus) -> list[Shot]:
    shots = []
    for index in range(status.pictures):
        png, seed = service.picture(status.id, index), status.seeds[index]
        report = status.reports[index] if status.reports else None
        path, size = keep(png, f"portrait-{seed}.png"), showing.size_of(png)
        shots.append(Shot(path, size, seed, status.request, report, status.request.model, status.id))
    return shots


def _put(visit: Visit, shots: list[Shot]) -> None:
    remove(shot.path for shot in shots[SHOTS:])
    visit.shots, visit.selected = shots[:SHOTS], 0
