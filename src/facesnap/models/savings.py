"""Which work of a call is left out, and when. What each saves, and what it costs in likeness: docs/PERFORMANCE.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from facesnap.core.errors import UsageError
from facesnap.models.controls import ALWAYS, Window, finite, is_open, window_of


@dataclass(frozen=True)
class Savings:
    """Shortcuts of one call; by default those that change nothing but the last bits.

    Attributes:
        keep_keys: compute the keys and values of texts and face tokens once, instead of at every step. Exact.
        share_residuals: FFRNet looks at the guided half alone, and the unguided half is given the same residuals. The
            same as ``identity_guidance=0``, at half the work.
        residuals_every: FFRNet runs at every so many-th step; in between, its last residuals are given again.
        residuals_until: share of the steps after which FFRNet's last residuals are kept to the end.
        deep_every: the UNet runs as a whole at every so many-th step. In between, only its finest layers do, on top of
            the last deep features (Ma et al. 2023, DeepCache), and FFRNet rests.
        deep_window: shares of the steps between which that is allowed.
        deep_kept: how many of the UNet's last layers run at such steps, with as many of its first but one.
        guidance_until: share of the steps after which the guided half runs alone (Castillo et al. 2023).

    Raises:
        UsageError: a value out of its range (named).
    """

    keep_keys: bool = True
    share_residuals: bool = False
    residuals_every: int = 1
    residuals_until: float = 1.0
    deep_every: int = 1
    deep_window: Window = ALWAYS
    deep_kept: int = 2
    guidance_until: float = 1.0

    def __post_init__(self) -> None:
        for name in ("residuals_every", "deep_every", "deep_kept"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} must be a whole number from 1 on")
        for name in ("residuals_until", "guidance_until"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name}={getattr(self, name):g} must be from 0 to 1")
        object.__setattr__(self, "deep_window", window_of("deep_window", self.deep_window))

    @property
    def timed(self) -> bool:
        """Whether anything depends on the step."""
        return self.reuses_deep or self.residuals_every > 1 or min(self.residuals_until, self.guidance_until) < 1.0

    @property
    def reuses_deep(self) -> bool:
        """Whether the UNet ever runs in part."""
        return self.deep_every > 1

    def whole_unet(self, step: int, steps: int) -> bool:
        """Whether the UNet runs as a whole at step ``step`` (from 0) of ``steps``."""
        return step % self.deep_every == 0 or not is_open(self.deep_window, step, steps)

    def runs_ffrnet(self, step: int, steps: int) -> bool:
        """Whether FFRNet runs."""
        if step == 0:
            return True
        due = step % self.residuals_every == 0 and step < self.residuals_until * steps
        return due and self.whole_unet(step, steps)

    def guided_alone(self, step: int, steps: int) -> bool:
        """Whether the unguided half is left out."""
        return step >= self.guidance_until * steps


#: Nothing is saved, not even what costs nothing: for comparison.
NAIVE: Final = Savings(keep_keys=False)

#: What ``speed`` may be, by name: the cheapest that lose no likeness that can be measured.
SPEEDS: Final[dict[str, Savings]] = {
    "exact": Savings(),
    "balanced": Savings(deep_every=2),
    "fast": Savings(deep_every=4, deep_kept=1),
}


def savings_of(speed: Any) -> Savings:
    """A speed by its name, or Savings as they are.

    Raises:
        UsageError: neither; names the names.
    """
    if isinstance(speed, Savings):
        return speed
    if isinstance(speed, str) and speed in SPEEDS:
        return SPEEDS[speed]
    raise UsageError(f"speed={speed!r}: use one of {', '.join(SPEEDS)}, or Savings(...)")
