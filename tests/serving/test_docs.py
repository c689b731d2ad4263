"""The examples of docs/SERVING.md are run as they stand against a service at a real socket, and its tables are true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.serving import apps

from facesnap.core.identity import Identity
from facesnap.serving.config import Expiry, Limits, ServeConfig

ROOT = Path(__file__).resolve().parents[2]
SERVING = (ROOT / "docs" / "SERVING.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SERVING, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.fixture
def url(tiny_mini: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    apps.use_tiny(tiny_mini, monkeypatch)
    with apps.listening(apps.config_of(tmp_path_factory.mktemp("data"))) as (url, _):
        yield url


def _run(command: list[str], folder: Path) -> str:
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
def test_curl_examples_run(url: str, folder: Path) -> None:
    blocks = _blocks("bash")
    assert len(blocks) >= 6
    script = "".join(blocks)
    assert ADDRESS in script
    said = _run(["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, url)], folder)
    assert '"status":"ready"' in said
    assert "event: end" in said
    assert '"state":"done"' in said
    assert Image.open(folder / "map.png").size == Image.open(folder / "portrait.png").size
    assert Identity.load(folder / "me.identity.safetensors").photos == 1


def test_python_examples_run(url: str, folder: Path) -> None:
    blocks = _blocks("python")
    assert blocks
    for block in blocks:
        assert ADDRESS in block
        assert "done" in _run([sys.executable, "-c", block.replace(ADDRESS, url)], folder)
    assert (folder / "out" / "0.png").stat().st_size > 0


def test_the_settings_file_is_one() -> None:
    first, cluster = (ServeConfig.of(tomllib.loads(block)) for block in _blocks("toml"))
    assert first.models["watercolour"].base == "./watercolour-sd15"
    assert cluster.ray is not None
    assert cluster.ray.address == "auto"


def test_the_tables_of_limits_are_true() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", SERVING, flags=re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {
        name: float(value) for limits in (Limits(), Expiry()) for name, value in limits
    }


def test_options_of_the_docs_exist() -> None:
    from typer.main import get_command

    from facesnap.cli.app import app

    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = set(re.findall(r"`(?:facesnap serve )?(--[a-z-]+)", SERVING + SECURITY))
    assert len(named) > 10
    assert named <= known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", SERVING + SECURITY))))
def test_links_lead_somewhere(target: str) -> None:
    file, _, heading = target.partition("#")
    text = (ROOT / "docs" / file).read_text(encoding="utf-8")
    slugs = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    ]
    assert not heading or heading in slugs
