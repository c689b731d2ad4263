"""What is left out at which step, and what may not be asked for."""

from __future__ import annotations

import pytest

from facesnap.core.errors import UsageError
from facesnap.models.savings import SPEEDS, Savings, savings_of


def steps_where(savings: Savings, what: str, steps: int = 8) -> list[int]:
    return [step for step in range(steps) if getattr(savings, what)(step, steps)]


def test_by_default_everything_runs() -> None:
    assert steps_where(Savings(), "runs_ffrnet") == steps_where(Savings(), "whole_unet") == list(range(8))
    assert steps_where(Savings(), "guided_alone") == []
    assert not Savings().timed


@pytest.mark.parametrize(
    ("savings", "ffrnet", "unet"),
    [
        (Savings(residuals_every=3), [0, 3, 6], list(range(8))),
        (Savings(residuals_until=0.5), [0, 1, 2, 3], list(range(8))),
        (Savings(residuals_until=0.0), [0], list(range(8))),
        (Savings(residuals_every=3, residuals_until=0.75), [0, 3], list(range(8))),
        (Savings(deep_every=2), [0, 2, 4, 6], [0, 2, 4, 6]),
        (Savings(deep_every=2, deep_window=(0.5, 1.0)), [0, 1, 2, 3, 4, 6], [0, 1, 2, 3, 4, 6]),
        (Savings(deep_every=4, residuals_every=2), [0, 4], [0, 4]),
    ],
)
def test_who_runs_when(savings: Savings, ffrnet: list[int], unet: list[int]) -> None:
    assert steps_where(savings, "runs_ffrnet") == ffrnet
    assert steps_where(savings, "whole_unet") == unet
    assert savings.timed


def test_the_guided_half_alone_at_the_end() -> None:
    assert steps_where(Savings(guidance_until=0.75), "guided_alone") == [6, 7]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"residuals_every": 0}, "residuals_every=0 must be a whole number from 1 on"),
        ({"deep_every": True}, "deep_every=True"),
        ({"deep_kept": 1.5}, "deep_kept=1.5"),
        ({"guidance_until": 1.2}, "guidance_until=1.2 must be from 0 to 1"),
        ({"residuals_until": float("nan")}, "residuals_until=nan must be a finite number"),
        ({"deep_window": (0.8, 0.2)}, "deep_window="),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Savings(**values)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_speeds_by_name() -> None:
    assert savings_of("exact") == Savings() == savings_of(Savings())
    assert set(SPEEDS) == {"exact", "balanced", "fast"}
    with pytest.raises(UsageError, match="use one of exact, balanced, fast"):
        savings_of("warp")
