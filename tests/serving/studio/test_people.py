"""Who is forgotten while they are being enrolled isn't kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.serving.scripted import png

from facesnap.serving.service import Service
from facesnap.serving.studio.visit import Visit

gradio = pytest.importorskip("gradio")


@pytest.mark.parametrize("how", ["kept", "forgotten", "without consent"])
def test_forgetting_reaches_an_enrolment_under_way(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from facesnap.serving.studio.people import People, person_card

    photo = tmp_path / "photo.png"
    photo.write_bytes(png())
    with gradio.Blocks():
        people = People(service, service.config, person_card(service.config))
    visit = Visit(key="0" * 32, client="me", photos=(str(photo),), faces={str(photo): [(0.0, 0.0, 9.0, 9.0)]})
    stock = service.create_identity

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        made = stock(*args, **kwargs)
        if how == "forgotten":
            people.forget(visit)
        elif how == "without consent":
            list(people.enroll(visit, False, "default"))
        return made

    monkeypatch.setattr(service, "create_identity", meanwhile)
    list(people.enroll(visit, True, "default"))
    kept = how == "kept"
    assert bool(visit.identity) is kept
    assert bool(service.identities()) is kept
