"""What `import facesnap` promises: these names, no others, and no torch before one is used."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import facesnap

ROOT = Path(__file__).parents[1]


def test_every_public_name_resolves() -> None:
    pytest.importorskip("facesnap.landmarks.predict")
    for name in facesnap.__all__:
        assert getattr(facesnap, name) is not None
        assert name in dir(facesnap)
    assert sorted(facesnap.__all__) == facesnap.__all__
    assert set(facesnap._HOMES) | {"__version__"} == set(facesnap.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = facesnap.Nonsense


def test_version_is_the_package_version() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "facesnap.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", facesnap.__version__)


def test_import_loads_no_torch() -> None:
    code = "import sys, facesnap, facesnap.core.pose; facesnap.Pose; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_file_that_is_no_code_is_packaged() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["facesnap"]
    package = ROOT / "src" / "facesnap"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert not files - packaged
