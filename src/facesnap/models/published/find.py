"""From a path to the published adapter that lies there."""

from __future__ import annotations

from pathlib import Path

from facesnap.core.errors import AdapterError
from facesnap.models.checkpoint import CONFIG_NAME
from facesnap.models.published.adapter import PublishedAdapter
from facesnap.models.published.faceid import FaceID
from facesnap.models.published.instantid import IDENTITY_NET, InstantID
from facesnap.models.published.layout import FACEID_PLUS, FACEID_PLUSV2, INSTANTID, Layout, recognise
from facesnap.models.published.reading import SUFFIXES, read_state


def read_published(path: str | Path, shortcut: bool | None = None) -> PublishedAdapter | None:
    """Read a published adapter, whatever kind it is.

    Args:
        path: a ``.bin`` or ``.safetensors`` file, or a folder that holds one; for InstantID with ``ControlNetModel/``.
        shortcut: True for FaceID-PlusV2, False for FaceID-Plus: their tensors are alike. None goes by the file's name,
            and by the base: for SDXL there is PlusV2 only.

    Returns:
        None for a folder that holds no such file (an adapter of FaceSnap's own, for example).

    Raises:
        AdapterError: a file that isn't a supported adapter, is cut off, or would run code; several in one folder.
    """
    file = find_file(Path(path).expanduser())
    if file is None:
        return None
    state = read_state(file)
    layout = recognise(state, file)
    if layout.kind == INSTANTID:
        return InstantID(file, layout, state)
    return FaceID(file, layout, _kind(layout, file, shortcut), state)


def find_file(path: Path) -> Path | None:
    """The published file that a path stands for, told by names alone; None for a folder without one.

    Raises:
        AdapterError: nothing there, a file of another type, several adapters, or an IdentityNet alone.
    """
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise AdapterError(f"{path} is no adapter: give a folder, a .safetensors or a .bin file")
        return path
    if not path.is_dir():
        raise AdapterError(f"no adapter at {path}")
    if (path / CONFIG_NAME).is_file():
        return None
    found = sorted(f for f in path.iterdir() if is_published_name(f.name))
    adapters = {f.stem: f for f in found}  # .safetensors comes last, and is kept
    if len(adapters) > 1:
        raise AdapterError(f"{path} holds {len(adapters)} adapters, give one of them: {', '.join(sorted(adapters))}")
    if not adapters and (path / IDENTITY_NET).is_dir():
        raise AdapterError(f"{path} holds InstantID's {IDENTITY_NET} alone: put its ip-adapter.bin beside it")
    return next(iter(adapters.values()), None)


def is_published_name(name: str) -> bool:
    """Whether the projects call an adapter so; FaceID's LoRA alone isn't one."""
    stem, dot, ending = name.rpartition(".")
    return name.startswith("ip-adapter") and f"{dot}{ending}" in SUFFIXES and not stem.endswith("_lora")


def _kind(layout: Layout, file: Path, shortcut: bool | None) -> str:
    """FaceID's kind: Plus and PlusV2 differ in nothing but whether the tokens of f_id are added again."""
    if layout.kind != FACEID_PLUS:
        return layout.kind
    if shortcut is None:
        name = file.stem.lower()
        shortcut = True if "plusv2" in name or layout.family == "sdxl" else False if "plus" in name else None
    if shortcut is None:
        raise AdapterError(
            f"{file} may be FaceID-Plus or FaceID-PlusV2, which have equal tensors: keep the published name, with"
            " plus or plusv2 in it"
        )
    return FACEID_PLUSV2 if shortcut else FACEID_PLUS
