"""What all tests share: those marked ``mini`` run on the embedded model, and only where all of it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesnap.core.weights import WEIGHTS, mini_folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [info.name for info in WEIGHTS if not info.present]
    if not missing:
        return
    reason = f"{', '.join(missing)} not in {mini_folder()}: train them with `facesnap mini train`"
    for item in items:
        if item.get_closest_marker("mini"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def tiny_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the embedded model's, tiny and with random weights; tests must not change it."""
    from tests.pipelines.random_mini import build  # heavy, and most tests don't need it

    return build(tmp_path_factory.mktemp("mini"))
