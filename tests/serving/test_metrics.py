"""What a monitor reads."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from tests.serving import apps
from tests.serving.scripted import Scripted, request

from facesnap.serving.metrics import Metrics
from facesnap.serving.requests import JobState, JobStatus

HEALTH = {"queue": 2, "running": 1, "identities": 3, "result_bytes": 4096, "jobs": {JobState.done: 5}}


def _values(text: str) -> dict[str, float]:
    """``name{label=value,...}`` -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def _job(state: JobState, **changes: object) -> JobStatus:
    whole = {"id": "j", "state": state, "client": "c", "created": 10.0, "request": request(), "seeds": [1], **changes}
    return JobStatus.model_validate(whole)


def test_what_is_so_at_the_moment() -> None:
    values = _values(Metrics(lambda: HEALTH).text().decode())
    assert values["facesnap_queue_length"] == 2
    assert values["facesnap_running_jobs"] == 1
    assert values["facesnap_identities"] == 3
    assert values["facesnap_result_bytes"] == 4096
    assert values["facesnap_jobs{state=done}"] == 5
    assert values["process_resident_memory_bytes"] > 1e6


def test_finished_jobs_are_counted_and_timed() -> None:
    metrics = Metrics(lambda: HEALTH)
    metrics.job_finished(_job(JobState.done, started=13.0, finished=20.0, pictures=2))
    metrics.job_finished(_job(JobState.cancelled, finished=20.0))
    values = _values(metrics.text().decode())
    assert values["facesnap_jobs_finished_total{state=done}"] == 1
    assert values["facesnap_jobs_finished_total{state=cancelled}"] == 1
    assert values["facesnap_pictures_total"] == 2
    assert values["facesnap_job_waiting_seconds_sum"] == 3
    assert values["facesnap_job_painting_seconds_sum"] == 7
    assert values["facesnap_job_painting_seconds_count"] == 1


def test_two_services_don_t_count_together() -> None:
    first, second = Metrics(lambda: HEALTH), Metrics(lambda: HEALTH)
    first.pictures.inc()
    assert _values(second.text().decode())["facesnap_pictures_total"] == 0


def test_requests_are_counted_by_route_not_by_address(tmp_path: Path) -> None:
    with apps.served(apps.config_of(tmp_path), Scripted()) as client:
        identity = apps.enrol(client)
        job = client.post("/v1/generations", json={"identity": identity, "prompt": "x"}).json()["id"]
        apps.wait_until(lambda: client.get(f"/v1/generations/{job}").json()["state"] == "done")
        client.get("/v1/generations/" + "x" * 16)
        client.get("/v1/nobody-knows-this")
        client.request("BREW", "/v1/models")
        _check(client, identity, job)


def _check(client: TestClient, *private: str) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert client.get("/v1/metrics").status_code == 200
    text = answer.text
    values = _values(text)
    counted = "facesnap_http_requests_total{{method={},route={},status={}}}"
    assert values[counted.format("POST", "/v1/identities", 201)] == 1
    assert values[counted.format("GET", "/v1/generations/{job_id}", 404)] == 1
    assert values[counted.format("GET", "other", 404)] == 1
    assert [name for name in values if "OTHER" in name]
    assert values["facesnap_jobs_finished_total{state=done}"] == 1
    assert values["facesnap_pictures_total"] == 1
    for word in (*private, "nobody-knows-this", "BREW"):
        assert word not in text
