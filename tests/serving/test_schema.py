"""The service is asked what its own schema allows, and much that it doesn't: no 5xx, and no answer that the schema
doesn't describe.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from starlette.types import Receive, Scope, Send
from tests.serving import apps

EXAMPLES = 8  # of each operation and mode
HOST = {"Host": "127.0.0.1:7860"}

load_all_checks()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_mini: Any) -> Iterator[TestClient]:
    limits = {"requests_per_minute": 100_000, "generations_per_minute": 100_000, "request_seconds": 20}
    with pytest.MonkeyPatch.context() as patch:
        apps.use_tiny(tiny_mini, patch)
        with apps.served(apps.config_of(tmp_path_factory.mktemp("data"), limits=limits)) as client:
            yield client


@pytest.fixture(scope="module")
def known(client: TestClient) -> dict[str, str]:
    """Ids of what is there, put in place of drawn ones: else nearly every answer would be 404."""
    identity = apps.enrol(client)
    job = client.post("/v1/generations", json={"identity": identity, "prompt": "a person"}).json()["id"]
    apps.wait_until(lambda: client.get(f"/v1/generations/{job}").json()["state"] == "done")
    return {"identity": identity, "identity_id": identity, "job_id": job}


def _without_lifespan(app: Any) -> Any:
    """The same app, already started: schemathesis would start and stop it around each of its calls."""

    async def running(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await app(scope, receive, send)

    return running


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_nothing_breaks_the_service(mode: GenerationMode, client: TestClient, known: dict[str, str]) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", _without_lifespan(client.app), headers=HOST)
    asked: dict[int, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not {"parameters", "requestBody"} & set(operation.definition.raw):
            continue  # nothing to get wrong

        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if mode is GenerationMode.POSITIVE and case.method != "DELETE":
                _place(case, known)
            answer = case.call(headers=HOST)
            asked[answer.status_code] = asked.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, answer.text
            case.validate_response(answer, excluded_checks=_judged_otherwise())

        ask()
    assert sum(asked.values()) > 60, asked
    if mode is GenerationMode.POSITIVE:
        assert {200, 202, 422} <= set(asked), asked


def _place(case: Any, known: dict[str, str]) -> None:
    for values in (case.path_parameters, case.body):
        if isinstance(values, dict):
            values.update({name: known[name] for name in known if name in values})


def _judged_otherwise() -> list[Any]:
    """Checks that hold what is drawn from the schema to be right, or wrong: limits, poses and photos know better."""
    from schemathesis.specs.openapi import checks

    return [checks.negative_data_rejection, checks.positive_data_acceptance]
