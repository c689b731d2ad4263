import math

import pytest

from facesnap.core.errors import MissingExtraError
from facesnap.core.lazy import require


def test_an_installed_module_is_returned():
    assert require("math", "any") is math


def test_a_missing_module_names_its_extra():
    with pytest.raises(MissingExtraError, match=r'^no_such_module .*pip install "facesnap\[onnx\]"'):
        require("no_such_module", "onnx")
