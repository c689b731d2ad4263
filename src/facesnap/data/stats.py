"""What a prepared data set shows: people, photos, poses, captions, licences; read from its shards alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError
from facesnap.data.layout import SPLITS, read_dataset, shards
from facesnap.data.shards import read_shard

SHARES: Final = (0, 5, 50, 95, 100)
#: Captions and licences that are listed, the commonest first.
LISTED: Final = 10


def statistics_of(folder: str | Path, advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Count a data set, shard by shard; ``advance``: called after each.

    Raises:
        InputError: no data set there, or a damaged shard (named).
    """
    info = read_dataset(folder)
    people: Counter[str] = Counter()
    captions: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    consents: Counter[str] = Counter()
    numbers: dict[str, list[float]] = {"yaw": [], "pitch": [], "roll": [], "face": [], "sharpness": []}
    size = 0
    for split in SPLITS:
        for path in shards(folder, split):
            size += path.stat().st_size
            for sample in read_shard(path):
                _count(path, sample, people, captions, licences, consents, numbers)
            advance()
    return {
        "people": len(people),
        "photos": people.total(),
        "bytes": size,
        "size": info.size,
        "views": info.views,
        "splits": {name: vars(split) for name, split in info.splits.items()},
        "photos_per_person": _quantiles(list(people.values())),
        **{name: _quantiles(values) for name, values in numbers.items()},
        "captions": {"different": len(captions), "commonest": dict(captions.most_common(LISTED))},
        "licences": dict(licences.most_common()),
        "consents": dict(consents.most_common()),
        "encoders": dict(info.encoders),
    }


def _count(
    path: Path,
    sample: dict[str, Any],
    people: Counter[str],
    captions: Counter[str],
    licences: Counter[str],
    consents: Counter[str],
    numbers: dict[str, list[float]],
) -> None:
    """Add one sample; only its words are looked at."""
    try:
        words = json.loads(sample["json"])
        people[words["person"]] += 1
        captions.update(words["captions"])
        licences[words["licence"]] += 1
        consents[words["consent"]] += 1
        for name in ("yaw", "pitch", "roll"):
            numbers[name].append(float(words["pose"][name]))
        for name in ("face", "sharpness"):
            if name in words["scores"]:
                numbers[name].append(float(words["scores"][name]))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"shard {path} is damaged at {sample['__key__']}: see `facesnap data check`") from error


def _quantiles(values: list[float] | list[int]) -> dict[str, float]:
    if not values:
        return {}
    found = np.percentile(np.array(values, np.float64), SHARES)
    return {f"p{share}": round(float(value), 3) for share, value in zip(SHARES, found, strict=True)}


def as_text(found: dict[str, Any]) -> str:
    """The same for people to read."""
    splits = ", ".join(
        f"{name} {each['people']} people {each['photos']} photos" for name, each in found["splits"].items()
    )
    lines = [
        f"{found['photos']} photos of {found['people']} people ({splits})",
        f"{found['size']} pixels, {found['views']} views, {found['bytes'] / 1e6:.1f} MB",
        "",
        f"{'':20}{'least':>9}{'5%':>9}{'median':>9}{'95%':>9}{'most':>9}",
    ]
    names = ("photos_per_person", "face", "sharpness", "yaw", "pitch", "roll")
    lines += [f"{name:20}{''.join(f'{value:9.4g}' for value in found[name].values())}" for name in names if found[name]]
    lines += ["", f"{found['captions']['different']} different captions, the commonest:"]
    lines += [f"{count:8} {text}" for text, count in found["captions"]["commonest"].items()]
    for name in ("licences", "consents"):
        lines += ["", f"{name}:", *(f"{count:8} {text or '(nothing said)'}" for text, count in found[name].items())]
    return "\n".join(lines)
