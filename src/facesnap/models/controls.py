"""How strongly a face acts on a picture, on which parts of it, and when: every knob of identity and landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

from facesnap.core.errors import UsageError

#: (first, last) shares of the steps.
Window = tuple[float, float]

ALWAYS: Final[Window] = (0.0, 1.0)


@dataclass(frozen=True)
class FaceControls:
    """Knobs of one call; the defaults are what the adapter was trained with.

    Attributes:
        identity_scale: 0 is nobody in particular, 1 the person; between and beyond, on the line through both.
        identity_guidance: share of the guidance that acts on the face, too: with 1 the unguided half sees nobody, with
            0 it sees the person, so that guidance acts on the prompt alone. None takes the adapter's own share.
        identity_window: shares of the steps between which the person acts, as diffusers' ``control_guidance_start`` and
            ``control_guidance_end``; nobody does before and after.
        abstract_scale: weight of the Facial Attribute Mixer's first stream, ``f_id``, against the other.
        detail_scale: weight of its second stream, ``f_clip``. Only their ratio counts.
        landmark_scale: weight of FFRNet's residuals (diffusers' ``controlnet_conditioning_scale``): map and person
            together.
        map_scale: strength of the landmark map alone, the person's being ``identity_scale``: 0 is an empty map, 1 this
            one; between and beyond, on the line through their embeddings.
        landmark_window: shares of the steps between which FFRNet sees the landmark map; an empty one before and after.
            Where neither window is open, FFRNet is silent.
        level_scales: factor on the residuals of each of FFRNet's levels, the finest first, the middle last; None is 1
            everywhere.

    Raises:
        UsageError: a value out of its range (named).
    """

    identity_scale: float = 1.0
    identity_guidance: float | None = None
    identity_window: Window = ALWAYS
    abstract_scale: float = 1.0
    detail_scale: float = 1.0
    landmark_scale: float = 1.0
    map_scale: float = 1.0
    landmark_window: Window = ALWAYS
    level_scales: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("identity_scale", "landmark_scale", "map_scale", "abstract_scale", "detail_scale"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
        if self.identity_guidance is not None:
            object.__setattr__(self, "identity_guidance", finite("identity_guidance", self.identity_guidance))
            if not 0.0 <= self.identity_guidance <= 1.0:
                raise UsageError(f"identity_guidance={self.identity_guidance} must be from 0 to 1")
        for name in ("abstract_scale", "detail_scale"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name}={getattr(self, name)} must be 0 or more")
        if self.abstract_scale == self.detail_scale == 0:
            raise UsageError("abstract_scale and detail_scale are both 0: for nobody in particular, identity_scale=0")
        for name in ("identity_window", "landmark_window"):
            object.__setattr__(self, name, window_of(name, getattr(self, name)))
        if self.level_scales is not None:
            object.__setattr__(self, "level_scales", finite_all("level_scales", self.level_scales))

    @property
    def streams(self) -> tuple[float, float]:
        """Weights of FAM's two streams."""
        return self.abstract_scale, self.detail_scale

    @property
    def timed(self) -> bool:
        """Whether anything depends on the step."""
        return (self.identity_window, self.landmark_window) != (ALWAYS, ALWAYS)


def finite(name: str, value: Any) -> float:
    """A number as a float. UsageError (named) for what is none, or isn't finite."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UsageError(f"{name}={value!r} must be a finite number")
    return float(value)


def finite_all(name: str, values: Any) -> tuple[float, ...]:
    """Several such numbers. UsageError (named) for a single one, too."""
    if isinstance(values, str | Real) or not hasattr(values, "__iter__"):
        raise UsageError(f"{name}={values!r} must be a list of numbers")
    return tuple(finite(name, value) for value in values)


def is_open(window: Window, step: int, steps: int) -> bool:
    """Whether step ``step`` (from 0) of ``steps`` lies in a window: diffusers' rule for ControlNets."""
    return not (step / steps < window[0] or (step + 1) / steps > window[1])


def window_of(name: str, window: Any) -> Window:
    """Two shares of the steps. UsageError (named) for anything else."""
    try:
        first, last = (float(share) for share in window)
    except (TypeError, ValueError):
        raise UsageError(f"{name}={window!r} must be two numbers, for example (0.0, 0.8)") from None
    if not 0.0 <= first <= last <= 1.0:
        raise UsageError(f"{name}=({first:g}, {last:g}) must lie between 0 and 1, its start before its end")
    return first, last
