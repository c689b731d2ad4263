"""The portraits of a visit: taken over from the service, found again, deleted."""

from __future__ import annotations

from functools import partial

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
    """Delete the picture that is looked at, and those of the same job, which go together. How many there were."""
    if visit.shot is None:
        return 0
    job = visit.shot.job
    attempt(partial(service.delete_job, job))  # it may have expired
    gone = [shot for shot in visit.shots if shot.job == job]
    remove(shot.path for shot in gone)
    _put(visit, [shot for shot in visit.shots if shot.job != job])
    return len(gone)


def clear(service: Service, visit: Visit) -> None:
    """Delete all jobs of a visit but an unfinished one, with their pictures."""
    for status in service.jobs(visit.client):
        if status.state.final:
            attempt(partial(service.delete_job, status.id))
    remove(shot.path for shot in visit.shots)
    _put(visit, [])


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
