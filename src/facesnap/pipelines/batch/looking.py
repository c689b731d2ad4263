"""What a worker sees in files: people and driving poses, each looked at once."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from facesnap.core.errors import FaceSnapError, InputError
from facesnap.core.identity import Identity
from facesnap.core.images import decode_image
from facesnap.core.pose import Pose

if TYPE_CHECKING:
    from facesnap.pipelines.facade import FaceSnap

#: Print -> a file's name and its content, or why there is none.
Files = Mapping[str, tuple[str, bytes | str]]

Found = TypeVar("Found")

#: People and poses that a worker remembers; jobs come in their order, so that few are needed at a time.
REMEMBERED: Final = 256


class Looker:
    """Knows people and poses by the prints of their files."""

    def __init__(self, snap: FaceSnap) -> None:
        self.snap = snap
        self._people, self._poses = _Memory(), _Memory()

    def person(self, prints: tuple[str, ...], known: bool, files: Files) -> Identity:
        """Whom photos show, or (``known``) an identity file holds. InputError names the files."""

        def look() -> Identity:
            if known:
                return _identity(*_content(files[prints[0]]))
            named = [_content(files[each]) for each in prints]
            photos: list[Any] = [decode_image(content, name) for name, content in named]
            return _naming([name for name, _ in named], lambda: self.snap.enroll(photos))

        return self._people.get((prints, known), look)

    def pose(self, asked: Pose | str | None, files: Files) -> Pose | None:
        """A pose as it is, or that of the driving photo with a print. InputError names the file."""
        if not isinstance(asked, str):
            return asked
        name, content = _content(files[asked])

        def look() -> Pose:
            photo = decode_image(content, name)
            return _naming([name], lambda: self.snap.analyser.pose_from(photo))

        return self._poses.get(asked, look)


class _Memory:
    """What was found last, errors of ours included."""

    def __init__(self) -> None:
        self._found: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, find: Callable[[], Found]) -> Found:
        """What ``find`` finds, or found before."""
        if key not in self._found:
            try:
                self._found[key] = find()
            except FaceSnapError as error:
                self._found[key] = type(error)(*error.args)  # without a traceback, which holds photos
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        self._found.move_to_end(key)
        found: Found | FaceSnapError = self._found[key]
        if isinstance(found, FaceSnapError):
            raise type(found)(*found.args)
        return found


def _content(file: tuple[str, bytes | str]) -> tuple[str, bytes]:
    name, content = file
    if isinstance(content, str):
        raise InputError(f"{name} {content}")
    return name, content


def _identity(name: str, content: bytes) -> Identity:
    """Of an identity file's bytes: the format is read from files alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity"
        path.write_bytes(content)
        try:
            return Identity.load(path)
        except InputError as error:
            raise type(error)(str(error).replace(str(path), name)) from error


def _naming(names: Sequence[str], look: Callable[[], Found]) -> Found:
    """What is looked for; an error names the files."""
    try:
        return look()
    except InputError as error:
        raise type(error)(f"{', '.join(names)}: {error}") from error
