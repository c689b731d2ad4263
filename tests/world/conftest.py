from __future__ import annotations

import pytest

from facesnap.core.errors import FaceSnapError
from facesnap.world.head import HeadModel, load_head


@pytest.fixture(scope="session")
def head() -> HeadModel:
    try:
        return load_head()
    except FaceSnapError as error:
        pytest.skip(f"portrait world not tested: {error}")


@pytest.fixture(scope="session")
def renderer(head):
    pytest.importorskip("moderngl", reason="portrait world not tested: pip install facesnap[world]")
    from facesnap.world.render import Renderer

    try:
        return Renderer(128)
    except FaceSnapError as error:
        pytest.skip(f"portrait world not tested: {error}")
