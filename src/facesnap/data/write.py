"""Pass 3: shards, person by person. Photos are read once more, cropped, resized; their features come from the parts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError, OutputError, one_line
from facesnap.core.images import similarity_crop, write_atomic
from facesnap.core.types import Camera
from facesnap.data.captions import Captioner, captions_for
from facesnap.data.decide import Shard
from facesnap.data.layout import Example, encode, key_of, picture_bytes, shard_name
from facesnap.data.parts import PARTS, Arrays, Record, open_part, part_path
from facesnap.data.photos import Photo, decoded
from facesnap.data.shards import write_shard

#: What the sample's "scores" keep of a record's.
SCORES: Final = ("face", "score", "sharpness", "watermark", "enlarge", "confidence")


@dataclass(frozen=True)
class ShardJob:
    """A shard to write, and what it depends on."""

    shard: Shard
    stamp: str


@dataclass(frozen=True)
class Written:
    """What became of a shard; ``licences``: text -> photos."""

    split: str
    number: int
    photos: int
    licences: dict[str, int]


@dataclass(frozen=True)
class Write:
    """Pass 3 as a worker starts it. ``captioner``: a folder or hub id, or empty."""

    folder: Path
    size: int
    suffix: str = "jpg"
    captioner: str = ""

    def start(self, device: str) -> Callable[[ShardJob], Written]:
        """Load the captioner; what is returned writes one shard."""
        captioner = Captioner.from_pretrained(self.captioner, device) if self.captioner else None

        def work(job: ShardJob) -> Written:
            shard = job.shard
            licences: Counter[str] = Counter()

            def samples() -> Iterator[tuple[str, dict[str, bytes]]]:
                for example in self._examples(shard, captioner):
                    licences[example.licence] += 1
                    yield example.key, encode(example)

            path = self.folder / shard_name(shard.split, shard.number)
            photos = write_shard(path, samples())
            written = Written(shard.split, shard.number, photos, dict(sorted(licences.items())))
            note = {"of": job.stamp, "bytes": path.stat().st_size, "photos": photos, "licences": written.licences}
            write_atomic(note_path(self.folder, shard), f"{json.dumps(note)}\n".encode())
            return written

        return work

    def _examples(self, shard: Shard, captioner: Captioner | None) -> Iterator[Example]:
        for part_number, row, person, index in shard.photos:
            part = open_part(part_path(self.folder, part_number))
            record = part.kept[row]
            yield self._example(record, part.row(row), key_of(person, index), shard.people[person], captioner)

    def _example(self, record: Record, arrays: Arrays, key: str, person: str, captioner: Captioner | None) -> Example:
        left, top, side = (float(value) for value in arrays["square"])
        zoom = self.size / side
        matrix = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
        picture = similarity_crop(_read(record), matrix, self.size)
        scale, cx, cy, inverse_distance = (float(value) for value in arrays["camera"])
        return Example(
            key=key,
            picture=picture_bytes(picture, self.suffix),
            person=person,
            captions=captions_for(record["captions"], record["sha256"], picture, captioner),
            landmarks=zoom * (arrays["landmarks"] - [left, top]),
            points5=zoom * (arrays["points5"] - [left, top]),
            pose=arrays["pose"],
            camera=Camera(zoom * scale, zoom * (cx - left), zoom * (cy - top), inverse_distance),
            expression=arrays["expression"],
            f_id=arrays["f_id"],
            f_clip=arrays["f_clip"],
            shape=arrays["shape"],
            source=record["key"],
            licence=record["licence"],
            consent=record["consent"],
            scores={name: record["scores"][name] for name in SCORES if name in record["scores"]},
        )


def _read(record: Record) -> np.ndarray:
    """The photograph of a record, once more.

    Raises:
        InputError: it can't be read any more, or isn't the same.
    """
    try:
        content = Photo(record["key"], record["file"], record["offset"], record["size"]).read()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise InputError("another file")
        return decoded(content)
    except InputError as error:
        raise InputError(f"{record['key']} has changed since it was examined ({error}): run again") from error


def note_path(folder: Path, shard: Shard) -> Path:
    """Where it is noted what a finished shard was made of."""
    return folder / PARTS / f"written-{shard.split}-{shard.number:06d}.json"


def finished(folder: Path, job: ShardJob) -> Written | None:
    """What is known of a shard that is there and made of the same things; None if it is to be written."""
    try:
        note: dict[str, Any] = json.loads(note_path(folder, job.shard).read_bytes())
        size = (folder / shard_name(job.shard.split, job.shard.number)).stat().st_size
        if note["of"] != job.stamp or note["bytes"] != size:
            return None
        return Written(job.shard.split, job.shard.number, note["photos"], note["licences"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear_others(folder: Path, shards: list[Shard]) -> None:
    """Take away shards, and notes of them, that an earlier run wrote and this one has no use for.

    Raises:
        OutputError: one can't be deleted.
    """
    wanted = {folder / shard_name(shard.split, shard.number) for shard in shards}
    notes = {note_path(folder, shard) for shard in shards}
    try:
        for path in (folder / PARTS).glob("written-*.json"):
            if path not in notes:
                split, _, number = path.stem.removeprefix("written-").rpartition("-")
                shard = folder / shard_name(split, int(number))
                if shard not in wanted:
                    shard.unlink(missing_ok=True)
                path.unlink()
    except OSError as error:
        raise OutputError(f"can't delete old shards in {folder}: {one_line(error)}") from error
