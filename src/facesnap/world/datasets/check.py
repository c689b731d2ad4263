"""Is a rendered data set whole? Every shard, member, picture and label is looked at, one after the other.

Shards are streamed, so memory stays flat; what grows is a digest of each person's identity, by which two people of one
face are found.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from facesnap.core.errors import InputError
from facesnap.world.datasets.check_labels import LandmarkReference, landmark_reference, parse_labels, problems_of
from facesnap.world.datasets.check_pictures import problems_of_classes, problems_of_picture
from facesnap.world.datasets.reading import DAMAGE, members_of, said
from facesnap.world.datasets.splits import (
    DESCRIPTION,
    SPLITS,
    SUFFIXES,
    Block,
    Description,
    block_of,
    read_description,
    split_folders,
    split_of,
)
from facesnap.world.datasets.wording import number_of

#: As many names are spelled out where several are missing.
NAMED = 3


@dataclass
class Findings:
    """What was seen, and how much of it is damaged."""

    report: Callable[[str], None]
    advance: Callable[[], None]
    fast: bool
    reference: LandmarkReference | None
    people: int = 0
    pictures: int = 0
    shards: int = 0
    size: int = 0  #: bytes of the shards
    damages: int = 0
    notes: list[str] = field(default_factory=list)
    blocks: list[tuple[Block, Path]] = field(default_factory=list)
    faces: dict[bytes, int] = field(default_factory=dict)  #: digest of an identity -> person

    def damaged(self, where: object, what: str) -> None:
        """Report one thing."""
        self.damages += 1
        self.report(f"{where}: {what}")


def check(
    folder: str | Path,
    report: Callable[[str], None],
    advance: Callable[[], None] = lambda: None,
    fast: bool = False,
) -> Findings:
    """Look through a split's folder, or through a folder of several.

    Args:
        folder: with shards in it, or with folders that have some.
        report: is given one line for each thing that is damaged.
        advance: is called after each shard.
        fast: of pictures and class maps, read the first bytes only.

    Raises:
        InputError: no shards there, or no such folder.
        MissingExtraError: webdataset is not installed.
    """
    findings = Findings(report, advance, fast, landmark_reference())
    for split in split_folders(Path(folder)):
        _check_split(split, findings)
    ordered = sorted(findings.blocks, key=lambda item: (item[0].first, str(item[1])))
    for (before, path), (block, other) in pairwise(ordered):
        if block.first < before.first + before.people:
            findings.damaged(other, f"has people who are in {path} too, from {block.first} on")
    return findings


def _check_split(folder: Path, findings: Findings) -> None:
    described, description = None, folder / DESCRIPTION
    try:
        described = read_description(folder)
        if described is None:
            findings.damaged(description, "is missing")
    except InputError as error:
        findings.damaged(description, str(error).removeprefix(f"{description} "))
    if described is not None and folder.name in SPLITS and folder.name != described.settings.split:
        findings.damaged(description, f"speaks of the split {described.settings.split!r}")
    for path, block in _shards(folder, described, findings):
        if path.exists():
            findings.blocks.append((block, path))
            _check_shard(path, block, described, findings)
        else:
            findings.damaged(path, f"is missing ({_people_of(block)})")


def _people_of(block: Block) -> str:
    return f"person {block.first}" if block.people == 1 else f"people {block.first} to {block.first + block.people - 1}"


def _shards(folder: Path, described: Description | None, findings: Findings) -> list[tuple[Path, Block]]:
    """The shards that belong to a split, there or not; others are noted."""
    there = sorted(folder.glob("*.tar"))
    if described is None:
        blocks = {path: block_of(path) for path in there}
        for path, block in blocks.items():
            if block is None:
                findings.damaged(path, "has no shard's name")
            elif block.split != split_of(block.first) or block.split != split_of(block.first + block.people - 1):
                findings.damaged(path, f"names people outside of the split {block.split!r}")
        return [(path, block) for path, block in blocks.items() if block is not None]
    wanted = [(folder / block.name, block) for block in described.blocks()]
    if others := len(set(there) - {path for path, _ in wanted}):
        named = number_of(others, "further tar file")
        findings.notes.append(f"{folder} has {named} that {DESCRIPTION} doesn't name: not looked at")
    if left := len(list(folder.glob(".*.tmp"))):
        findings.notes.append(f"{folder} has {number_of(left, 'temporary file')} that a killed run left behind")
    return wanted


@dataclass
class _Shard:
    """A shard while it is read."""

    path: Path
    block: Block
    described: Description | None
    people: dict[int, tuple[Any, Any]] = field(default_factory=dict)  #: identity and parameters
    keys: set[str] = field(default_factory=set)


def _check_shard(path: Path, block: Block, described: Description | None, findings: Findings) -> None:
    shard = _Shard(path, block, described)
    try:
        for key, members in groupby(members_of(path), lambda member: member[0].partition(".")[0]):
            _check_picture(shard, key, list(members), findings)
    except DAMAGE as error:
        last = f" after {max(shard.keys)}" if shard.keys else ""
        findings.damaged(path, f"can't be read{last} ({said(error)})")
    if described is not None:
        wanted = block.keys(described.settings.images_per_person)
        if lacking := [key for key in wanted if key not in shard.keys]:
            named = ", ".join(lacking[:NAMED]) + (" ..." if len(lacking) > NAMED else "")
            findings.damaged(path, f"lacks {len(lacking)} of {number_of(len(wanted), 'picture')}: {named}")
    findings.shards += 1
    findings.size += path.stat().st_size
    findings.pictures += len(shard.keys)
    findings.people += len(shard.people)
    findings.advance()


def _check_picture(shard: _Shard, key: str, members: list[tuple[str, bytes]], findings: Findings) -> None:
    """All members of one key, as they lie side by side in the shard."""
    if problem := _problem_of_key(shard, key):
        findings.damaged(f"{shard.path}: {key}", problem)
        return
    content: dict[str, bytes] = {}
    for name, data in members:
        suffix = name.partition(".")[2]
        if suffix in content or key in shard.keys:
            findings.damaged(f"{shard.path}: {name}", "is there twice")
        elif suffix not in SUFFIXES:
            findings.damaged(f"{shard.path}: {name}", "does not belong here")
        content.setdefault(suffix, data)
    if key in shard.keys:
        return
    shard.keys.add(key)
    for suffix in SUFFIXES:
        if suffix not in content:
            findings.damaged(f"{shard.path}: {key}.{suffix}", "is missing")
    labels = _check_labels(shard, key, content["json"], findings) if "json" in content else {}
    size = shard.described.settings.size if shard.described else labels.get("size")
    for suffix, problems_of_png in (("png", problems_of_picture), ("seg.png", problems_of_classes)):
        for problem in problems_of_png(content[suffix], size, findings.fast) if suffix in content else ():
            findings.damaged(f"{shard.path}: {key}.{suffix}", problem)


def _problem_of_key(shard: _Shard, key: str) -> str:
    """Why a picture of this name can't be in a shard; empty when it can."""
    found = re.fullmatch(r"(\d{7})_(\d{4,})", key)
    first, last = shard.block.first, shard.block.first + shard.block.people - 1
    if not found:
        return "is no picture's name"
    if not first <= int(found[1]) <= last:
        return f"is of a person outside of the shard's, {first} to {last}"
    if shard.described and int(found[2]) >= (images := shard.described.settings.images_per_person):
        return f"is one more than the {images} pictures of a person"
    return ""


def _check_labels(shard: _Shard, key: str, content: bytes, findings: Findings) -> dict[str, Any]:
    """Report what is wrong with a picture's labels; returns them, empty when they can't be read."""
    where = f"{shard.path}: {key}.json"
    try:
        labels = parse_labels(content)
    except ValueError as error:
        findings.damaged(where, f"can't be read ({said(error)})")
        return {}
    for problem in (*problems_of(labels, findings.reference), *_problems_of_place(shard, key, labels)):
        findings.damaged(where, problem)
    person, face = int(key.split("_")[0]), labels.get("identity")
    if not isinstance(face, list):
        return labels
    if shard.people.setdefault(person, (face, labels.get("person"))) != (face, labels.get("person")):
        findings.damaged(where, f"identity or parameters differ from the first picture of person {person}")
    digest = hashlib.blake2b(repr(face).encode(), digest_size=12).digest()
    if (other := findings.faces.setdefault(digest, person)) != person:
        findings.damaged(where, f"person {person} has the face of person {other}")
    return labels


def _problems_of_place(shard: _Shard, key: str, labels: dict[str, Any]) -> Iterator[str]:
    """What contradicts the picture's name, its shard or ``dataset.json``."""
    person, index = (int(number) for number in key.split("_"))
    expected: dict[str, object] = {"person_id": person, "index": index, "split": split_of(person)}
    if shard.described:
        settings = shard.described.settings
        expected |= {"split": settings.split, "seed": settings.seed, "preset": settings.preset, "size": settings.size}
    for name, value in expected.items():
        if name in labels and labels[name] != value:
            yield f"{name} is {labels[name]!r}, not {value!r}"
