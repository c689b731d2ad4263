"""Options in groups: a command takes dataclasses, and the command line sees every field of them as an option."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter
from typing import Any, get_type_hints

from facesnap.core.errors import FaceSnapError


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer wants it, with one parameter per option.

    Example:
        >>> @dataclass
        ... class Size:
        ...     width: Annotated[int, typer.Option("--width")] = 8
        >>> @flattened
        ... def draw(name: str, size: Size) -> None: ...
        >>> list(inspect.signature(draw).parameters)
        ['name', 'width']
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            groups[name] = hints[name]
            parameters += _options(hints[name])
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name]))

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        command(**given)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {}
    return flat


def _options(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]


@contextmanager
def in_options(names: Mapping[str, str]) -> Iterator[None]:
    """Say an error of the Python call in words of the command line.

    Args:
        names: argument -> option, such as ``mask_image`` -> ``--mask``.
    """
    try:
        yield
    except FaceSnapError as error:
        raise type(error)(_renamed(str(error), names)) from error


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for name, option in names.items():
        text = re.sub(rf"(?<![\w./-]){name}=", f"{option} ", text)
        if "_" in name:  # others are plain words, too
            text = re.sub(rf"(?<![\w./-]){name}(?![\w./])", option, text)
    return text
