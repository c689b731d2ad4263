"""Who is in a picture: the options that say so, and the people they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facesnap.cli import options
from facesnap.core.errors import UsageError

if TYPE_CHECKING:
    from facesnap.core.identity import Identity
    from facesnap.pipelines.call.subjects import Subject
    from facesnap.pipelines.facade import FaceSnap

    Box = tuple[int, int, int, int]

_SUFFIX = ".safetensors"


@dataclass
class Who:
    """One person from photos or an identity file, or several people with a place each."""

    reference: Annotated[
        list[Path] | None, typer.Option("--reference", "-r", help="A photo of the person; several times for several.")
    ] = None
    identity: Annotated[
        Path | None, typer.Option("--identity", help="An identity file made by `facesnap enroll`, instead of a photo.")
    ] = None
    person: Annotated[
        list[str] | None,
        typer.Option(
            "--person",
            metavar="FILE@LEFT,TOP,RIGHT,BOTTOM",
            help="For several people, once for each: a photo or identity file, and where in the picture, in pixels.",
        ),
    ] = None
    face: options.Face = None

    def check(self) -> None:
        """Read all that can be read without a model.

        Raises:
            UsageError: none or two of the ways to say who, a place that is none, or a face number without a photo.
            InputError: a photo or an identity file that can't be used.
        """
        if sum((bool(self.reference), self.identity is not None, bool(self.person))) != 1:
            raise UsageError("give either --reference PHOTO, --identity FILE, or --person FILE@LEFT,TOP,RIGHT,BOTTOM")
        if not self.reference and self.face is not None:
            raise UsageError("--face chooses a face on a photo: it goes with --reference")
        self._placed = [_parse(words) for words in self.person or []]

    def read(self) -> None:
        """Read photos and identity files once, before any model is loaded. Raises InputError."""
        files = [file for file, _ in self._placed] or ([self.identity] if self.identity else [])
        self._known: dict[Path, Identity] = {file: _load(file) for file in files if _is_file_of_identity(self, file)}
        options.check_photos(*(self.reference or []), *(file for file in files if file not in self._known))

    def meet(self, snap: FaceSnap, pose: Any) -> tuple[Identity | list[Subject], Any]:
        """What a call takes as ``identity`` and ``pose``; several people have the pose each.

        Raises:
            InputError: a photo without a face that can be used. UsageError: a place that is too small.
        """
        if self.reference:
            return snap.enroll(list(self.reference), self.face), pose
        if self.identity is not None:
            return self._known[self.identity], pose
        from facesnap.pipelines.call.subjects import Subject

        known = {file: self._known.get(file) or snap.enroll(file) for file, _ in self._placed}
        return [Subject(known[file], pose, box) for file, box in self._placed], None


def _is_file_of_identity(who: Who, file: Path) -> bool:
    return file == who.identity or file.suffix == _SUFFIX


def _load(file: Path) -> Identity:
    from facesnap.core.identity import Identity

    return Identity.load(file)


def _parse(words: str) -> tuple[Path, Box]:
    file, at, numbers = words.rpartition("@")
    try:
        left, top, right, bottom = (int(number) for number in numbers.split(","))
    except ValueError:
        at = ""
    if not at or not file or right <= left or bottom <= top:
        raise UsageError(f"--person {words}: write FILE@LEFT,TOP,RIGHT,BOTTOM in pixels, such as me.jpg@0,0,256,256")
    return Path(file), (left, top, right, bottom)
