"""The head model for anyone: ICT-FaceKit from its authors, at one commit, converted into the user's cache."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from facesnap.core.errors import InputError, OutputError, one_line
from facesnap.core.images import write_atomic
from facesnap.world.facekit.checkout import COMMIT, REPOSITORY, commit_of, download
from facesnap.world.facekit.convert import NOTES, Model, checksum, convert
from facesnap.world.facekit.layout import LIGHT, Layout

#: The model that FaceSnap's world was made with. The neutral mesh is the file whose SHA-256 begins with eedbc2576d8e.
TOPOLOGY: Final = (
    *("tri", "tri_uv", "tri_material", "material_names", "quad", "expression_names"),
    *("part_names", "part_range", "landmarks68", "jaw_right17", "jaw_left17"),
)
KNOWN: Final = {
    "topology": (TOPOLOGY, "14c990ae70c6a547161c312c1b73b553f6f42230ab3bb7c064dd2147809a7f40"),
    "neutral head": (("mean", "uv"), "74e292be9c2bff27f34390f56b2953a433409cc3e3c1d84ec4bb514135bbe3a8"),
}
#: Mean absolute offset in cm. Offsets are rounded to f16, which need not be done alike everywhere: no checksum.
MEAN_OFFSETS: Final = {"identity": 0.0118127, "expression": 0.0256179, "pupil": 0.00152485}
TOLERANCE: Final = 1e-3

Step = Callable[[], None]
#: Shows how far work has come: what is done and in how many steps -> a context that yields what to call after each.
Progress = Callable[[str, int], AbstractContextManager[Step]]


@contextmanager
def unseen(what: str, total: int) -> Iterator[Step]:
    """A :data:`Progress` that shows nothing."""
    yield lambda: None


def fetch_model(
    target: Path,
    checkout: Path | None = None,
    *,
    repository: str = REPOSITORY,
    commit: str = COMMIT,
    layout: Layout = LIGHT,
    progress: Progress = unseen,
) -> Model:
    """Get ICT-FaceKit, convert it and write it to ``target``, all at once.

    Args:
        target: the ``.npz`` to write.
        checkout: a checkout on this disk to convert; without it the commit is downloaded into a temporary folder
            (0.6 GB for the while; ``TMPDIR`` says where).
        repository: URL to fetch from.
        commit: full name of the commit.
        layout: what the checkout must consist of.
        progress: shows how far it has come.

    Raises:
        InputError: git or the network is absent, the commit can't be had, or a file is missing or damaged.
        OutputError: the model can't be written; nothing partial is left.
    """
    if checkout is not None:
        model = _convert(checkout, layout, progress)
        found = commit_of(checkout)
        origin = f"commit {found}" if found else "a copy whose commit is unknown"
    else:
        with _temporary_folder() as folder:
            with progress("getting ICT-FaceKit", 100) as step:
                download(folder, repository, commit, step)
            model = _convert(folder, layout, progress)
        origin = f"commit {commit}"
    note = f"ICT-FaceKit light (USC ICT Vision and Graphics Lab), MIT licence; {REPOSITORY}, {origin}"
    model["source"] = np.array(note)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **model)  # type: ignore[arg-type]
    write_atomic(target, buffer.getvalue())
    return model


def read_model(path: Path) -> Model:
    """A converted model as it lies on disk.

    Raises:
        InputError: the file is not one.
    """
    try:
        with np.load(path) as data:
            model = {name: data[name] for name in data.files}
    except Exception as error:  # numpy's, zipfile's and zlib's: whatever the bytes made them stumble on
        raise InputError(f"{path} is not a converted head model, or damaged: --force makes it anew") from error
    if {*TOPOLOGY, *MEAN_OFFSETS, *NOTES, "mean", "uv"} - set(model):
        raise InputError(f"{path} is not a converted head model: --force makes it anew")
    return model


def describe(model: Model) -> str:
    """A model's origin, licence and checksum, and whether it is the one we know; for people, three lines."""
    licence = [line.strip() for line in str(model["licence"]).splitlines() if line.strip()]
    owner = next((line for line in licence if line.lower().startswith("copyright")), "no copyright line")
    others = differences(model)
    verdict = f"differs from what FaceSnap knows in: {', '.join(others)}" if others else "as FaceSnap knows it"
    return (
        f"{model['source']}\n"
        f"licence: {licence[0] if licence else 'unknown'}, {owner}; its text is the entry 'licence' of the file\n"
        f"SHA-256 of the arrays: {checksum(model)}; {verdict}"
    )


def differences(model: Model) -> list[str]:
    """In what a model is not the one FaceSnap's world was made with; nothing for ICT-FaceKit light."""
    found = [name for name, (keys, known) in KNOWN.items() if checksum(model, keys) != known]
    for key, known in MEAN_OFFSETS.items():
        size = float(np.abs(model[key]).mean(dtype=np.float64)) if model[key].size else 0.0
        if abs(size - known) > TOLERANCE * known:
            found.append(f"{key} offsets")
    return found


def _convert(checkout: Path, layout: Layout, progress: Progress) -> Model:
    with progress("converting", 1 + len(layout.shapes)) as step:
        return convert(checkout, layout, step)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="facesnap-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"can't make a temporary folder: {one_line(error)}; set TMPDIR") from error
    with folder as name:
        yield Path(name)
