"""A tiny base, and a hub's cache that is all there is of the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pipelines.loading.bases import tiny_bases
from tests.pipelines.loading.bases.tiny_bases import Base


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _cut_off(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    tiny_bases.cut_off(monkeypatch, cache)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_bases.build("sd1", tmp_path_factory.mktemp("sd1"))
