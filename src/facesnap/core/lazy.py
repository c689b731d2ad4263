"""Optional dependencies, imported when they are first needed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
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


def require_all(modules: Mapping[str, str]) -> None:
    """Check a command's optional modules at once (module -> extra), so that one install brings all that is missing.

    Raises:
        MissingExtraError: some can't be imported; one line names them all.
    """
    missing = {}
    for module, extra in modules.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing[module] = extra
    if missing:
        extras = ",".join(dict.fromkeys(missing.values()))
        raise MissingExtraError(f'{", ".join(missing)} can\'t be imported: pip install "facesnap[{extras}]"')
