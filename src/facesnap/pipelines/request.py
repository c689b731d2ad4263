"""What a call asks for, put in order and checked before anything is sampled."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from facesnap.core.errors import PromptError, UsageError
from facesnap.models.controls import FaceControls
from facesnap.pipelines.binding import stock_options
from facesnap.pipelines.prompts import check_prompt

#: Stock options that the facade gives by itself, or under another name.
_OWN = frozenset({"prompt", "image", "control_image", "mask_image", "strength", "generator"})

_CONTROLS = frozenset(field.name for field in dataclasses.fields(FaceControls))


def take_controls(options: Mapping[str, Any]) -> tuple[FaceControls, dict[str, Any]]:
    """The knobs of :class:`FaceControls` among a call's options, and the rest."""
    knobs = {name: value for name, value in options.items() if name in _CONTROLS}
    return FaceControls(**knobs), {name: value for name, value in options.items() if name not in _CONTROLS}


def check_options(pipeline: Any, options: Mapping[str, Any]) -> None:
    """Diffusers ignores names that it doesn't know, so that a slip of the pen would go unnoticed.

    Raises:
        UsageError: an option that neither FaceSnap nor the pipeline's stock class takes.
    """
    known = stock_options(pipeline) - _OWN
    if unknown := sorted(set(options) - known):
        raise UsageError(f"unknown option {unknown[0]}: use one of {', '.join(sorted(known | _CONTROLS))}")


def check_prompts(pipeline: Any, prompts: Sequence[str], negative: str | None, long_prompts: bool) -> None:
    """PromptError for texts that are empty, or too long and not ``long_prompts``."""
    if not prompts:
        raise PromptError("give at least one prompt")
    for prompt in prompts:
        check_prompt(pipeline, prompt, "prompt", long_prompts)
    if negative:
        check_prompt(pipeline, negative, "negative prompt", long_prompts)


def seeds_of(seed: int | None, each: int, prompts: int = 1) -> list[int]:
    """Seeds of ``each`` pictures per prompt, one after the other; a first one is drawn where none is given.

    Raises:
        UsageError: no picture, or a seed out of range.
    """
    if each < 1:
        raise UsageError(f"at least one picture must be made, not {each}")
    count = each * prompts
    first = secrets.randbelow(2**31) if seed is None else seed
    if first < 0:
        raise UsageError(f"seed={first} must not be negative")
    if first + count > 2**63:
        raise UsageError(f"seed={first} is too large: use at most {2**63 - count} for {count} picture(s)")
    return [first + i for i in range(count)]
