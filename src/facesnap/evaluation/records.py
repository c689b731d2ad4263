"""What was seen, one JSON line and a few PNGs per person, so that a long run can stop and go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facesnap.core.errors import OutputError
from facesnap.core.images import load_image, save_png, write_atomic
from facesnap.evaluation.protocol import Trial


@dataclass(frozen=True, eq=False)
class Seen:
    """What the judges and E_3d made of one picture; the face's parts are None when no face was found.

    ``embedding``: (D,) the face judge's; ``landmarks``: (72, 2) pixels; ``angles``: (3,) yaw, pitch, roll in degrees;
    ``expression``: (53,) weights; ``clip``: (C,) the CLIP judge's image feature; ``attributes``: what the judge of
    attributes reads, None without one.
    """

    clip: np.ndarray
    embedding: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    angles: np.ndarray | None = None
    expression: np.ndarray | None = None
    attributes: Mapping[str, str] | None = None

    @property
    def found(self) -> bool:
        """Whether a face was found."""
        return self.embedding is not None

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to what the measurement is good for."""
        return {n: _plain(value) if isinstance(value, np.ndarray) else value for n, value in vars(self).items()}

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Seen:
        """Inverse of :meth:`to_json`."""
        parts: dict[str, Any] = {n: np.array(v) if isinstance(v, list) else v for n, v in plain.items()}
        return Seen(**parts)


@dataclass(frozen=True, eq=False)
class Record:
    """One person's result.

    Attributes:
        trial: what was asked.
        requested: (72, 2) pixels, the points the landmark map was drawn from (the target's own labels where the
            reference's face could not be found, so that no map could be made).
        labels: (72, 2) the target's exact labels.
        seen: picture name -> what was seen: ``reference``, ``target``, ``gallery_0`` ..., and one per method.
        failures: method -> why it gave no picture.
        seconds: method -> how long its picture took.
    """

    trial: Trial
    requested: np.ndarray
    labels: np.ndarray
    seen: Mapping[str, Seen]
    failures: Mapping[str, str]
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values for one JSON line."""
        return {
            "trial": self.trial.to_json(),
            "requested": _plain(self.requested),
            "labels": _plain(self.labels),
            "seen": {name: seen.to_json() for name, seen in self.seen.items()},
            "failures": dict(self.failures),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Record:
        """Inverse of :meth:`to_json`."""
        return Record(
            trial=Trial.from_json(plain["trial"]),
            requested=np.array(plain["requested"]),
            labels=np.array(plain["labels"]),
            seen={name: Seen.from_json(seen) for name, seen in plain["seen"].items()},
            failures=plain["failures"],
            seconds=plain["seconds"],
        )


class Ledger:
    """The results kept in a folder: ``people.jsonl`` and ``images/<person>_<picture>.png``.

    Lines made under other settings, for another trial, or cut off when the run was stopped are dropped.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder, self.settings = folder, settings
        self.file = folder / "people.jsonl"
        try:
            (folder / "images").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"can't write to {folder}: {error}") from None

    def image_path(self, person: int, picture: str) -> Path:
        """Where a person's picture lies."""
        return self.folder / "images" / f"{person:05d}_{picture}.png"

    def save_image(self, person: int, picture: str, image: np.ndarray) -> None:
        """Keep a picture (H, W, 3) uint8, stamped with the settings it was made under."""
        save_png(self.image_path(person, picture), image, {"facesnap:settings": self.settings})

    def load_image(self, person: int, picture: str) -> np.ndarray | None:
        """A kept picture, or None."""
        path = self.image_path(person, picture)
        return load_image(path) if path.is_file() else None

    def read(self, trials: tuple[Trial, ...]) -> dict[int, Record]:
        """Person -> result, for those of the given trials that are already there; drops all other lines."""
        wanted = {trial.person: trial.to_json() for trial in trials}
        kept: dict[int, str] = {}
        for line in self._lines():
            entry = _parse(line)
            person = entry.get("trial", {}).get("person")
            pictures = set(entry.get("seen", {}))
            if entry.get("settings") != self.settings or entry["trial"] != wanted.get(person, entry["trial"]):
                continue
            if all(self.image_path(person, picture).is_file() for picture in pictures):
                kept[person] = line
        write_atomic(self.file, "".join(kept[person] + "\n" for person in sorted(kept)).encode())
        return {person: Record.from_json(json.loads(line)) for person, line in kept.items() if person in wanted}

    def append(self, record: Record) -> None:
        """Add a result; its pictures are kept before it, so that a line stands for all of them."""
        line = json.dumps({"settings": self.settings, **record.to_json()})
        try:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(f"can't write {self.file}: {error}") from None

    def _lines(self) -> list[str]:
        return self.file.read_text(encoding="utf-8").splitlines() if self.file.is_file() else []


def _parse(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:  # the last line of a run that was killed while writing it
        return {}
    return entry if isinstance(entry, dict) else {}


def _plain(array: np.ndarray) -> list[Any]:
    rounded: list[Any] = np.round(np.asarray(array, dtype=np.float64), 5).tolist()
    return rounded
