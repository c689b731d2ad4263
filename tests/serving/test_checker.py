"""A whole job over HTTP past a true safety checker: refused with a line, or painted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.serving import apps, checked
from tests.serving.apps import enrol

from facesnap.serving.loaded import FLAGGED, LoadedModel
from facesnap.serving.local import LocalPainter


@pytest.fixture
def serve(tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts a service with a checker of a threshold: a client, and the model behind it."""
    apps.use_tiny(tiny_mini, monkeypatch)

    @contextmanager
    def begin(threshold: float) -> Iterator[tuple[TestClient, LoadedModel]]:
        config = apps.config_of(tmp_path, base=str(checked.save(tmp_path, threshold)), safety_checker=True)
        painter = LocalPainter(config)
        with apps.served(config, painter) as client:
            yield client, painter.loaded("default")

    return begin


def ask(client: TestClient, person: str) -> dict[str, Any]:
    """The last status of a job of two small pictures."""
    wanted = {"identity": person, "prompt": "a man", "seed": 1, "num_images": 2, "width": 64, "height": 64}
    job = client.post("/v1/generations", json=wanted).json()["id"]
    where = f"/v1/generations/{job}"
    assert "event: end" in client.get(f"{where}/events").text
    return dict(client.get(where).json())


def picture(client: TestClient, job: dict[str, Any], index: int) -> Any:
    return client.get(f"/v1/generations/{job['id']}/pictures/{index}")


def test_a_job_that_is_flagged_is_refused_with_a_line(serve: Any) -> None:
    with serve(checked.ALL) as (client, model):
        person = enrol(client)
        job = ask(client, person)
        assert (job["state"], job["error"], job["pictures"], job["reports"]) == ("failed", FLAGGED, 0, None)
        assert picture(client, job, 0).status_code == 404
        checked.set_threshold(model.snap.pipeline.safety_checker, checked.NONE)
        assert ask(client, person)["state"] == "done"  # one job's verdict isn't the next one's


def test_a_job_that_is_not_flagged_is_painted(serve: Any) -> None:
    with serve(checked.NONE) as (client, model):
        heard: list[bool] = []
        model.snap.pipeline.safety_checker.register_forward_hook(lambda _, given, said: heard.extend(said[1]))
        job = ask(client, enrol(client))
        assert (job["state"], job["error"], job["pictures"]) == ("done", None, 2)
        assert heard == [False, False]
        for index in range(2):
            pixels = np.asarray(Image.open(io.BytesIO(picture(client, job, index).content)))
            assert pixels.std() > 1  # diffusers paints what is flagged black
