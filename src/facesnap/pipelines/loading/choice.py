"""A model by names alone: what is loaded in one process, or the same in many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesnap.core.weights import find_local, mini_folder, sha256_12

if TYPE_CHECKING:
    from facesnap.pipelines.facade import FaceSnap


@dataclass(frozen=True)
class ModelChoice:
    """What :meth:`FaceSnap.from_pretrained` takes, but the device, and what is set on the pipeline afterwards.

    Attributes:
        base: see ``from_pretrained``, as everything down to ``offload``.
        loras: files and their weights.
        scheduler: diffusers' name of another one; None is the base's own.
    """

    base: str = "mini"
    adapter: str | None = None
    dtype: str = "auto"
    base_config: str | None = None
    controlnets: tuple[str, ...] = ()
    face_encoder: str | None = None
    image_encoder: str | None = None
    offload: str = "none"
    loras: tuple[tuple[str, float], ...] = ()
    scheduler: str | None = None

    def load(self, device: str = "auto") -> FaceSnap:
        """The model, with all that is set on it.

        Raises:
            AdapterError: a LoRA or scheduler doesn't fit it. And what ``from_pretrained`` raises.
        """
        from facesnap.pipelines.facade import FaceSnap

        given = {name: getattr(self, name) for name in _LOADED}
        snap = FaceSnap.from_pretrained(device=device, **given)
        if self.loras or self.scheduler is not None:
            from facesnap.pipelines.loading.customise import add_loras, find_scheduler, set_scheduler

            add_loras(snap.pipeline, [(Path(file), weight) for file, weight in self.loras])
            if self.scheduler is not None:
                set_scheduler(snap.pipeline, find_scheduler(self.scheduler))
        return snap

    def absolute(self) -> ModelChoice:
        """The same from any working folder: names that are paths here become absolute."""
        named: dict[str, Any] = {name: _absolute(getattr(self, name)) for name in _LOADED if name not in _WORDS}
        loras = tuple((str(_absolute(file)), weight) for file, weight in self.loras)
        return replace(self, **{**named, "controlnets": tuple(map(_absolute, self.controlnets)), "loras": loras})

    def stamp(self) -> Mapping[str, Any]:
        """What pictures depend on, as plain values: hashes of weights that lie here, names of what comes from a hub.

        Raises:
            AdapterError: nothing lies there.
        """
        mini = mini_folder()
        return {
            "base": _hash(str(mini / "base") if self.base == "mini" else self.base, "base model"),
            "adapter": _hash(self.adapter or str(mini / "adapter"), "adapter"),
            "face_encoder": _hash(self.face_encoder or str(mini / "face_encoder"), "adapter"),
            "image_encoder": _hash(self.image_encoder or str(mini / "image_encoder"), "adapter"),
            "landmarks": sha256_12(mini / "landmarks"),
            "controlnets": [_hash(each, "ControlNet") for each in self.controlnets],
            "loras": [[_hash(file, "adapter"), weight] for file, weight in self.loras],
            "scheduler": self.scheduler,
            "dtype": self.dtype,
        }


#: What ``from_pretrained`` is given, and what of it are words that no file may be mistaken for.
_LOADED = tuple(each.name for each in fields(ModelChoice) if each.name not in ("loras", "scheduler"))
_WORDS = frozenset({"dtype", "offload", "controlnets"})


def _absolute(name: str | None) -> str | None:
    """A path that is there, absolute; any other name (of a hub, ``mini``) as it is."""
    if name is None or name == "mini":
        return name
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _hash(name: str, kind: str) -> str:
    """Of weights on this machine; of a diffusers folder its UNet's. A hub id stays a name."""
    path = find_local(name, kind)
    if path is None:
        return name
    return sha256_12(path / "unet" if (path / "unet").is_dir() else path)
