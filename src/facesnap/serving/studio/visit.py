"""What the studio remembers of one tab; another tab, or another person, has its own."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesnap.core.errors import FaceSnapError
from facesnap.serving.requests import CameraRequest, GenerationRequest
from facesnap.serving.service import Service

Box = tuple[float, float, float, float]

#: File -> how many visits hold it.
_HELD: Counter[str] = Counter()
_LOCK = threading.Lock()


@dataclass
class Shot:
    """A picture of this visit. ``path``: PNG with its metadata, among Gradio's files; ``size``: (width, height);
    ``job``: that made it.
    """

    path: str
    size: tuple[int, int]
    seed: int
    request: GenerationRequest
    report: dict[str, Any] | None
    model: str
    job: str


@dataclass
class Visit:
    """One tab's state, changed in place by the events of that tab.

    Attributes:
        key: the tab's own secret, which it still knows after it was loaded anew; empty as long as it hasn't said it.
        client: whose its identities and jobs are: the queue is fair between tabs, also behind one address.
        photos: files of the person's photos.
        faces: file -> boxes found on it, the largest first.
        chosen: file -> which of its faces is the person, from 0; the largest where nothing was chosen.
        identity: id of the person; empty as long as there is none.
        turn: raised whenever the person is forgotten, so that an enrolment which was under way is, too.
        announced: the identity that the status line spoke of last.
        trouble: what is wrong with the photos, as long as they stay.
        name: what to call them.
        made_from: photos, chosen faces and model of that identity; None if it came from a file, or the page was loaded
            anew since.
        came_back: whether it was.
        identity_file: for download.
        weights: of the expression, all of them.
        camera: framing taken from a driving photo.
        job: id of the unfinished one.
        shots: pictures, the newest first.
        selected: which of them is looked at.
    """

    key: str = ""
    client: str = "studio"
    photos: tuple[str, ...] = ()
    faces: dict[str, list[Box]] = field(default_factory=dict)
    chosen: dict[str, int] = field(default_factory=dict)
    identity: str = ""
    turn: int = 0
    announced: str = ""
    trouble: str = ""
    name: str = ""
    made_from: tuple[object, ...] | None = None
    came_back: bool = False
    identity_file: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    camera: CameraRequest | None = None
    job: str = ""
    shots: list[Shot] = field(default_factory=list)
    selected: int = 0

    @property
    def shot(self) -> Shot | None:
        """The picture that is looked at."""
        return self.shots[self.selected] if self.selected < len(self.shots) else None

    def drop_identity(self, service: Service) -> None:
        """Forget the person on the server; the photos stay."""
        self.turn += 1
        if self.identity:
            with contextlib.suppress(FaceSnapError):  # it may have expired
                service.delete_identity(self.identity)
        remove([self.identity_file])
        self.identity = self.name = self.identity_file = ""
        self.made_from, self.came_back = None, False

    def forget(self, service: Service) -> None:
        """Forget the person and delete their photos."""
        self.drop_identity(service)
        self.trouble = ""
        remove(self.photos)
        self.photos, self.faces, self.chosen = (), {}, {}

    def leave(self) -> None:
        """Give up this visit's files; what the service keeps of it stays."""
        remove([*self.photos, self.identity_file, *(shot.path for shot in self.shots)])
        self.photos, self.identity_file, self.shots = (), "", []


def hold(paths: Iterable[str]) -> None:
    """Say that a visit needs files. Gradio names files by their content, so that two visits may share one."""
    with _LOCK:
        _HELD.update(paths)


def remove(paths: Iterable[str]) -> None:
    """Delete files that no other visit holds; those that aren't there any more are no matter."""
    with _LOCK:
        for path in filter(None, paths):
            _HELD[path] -= 1
            if _HELD[path] <= 0:
                del _HELD[path]
                with contextlib.suppress(OSError):
                    Path(path).unlink(missing_ok=True)
