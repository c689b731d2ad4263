"""Identity: what is kept of a person, in a file that needs no photograph and no detector later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from facesnap.core.errors import InputError, UsageError
from facesnap.core.images import write_atomic
from facesnap.core.weights import arrays_12, check_encoders

FORMAT: Final = "facesnap.identity"
FORMAT_VERSION: Final = 1

#: The tensors of an identity file, with their number of axes; no others may be in it.
TENSORS: Final = {"face_embedding": 1, "appearance": 2, "shape": 1}


@dataclass(frozen=True, eq=False)
class Identity:
    """One person, as the encoders see them.

    Attributes:
        face_embedding: (D,) float32 unit vector, the paper's ``f_id`` = E_f(face).
        appearance: (T, C) float32, the paper's ``f_clip`` = E_c(face).
        shape: (K,) float32 coefficients of the morphable model, from E_3d.
        encoders: part -> ``name@hash`` of the encoder that made it.
        photos: how many photographs went in.

    Raises:
        InputError: an array of the wrong rank, with non-finite values, or an embedding of another length than 1.
    """

    face_embedding: np.ndarray
    appearance: np.ndarray
    shape: np.ndarray
    encoders: Mapping[str, str]
    photos: int = 1

    def __post_init__(self) -> None:
        for name, axes in TENSORS.items():
            array = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if array.ndim != axes or array.size == 0 or not np.isfinite(array).all():
                raise InputError(f"an identity's {name} must have {axes} axes and finite values, not {array.shape}")
            object.__setattr__(self, name, array)
        length = float(np.linalg.norm(self.face_embedding))
        if abs(length - 1.0) > 1e-3:
            raise InputError(f"an identity's face_embedding must have length 1, not {length:g}")
        if self.photos < 1:
            raise InputError(f"an identity comes from at least one photo, not {self.photos}")
        object.__setattr__(self, "encoders", dict(self.encoders))

    def check(self, encoders: Mapping[str, str]) -> None:
        """Make sure that this identity was made with the given encoders (part -> ``name@hash``).

        Raises:
            EncoderMismatchError: a part was made with another encoder; names both.
        """
        check_encoders("this identity", self.encoders, encoders, "enrol the photos again with this model")

    @staticmethod
    def mean(identities: Sequence[Identity]) -> Identity:
        """One identity from several of the same person, each weighted by its number of photos.

        Raises:
            UsageError: nothing to average.
            EncoderMismatchError: they were made with different encoders; names both.
            InputError: the embeddings cancel out, so these can't be one person.
        """
        if not identities:
            raise UsageError("at least one identity is needed for a mean")
        _check_together(identities)
        photos = [identity.photos for identity in identities]
        mean = {name: _average(identities, name, photos) for name in TENSORS}
        embedding = _unit(mean["face_embedding"])
        return Identity(embedding, mean["appearance"], mean["shape"], identities[0].encoders, sum(photos))

    @staticmethod
    def blend(first: Identity, second: Identity, share: float = 0.5) -> Identity:
        """Someone between two people: 0 is the first, 1 the second.

        Raises:
            UsageError: ``share`` is not from 0 to 1.
            EncoderMismatchError: they were made with different encoders; names both.
        """
        if not 0.0 <= share <= 1.0:
            raise UsageError(f"share={share:g} must be from 0 to 1")
        pair = [first, second]
        _check_together(pair)
        mixed = {name: _average(pair, name, [1.0 - share, share]) for name in TENSORS}
        return Identity(_unit(mixed["face_embedding"]), mixed["appearance"], mixed["shape"], first.encoders)

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of a SHA-256 over the arrays: two identities with the same one are the same."""
        return arrays_12([getattr(self, name) for name in TENSORS])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``*.identity.safetensors``, atomically.

        Raises:
            OutputError: the file can't be written.
        """
        from safetensors.numpy import save

        metadata = {
            "format": FORMAT,
            "version": str(FORMAT_VERSION),
            "encoders": json.dumps(self.encoders, sort_keys=True),
            "photos": str(self.photos),
        }
        write_atomic(path, save({name: getattr(self, name) for name in TENSORS}, metadata=metadata))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Identity:
        """Read an identity file.

        Raises:
            InputError: missing, damaged, not an identity file, or from a newer version of FaceSnap.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} is not a file: give an identity file made by `facesnap enroll`")
        tensors, metadata = _read(path)
        _check_format(path, set(tensors), metadata)
        try:
            encoders = json.loads(metadata["encoders"])
            if not all(isinstance(text, str) for pair in encoders.items() for text in pair):
                raise ValueError("encoders must map text to text")
            return Identity(**tensors, encoders=encoders, photos=int(metadata["photos"]))
        except (KeyError, ValueError, AttributeError, InputError) as error:
            raise InputError(f"{path} is a damaged identity file: {error}") from error


def _check_together(identities: Sequence[Identity]) -> None:
    """Identities that meet in one were made with the same encoders."""
    first = identities[0]
    for other in identities[1:]:
        other.check(first.encoders)
        first.check(other.encoders)


def _average(identities: Sequence[Identity], name: str, weights: Sequence[float]) -> np.ndarray:
    arrays = [getattr(identity, name) for identity in identities]
    if len({array.shape for array in arrays}) > 1:
        raise InputError(f"these identities differ in the size of their {name}")
    return np.asarray(np.average(np.stack(arrays), axis=0, weights=np.asarray(weights, dtype=np.float32)))


def _unit(embedding: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(embedding))
    if length < 1e-3:
        raise InputError("these photos have nothing in common: are they of one person?")
    return np.asarray(embedding / length)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and metadata of any safetensors file; only tensors of ours are read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            wanted = set(TENSORS) if metadata.get("format") == FORMAT else set()
            return {name: file.get_tensor(name) if name in wanted else np.empty(0) for name in names}, metadata
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged, or not an identity file: {error}") from error


def _check_format(path: Path, names: set[str], metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is not an identity file: make one with `facesnap enroll`")
    version = metadata.get("version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        raise InputError(
            f"{path} has identity format {version or 'unknown'}, this FaceSnap reads up to {FORMAT_VERSION}:"
            " update FaceSnap"
        )
    if names != set(TENSORS):
        wrong = sorted(names ^ set(TENSORS))
        raise InputError(f"{path} is a damaged identity file: missing or foreign tensors {', '.join(wrong)}")
