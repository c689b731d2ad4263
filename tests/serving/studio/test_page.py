"""The page without a browser: what Gradio is told, and who may call what."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from facesnap.serving.config import Limits
from facesnap.serving.service import Service
from facesnap.serving.studio import build, mount, words
from facesnap.serving.studio.looks import head
from facesnap.serving.studio.visit import hold, remove

gradio = pytest.importorskip("gradio")


def test_nothing_is_sent_and_nothing_is_an_api(service: Service) -> None:
    blocks = build(service, service.config)
    assert blocks.analytics_enabled is False
    assert {fn.api_visibility for fn in blocks.fns.values()} == {"private"}
    app = mount(FastAPI(docs_url=None), service, service.config)
    with TestClient(app) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert client.get("/gradio_api/info").json()["named_endpoints"] == {}
        config = client.get("/config").json()
        assert config["run_history"] is False
        assert not config.get("footer_links")
        assert client.get("/docs").status_code == 404
        styles = client.get("/theme.css").text + str(config.get("css"))
        assert not re.search(r"url\(['\"]?https?:|@import", styles)


def test_the_looks_are_installed_with_the_package() -> None:
    for name in ("looks.css", "page.js"):
        assert resources.files("facesnap.serving.studio").joinpath(name).is_file()


def test_the_page_s_script_knows_the_limit() -> None:
    script = head(Limits(upload_bytes=1234))
    assert "LIMIT = 1234;" in script
    assert script.count("</script>") == 1  # what is inside can't end it


def test_one_primary_button_in_each_tab(service: Service) -> None:
    blocks = build(service, service.config)
    buttons = [each for each in blocks.blocks.values() if isinstance(each, gradio.Button)]
    assert [each.value for each in buttons if each.variant == "primary"] == [words.GENERATE, words.COMPARE]


def test_every_text_is_used() -> None:
    folder = Path(str(resources.files("facesnap.serving.studio").joinpath("words.py"))).parent
    code = "\n".join(path.read_text() for path in folder.glob("*.py"))
    for name in (name for name in vars(words) if name.isupper()):
        assert f"words.{name}" in code, name


def test_a_file_that_another_tab_holds_stays(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"x")
    for _ in range(2):
        hold([str(photo)])
    remove([str(photo)])
    assert photo.exists()
    remove([str(photo)])
    assert not photo.exists()
