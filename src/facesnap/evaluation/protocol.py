"""What is asked of every method, fixed beforehand: people, prompts, poses and seeds, as one versioned value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from facesnap.core.pose import Pose

#: Raised whenever the same settings would ask for something else than before.
PROTOCOL_VERSION: Final = 4


@dataclass(frozen=True)
class Trial:
    """One person's portrait: who, what and how.

    ``reference``, ``target``, ``gallery``: which of the person's renders play which part; they are different
    renders. ``prompt`` is the target's caption, ``pose`` its pose, expression and camera (relative to the
    picture's size). ``asked``: what the prompt says, attribute -> value. ``seed`` starts the sampling, the same for
    every method. ``pictures``: hash of these renders, so that results from an older renderer are not mistaken for
    this one's. ``driver``: whose render the target is; None is the person's own. Another person's target asks for
    what it shows (its caption, pose and expression), with this person's face.
    """

    person: int
    reference: int
    target: int
    gallery: tuple[int, ...]
    prompt: str
    pose: Pose
    seed: int
    pictures: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)
    driver: int | None = None

    def __post_init__(self) -> None:
        parts = (self.reference, *([self.target] if self.driver is None else []), *self.gallery)
        if len(set(parts)) != len(parts) or not self.gallery:
            raise ValueError(f"reference, target and gallery must be different renders, not {parts}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("person", "reference", "target", "prompt", "seed", "pictures", "driver")
        others = {"gallery": list(self.gallery), "pose": self.pose.to_json(), "asked": dict(self.asked)}
        return {**{name: getattr(self, name) for name in names}, **others}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> Trial:
        """Inverse of :meth:`to_json`."""
        return Trial(**{**plain, "gallery": tuple(plain["gallery"]), "pose": Pose.from_json(plain["pose"])})


@dataclass(frozen=True)
class Protocol:
    """A suite's whole question. ``size``: side of the portraits in pixels; ``split``: whose people these are."""

    suite: str
    seed: int
    split: str
    size: int
    steps: int
    guidance_scale: float
    trials: tuple[Trial, ...]
    version: int = PROTOCOL_VERSION

    @property
    def people(self) -> int:
        """How many people are tested."""
        return len(self.trials)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "trials"}
        return {**plain, "trials": [trial.to_json() for trial in self.trials]}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> Protocol:
        """Inverse of :meth:`to_json`."""
        return Protocol(**{**plain, "trials": tuple(Trial.from_json(trial) for trial in plain["trials"])})

    def hash_with(self, **others: Any) -> str:
        """12 hex digits that change with anything asked here except the list of people, and with ``others``.

        The people are left out so that a run over 100 of them can be continued to 200; each person's own
        trial is compared when its result is read back (:class:`facesnap.evaluation.records.Ledger`).
        """
        settings = {name: value for name, value in vars(self).items() if name != "trials"}
        text = json.dumps({**settings, **others}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
