"""Optional dependencies, imported when they are first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from facesnap.core.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, which the optional ``extra`` brings.

    Raises:
        MissingExtraError: it can't be imported; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f'{module} can\'t be imported: pip install "facesnap[{extra}]" ({error})') from error
