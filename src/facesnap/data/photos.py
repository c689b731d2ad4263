"""Where photographs come from: folders, lists of files, webdataset tars; with what is said of each beside it.

A :class:`Photo` says where its bytes lie and holds none of them: photographs are listed in one process, a few numbers
each, and read in others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import ImageError, InputError, UsageError, one_line
from facesnap.core.images import decode_image
from facesnap.data.layout import CONSENTS

#: Endings of the files that are looked at, in folders and tars.
ENDINGS: Final = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff")
#: A sidecar larger than this is not one.
SIDECAR_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Photo:
    """One photograph, not yet read.

    Attributes:
        key: unique in its source, and what reports call it: a path below the source, or a member of a tar.
        file: the file its bytes lie in, ``offset`` and ``size`` where (-1: all of it).
        stamp: changes when the file does.
        person: their name, if anybody said; empty otherwise.
        captions: what was said of the picture, perhaps nothing. ``licence``, ``consent``: the same of those.
        problem: why it can't be used, as far as that is known already.
    """

    key: str
    file: str
    offset: int = 0
    size: int = -1
    stamp: int = 0
    person: str = ""
    captions: tuple[str, ...] = ()
    licence: str = ""
    consent: str = "unknown"
    problem: str = ""

    def read(self) -> bytes:
        """Its bytes. ImageError if they can't be read."""
        try:
            with open(self.file, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except (OSError, ValueError) as error:
            raise ImageError(f"can't be read: {one_line(error)}") from error


@dataclass(frozen=True)
class Words:
    """What holds for all photos of a source that say nothing else.

    ``folders``: whether the first folder below the source names the person.
    """

    licence: str = ""
    consent: str = "unknown"
    folders: bool = False


def digest(photos: list[Photo]) -> str:
    """16 hex digits that stand for a list of photos, what is said of them, and the state of their files."""
    return hashlib.sha256(json.dumps([astuple(photo) for photo in photos]).encode()).hexdigest()[:16]


def decoded(content: bytes) -> np.ndarray:
    """The bytes of a photograph as RGB uint8 (H, W, 3).

    Raises:
        ImageError: they are no picture, damaged, or over 100 megapixels.
    """
    try:
        return decode_image(content, "it")
    except ImageError as error:  # reports name the photo themselves
        why = str(error).removeprefix("it").lstrip(": ").removeprefix("is ")
        raise ImageError(why.removesuffix(": use a JPEG, PNG or WebP file")) from error


def photos_of(source: str | Path, words: Words) -> Iterator[Photo]:
    """The photographs of a source, in an order that depends on names alone.

    Args:
        source: a folder (searched to its bottom; tars in it count as webdatasets), a tar, or a text file with one path
            per line (optionally a tab and a caption, another tab and a person), relative to that file.
        words: what holds for all.

    Raises:
        InputError: there is no such source, a list that can't be read, or a tar that is damaged.
    """
    source = Path(source)
    if source.is_dir():
        found = _of_folder(source, source, words)
    elif source.suffix == ".tar":
        found = _of_tar(source, "", words)
    elif source.is_file():
        found = _of_list(source, words)
    else:
        raise InputError(f"no such folder, list or tar: {source}")
    return found


def _of_folder(folder: Path, root: Path, words: Words) -> Iterator[Photo]:
    """Files of a folder by name, then its folders; hidden ones and links to folders (which could go round) are not."""
    try:
        entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise InputError(f"{folder} can't be read: {one_line(error)}") from error
    names = {entry.name for entry in entries}
    for entry in entries:
        if entry.is_dir():
            continue
        key = entry.relative_to(root).as_posix()
        if entry.suffix.lower() in ENDINGS:
            yield _of_file(entry, key, names, _at_home(words, key))
        elif entry.suffix == ".tar":
            yield from _of_tar(entry, f"{key}:", words)
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _of_folder(entry, root, words)


def _at_home(words: Words, key: str) -> Photo:
    """A photo of which its source's words and its folder's name are known."""
    folder, _, rest = key.partition("/")
    return Photo(key, "", person=folder if words.folders and rest else "", licence=words.licence, consent=words.consent)


def _of_file(path: Path, key: str, names: set[str] | None, known: Photo) -> Photo:
    """A photo in a file of its own, with its sidecars; ``names``: what else lies in its folder, if that is known."""
    try:
        status = path.stat()
    except OSError as error:
        return replace(known, key=key, file=str(path), problem=f"can't be read: {one_line(error)}")
    photo = replace(known, key=key, file=str(path), stamp=hash((status.st_mtime_ns, status.st_size)))
    beside = {ending: path.with_suffix(ending) for ending in (".txt", ".json")}
    sidecars = {}
    for ending, file in beside.items():
        if file.name in names if names is not None else file.is_file():
            try:
                sidecars[ending] = _small(file)
            except (OSError, ValueError) as error:
                return replace(photo, problem=f"its sidecar {file.name} can't be read: {one_line(error)}")
    return _said(photo, sidecars)


def _small(file: Path) -> bytes:
    with open(file, "rb") as opened:
        content = opened.read(SIDECAR_BYTES + 1)
    if len(content) > SIDECAR_BYTES:
        raise ValueError("it is too large")
    return content


def _said(photo: Photo, sidecars: Mapping[str, bytes]) -> Photo:
    """The photo with what its sidecars say: a caption as text, or an object of caption or captions, person (or
    person_id, as renders have it), licence, consent; whatever else it has means nothing here.
    """
    try:
        if ".txt" in sidecars:
            photo = replace(photo, captions=_texts(sidecars[".txt"].decode()))
        if ".json" in sidecars:
            said = json.loads(sidecars[".json"])
            if not isinstance(said, dict):
                raise ValueError("it holds no JSON object")
            if "person_id" in said and not isinstance(said.get("person"), str | int):
                said["person"] = said["person_id"]
            words = {name: _text(name, said[name]) for name in _NAMES if said.get(name) is not None}
            captions = said.get("captions") or said.get("caption") or ()
            several = captions if isinstance(captions, list) else [captions] if captions else []
            texts = _texts(*(_text("caption", each) for each in several)) or photo.captions
            photo = replace(photo, captions=texts, **words)  # type: ignore[arg-type]  # none of them is a number
    except ValueError as error:
        return replace(photo, problem=f"its sidecar can't be used: {one_line(error)}")
    if photo.consent not in CONSENTS:
        return replace(photo, problem=f"its sidecar says consent {photo.consent!r}, not {', '.join(CONSENTS)}")
    return photo


_NAMES: Final = ("person", "licence", "consent")


def _texts(*captions: str) -> tuple[str, ...]:
    """Captions on one line each, without empty ones."""
    lines = (" ".join(caption.split()) for caption in captions)
    return tuple(line for line in lines if line)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) and name == "consent":
        return "yes" if value else "no"
    if not isinstance(value, str | int):
        raise ValueError(f"{name} is no text")
    return " ".join(str(value).split())


def _of_tar(path: Path, prefix: str, words: Words) -> Iterator[Photo]:
    """The pictures of a webdataset tar with their ``txt`` and ``json``; only headers and sidecars are read.

    A damaged tar gives what lies before the damage, and one photo more, whose problem says so.
    """
    import tarfile

    name, stamp = "", 0
    pictures: list[Photo] = []
    sidecars: dict[str, bytes] = {}
    try:
        stamp = path.stat().st_mtime_ns
        with tarfile.open(path, "r:") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                stem, ending = _split_name(member.name)
                if stem != name:
                    yield from (_said(photo, sidecars) for photo in pictures)
                    name, pictures, sidecars = stem, [], {}
                if not member.isfile():
                    continue
                if ending in ENDINGS:
                    known = replace(_at_home(words, member.name), key=prefix + member.name, file=str(path))
                    pictures.append(replace(known, offset=member.offset_data, size=member.size, stamp=stamp))
                elif ending in (".txt", ".json") and member.size <= SIDECAR_BYTES:
                    opened = tar.extractfile(member)
                    sidecars[ending] = opened.read() if opened else b""
        yield from (_said(photo, sidecars) for photo in pictures)
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        yield from (_said(photo, sidecars) for photo in pictures)
        key = prefix.removesuffix(":") or path.name
        yield Photo(key, str(path), stamp=stamp, problem=f"the tar is damaged: {one_line(error)}")


def _split_name(name: str) -> tuple[str, str]:
    """A member's name up to its first dot, as webdataset sees it, and its ending."""
    folder, slash, file = name.rpartition("/")
    stem, dot, ending = file.partition(".")
    return folder + slash + stem, (dot + ending).lower()


def _of_list(path: Path, words: Words) -> Iterator[Photo]:
    seen: set[bytes] = set()
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                name, *said = (part.strip() for part in line.rstrip("\n").split("\t"))
                if not name or name.startswith("#"):
                    continue
                if len(said) > 2:
                    raise UsageError(f"{path}, line {number}: write a path, a tab and a caption, a tab and a person")
                mark = hashlib.blake2b(name.encode(), digest_size=8).digest()
                if mark in seen:
                    continue  # a file that is named twice is one photo
                seen.add(mark)
                photo = _of_file(path.parent / name, name, None, _at_home(words, name))
                caption, person = (*said, "", "")[:2]
                captions = _texts(caption) or photo.captions
                yield replace(photo, captions=captions, person=person or photo.person)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list {path} can't be read: {one_line(error)}") from error
