"""The README's examples are run as they stand, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def _run(command: list[str], folder: Path) -> None:
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{shlex.join(command)[:200]}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working folder beside which nothing is known, except the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def test_there_are_examples() -> None:
    assert _blocks("python")
    assert _blocks("bash")


@pytest.mark.mini
@pytest.mark.parametrize("code", _blocks("python"))
def test_python_examples_run(code: str, folder: Path) -> None:
    _run([sys.executable, "-c", code], folder)
    for name in re.findall(r'\.save\("(.*?)"\)', code):  # a file, or a folder of portraits
        saved = folder / name
        files = list(saved.iterdir()) if saved.is_dir() else [saved]
        assert files
        assert all(file.stat().st_size > 0 for file in files)


@pytest.mark.mini
@pytest.mark.parametrize("script", _blocks("bash"))
def test_command_line_examples_run(script: str, folder: Path) -> None:
    function = f'facesnap() {{ {shlex.quote(sys.executable)} -m facesnap.cli.app "$@"; }}\n'
    _run(["bash", "-euo", "pipefail", "-c", function + script], folder)
    for name in re.findall(r"--output (\S+)", script):
        assert (folder / name).exists()


@pytest.mark.parametrize("block", _blocks("bash"))
def test_commands_of_the_examples_exist(block: str) -> None:
    from facesnap.cli.app import app

    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert set(re.findall(r"^facesnap (\w+)", block, flags=re.MULTILINE)) <= known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)", README))))
def test_links_lead_to_files(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_paper_to_code_table_names_what_is_there() -> None:
    table = README.split("## Paper to code")[1].split("\n## ")[0]
    found = re.findall(r"\]\((src/\S+?\.py)\) `(\w+)`", table)
    assert len(found) >= 8
    for file, name in found:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {name}\b", text, flags=re.MULTILINE), f"{name} is not in {file}"
