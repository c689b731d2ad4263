"""The safety checker of a base that has one: what it says is heard, instead of a picture turning black."""

from __future__ import annotations

from typing import Any

from facesnap.core.errors import UsageError


class SafetyFlags:
    """What the checker of a pipeline said of the last batch.

    Args:
        pipeline: whose checker is listened to, or taken out if it isn't wanted.
        wanted: whether pictures are to be judged.
        name: of the model, for errors.

    Raises:
        UsageError: it is wanted, and the base has none.
    """

    def __init__(self, pipeline: Any, wanted: bool, name: str) -> None:
        self._flags: list[bool] = []
        checker = getattr(pipeline, "safety_checker", None)
        if not wanted:
            if checker is not None:  # it would paint over what it doesn't like, and nobody would know why
                pipeline.register_modules(safety_checker=None)
            return
        if checker is None:
            raise UsageError(
                f"the base of model {name} has no safety checker: serve without it, or take a base that has one"
            )
        # Diffusers drops a checker's verdict on the way to us; a hook on the network sees it.
        checker.register_forward_hook(self._hear)

    def clear(self) -> None:
        """Forget the last batch."""
        self._flags = []

    def any_of(self, first: int, count: int) -> bool:
        """Whether one of ``count`` pictures of the last batch, from number ``first`` on, was flagged."""
        return any(self._flags[first : first + count])

    def _hear(self, checker: Any, given: Any, said: tuple[Any, list[bool]]) -> None:
        del checker, given
        self._flags += [bool(flag) for flag in said[1]]
