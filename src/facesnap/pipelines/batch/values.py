"""Values of a line of jobs, checked one by one. Every function here raises UsageError for what it can't take."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import UsageError
from facesnap.core.pose import Pose
from facesnap.models.controls import FaceControls, finite
from facesnap.models.savings import SPEEDS

#: Knobs that a line may turn.
KNOBS: Final = tuple(each.name for each in fields(FaceControls))

#: Names become folders: nothing that leads elsewhere, or that a system treats as its own.
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

#: What the batch's folder holds beside the jobs' folders: a line for each portrait.
RESULTS: Final = "results.jsonl"

MOST_PICTURES: Final = 10_000  # of a line and of a list of seeds: a slip of the pen shall not fill a disk

_POSE: Final = frozenset(each.name for each in fields(Pose))


@dataclass(frozen=True)
class Person:
    """Who is to be seen: one photo or several of one person, or an identity file (``known``)."""

    files: tuple[Path, ...]
    known: bool = False


def json_object(line: str) -> dict[str, Any]:
    """A JSON object that says nothing twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise UsageError(f"the key {json.dumps(twice)} is there twice")
        return found

    try:
        said = json.loads(line, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from None
    if not isinstance(said, dict):
        raise UsageError("not a JSON object: write {...}")
    try:
        json.dumps(said, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UsageError("a text holds half a character (\\ud800 to \\udfff without its other half)") from None
    return said


def text(value: Any) -> str:
    """Any text, on a negative prompt's part an empty one, too."""
    if not isinstance(value, str):
        raise UsageError(f"{_short(value)} is not text")
    return value


def prompts(value: Any) -> tuple[str, ...]:
    """One prompt or several."""
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(each, str) and each.strip() for each in several):
        raise UsageError("prompt must be text that says what the portrait shows, or a list of such texts")
    return tuple(several)


def name(value: Any) -> str:
    """A name that can be a folder's."""
    if not isinstance(value, str) or not NAME.fullmatch(value) or value.endswith("."):
        raise UsageError(f"name {_short(value)}: use up to 100 letters, digits, '.', '_' and '-', no '.' at its ends")
    if value.casefold() == RESULTS:
        raise UsageError(f"name {_short(value)}: a file of the batch is called so")
    return value


def seeds(value: Any) -> int | tuple[int, ...]:
    """One seed, or all of them."""
    if isinstance(value, list):
        if not 0 < len(value) <= MOST_PICTURES:
            raise UsageError(f"seed: {len(value)} of them; use 1 to {MOST_PICTURES}")
        return tuple(_whole("seed", each, 0, 2**63 - 1) for each in value)
    return _whole("seed", value, 0, 2**63 - 1)


def count(value: Any) -> int:
    """How many pictures a seed begins."""
    return _whole("count", value, 1, MOST_PICTURES)


def all_seeds(seed: int | tuple[int, ...], several: int | None, *, of_line: bool) -> tuple[int, ...]:
    """One after the other from a single seed; a list is all there are. ``of_line``: whether the line itself counts."""
    if isinstance(seed, int):
        if seed + (several or 1) > 2**63:
            raise UsageError(f"seed={seed} is too large for {several} pictures")
        return tuple(range(seed, seed + (several or 1)))
    if several and of_line:
        raise UsageError("count goes with one seed: a list of seeds has one per picture already")
    return tuple(seed)


def steps(value: Any) -> int:
    """Denoising steps."""
    return _whole("num_inference_steps", value, 1, 1000)


def guidance(value: Any) -> float:
    """Guidance scale."""
    if (scale := finite("guidance_scale", value)) < 0:
        raise UsageError(f"guidance_scale={scale:g} must be 0 or more")
    return scale


def side(value: Any) -> int:
    """Width or height in pixels; what else a model wants of it, it says itself."""
    return _whole("width and height", value, 64, 16384)


def yes_or_no(value: Any) -> bool:
    """Only what JSON calls true or false."""
    if not isinstance(value, bool):
        raise UsageError(f"long_prompts={_short(value)}: use true or false")
    return value


def speed(value: Any) -> str:
    """How much work is left out, see docs/PERFORMANCE.md."""
    if value not in tuple(SPEEDS):
        raise UsageError(f"speed={_short(value)}: use {', '.join(SPEEDS)}")
    return str(value)


def carried(value: Any) -> tuple[str, ...]:
    """What of the reference is said where the prompt is silent."""
    if not isinstance(value, list | tuple) or not all(each in ("hair", "beard") for each in value):
        raise UsageError(f'carry={_short(value)}: use a list of "hair" and "beard", [] for nothing')
    return tuple(sorted(set(value), reverse=True))


def people(reference: Any, identity: Any, folder: Path) -> tuple[Person, ...]:
    """Everyone of a line.

    Args:
        reference: a photo; a list of photos of one person; or a list of such lists, one per person.
        identity: an identity file, or a list of them, one per person.
        folder: that paths are relative to.
    """
    if (reference is None) == (identity is None):
        raise UsageError("give either reference (photos) or identity (a file made by `facesnap enroll`)")
    if identity is not None:
        several = identity if isinstance(identity, list) else [identity]
        found = tuple(Person((_file("identity", each, folder),), known=True) for each in several)
    else:
        several = reference if isinstance(reference, list) else [reference]
        groups = several if any(isinstance(each, list) for each in several) else [several]
        found = tuple(
            Person(
                tuple(_file("reference", photo, folder) for photo in (group if isinstance(group, list) else [group]))
            )
            for group in groups
        )
    if not found or not all(person.files for person in found):
        raise UsageError("reference and identity need at least one file each")
    return found


def poses(value: Any, folder: Path) -> tuple[Pose | Path | None, ...]:
    """One pose or several; null is the reference's own."""
    several = value if isinstance(value, list) else [value]
    if not several:
        raise UsageError("pose: an empty list; leave it out for the reference's own")
    return tuple(_pose(each, folder) for each in several)


def _pose(value: Any, folder: Path) -> Pose | Path | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UsageError(
            f'pose {_short(value)}: write {{"yaw": 20, "expression": {{"smile": 0.8}}}}, or {{"from": FILE}}'
        )
    if "from" in value:
        if len(value) > 1:
            raise UsageError('pose: "from" sets pose and expression, leave the rest out')
        driver = _file("pose", value["from"], folder)
        return Pose.from_arkit(driver) if driver.suffix.lower() == ".json" else driver
    if unknown := sorted(set(value) - _POSE):
        raise UsageError(f"pose: unknown key {_short(unknown[0])}: use from, {', '.join(sorted(_POSE))}")
    return Pose.from_json(value)


def _file(what: str, value: Any, folder: Path) -> Path:
    """A path that is a file's, absolute."""
    if not isinstance(value, str) or not value:
        raise UsageError(f"{what} {_short(value)} is not a path")
    path = (folder / Path(value).expanduser()).absolute()
    try:
        if path.is_file():
            return path
        why = "is a folder, not a file" if path.is_dir() else "does not exist"
    except (OSError, ValueError):
        why = "is not a path"
    raise UsageError(f"{what} {value} {why}")


def _whole(what: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{what}={_short(value)} must be a whole number from {low} to {high}")
    return value


def _short(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:57] + "..."
