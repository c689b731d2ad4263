import math

import pytest

from facesnap.core.errors import MissingExtraError
from facesnap.core.lazy import require, require_all


def test_an_installed_module_is_returned():
    assert require("math", "any") is math


def test_a_missing_module_names_its_extra():
    with pytest.raises(MissingExtraError, match=r'^no_such_module .*pip install "facesnap\[onnx\]"'):
        require("no_such_module", "onnx")


def test_all_missing_modules_are_named_at_once():
    require_all({"math": "any"})
    with pytest.raises(
        MissingExtraError, match=r'^no_such, nor_this can.t be imported: pip install "facesnap\[a,b\]"$'
    ):
        require_all({"no_such": "a", "math": "any", "nor_this": "b"})
