"""The layout of a prepared data set: what ``facesnap data prepare`` writes and training reads.

::

    DIR/dataset.json                         what is here and what made it, see :class:`DatasetInfo`
    DIR/train-000000.tar ... val-000000.tar  webdataset shards, see :mod:`facesnap.data.shards`
      PERSON-INDEX.jpg (or .png)             the target: a square around the face, RGB, side ``size``
      PERSON-INDEX.json                      what can be said of it, see :class:`Example`
      PERSON-INDEX.npz                       what the frozen encoders made of it

All samples of a person lie next to each other, inside one shard; no person is in two splits.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core import weights
from facesnap.core.arkit import NUM_EXPRESSIONS
from facesnap.core.errors import InputError, UsageError, one_line
from facesnap.core.folders import check_readable
from facesnap.core.types import Camera
from facesnap.landmarks.layout import NUM_LANDMARKS

FORMAT: Final = "facesnap.dataset"
VERSION: Final = 1
DESCRIPTION: Final = "dataset.json"
SPLITS: Final = ("train", "val")
#: What a picture's member may be called, and how its bytes begin.
PICTURES: Final[Mapping[str, bytes]] = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG"}
#: What may be said of the consent of the person shown.
CONSENTS: Final = ("yes", "no", "unknown")
#: The encoders whose outputs the samples hold: E_f, E_c, E_3d, and the basis that shape coefficients refer to.
ENCODERS: Final = ("face", "appearance", "landmarks", "shape")


@dataclass(frozen=True)
class SplitInfo:
    """How much a split holds."""

    people: int
    photos: int
    shards: int


@dataclass(frozen=True)
class DatasetInfo:
    """What ``dataset.json`` says.

    Attributes:
        size: side of the pictures, in pixels.
        views: V, how many augmented views ``f_id`` and ``f_clip`` have; the first is the plain one.
        splits: ``train`` and ``val``.
        encoders: part (:data:`ENCODERS`) -> ``name@hash`` of what made the features.
        settings: the options that decided what is kept.
        versions: of the libraries it was made with.
        licences: licence text -> number of photos under it.
    """

    size: int
    views: int
    splits: Mapping[str, SplitInfo]
    encoders: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """As the file has it: equal data sets give equal bytes."""
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return f"{json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)}\n".encode()


@dataclass(frozen=True, eq=False)
class Example:
    """One photograph of one person, ready to train on.

    Attributes:
        key: the sample's name, ``PERSON-INDEX`` (see :func:`key_of`).
        picture: the bytes of a JPEG or PNG; :attr:`image` decodes them.
        person: whose name is unique in the data set.
        captions: at least one.
        landmarks: (72, 2) float32, pixels of the picture. ``points5``: (5, 2), those of ArcFace's template.
        pose: (3,) float32 yaw, pitch, roll in degrees. ``expression``: (53,) float32 in [0, 1].
        camera: in pixels of the picture.
        f_id: (V, D) float16 unit vectors of V views. ``f_clip``: (V, T, C) float16 of the same views.
        shape: (K,) float32 coefficients of the morphable model.
        source: where it came from. ``licence``, ``consent``: what was said of it, empty or "unknown" if nothing.
        scores: what the filters measured.
    """

    key: str
    picture: bytes
    person: str
    captions: tuple[str, ...]
    landmarks: np.ndarray
    points5: np.ndarray
    pose: np.ndarray
    camera: Camera
    expression: np.ndarray
    f_id: np.ndarray
    f_clip: np.ndarray
    shape: np.ndarray
    source: str = ""
    licence: str = ""
    consent: str = "unknown"
    scores: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def image(self) -> np.ndarray:
        """(S, S, 3) uint8 RGB. InputError if the bytes are no picture."""
        import cv2

        found = cv2.imdecode(np.frombuffer(self.picture, np.uint8), cv2.IMREAD_COLOR)
        if found is None:
            raise InputError(f"{self.key}: the picture can't be decoded")
        return np.ascontiguousarray(found[..., ::-1])


def key_of(person: int, index: int) -> str:
    """The name of a person's photo, both counted from 0: no name of a person could spoil it."""
    return f"{person:07d}-{index:05d}"


def shard_name(split: str, number: int) -> str:
    """The file name of a split's shard."""
    return f"{split}-{number:06d}.tar"


def picture_bytes(image: np.ndarray, suffix: str = "jpg", quality: int = 95) -> bytes:
    """A picture (S, S, 3) uint8 RGB as a JPEG or PNG; the same picture gives the same bytes."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 4]
    return bytes(cv2.imencode(f".{suffix}", image[..., ::-1], options)[1])


def encode(example: Example) -> dict[str, bytes]:
    """A sample's members: suffix -> content; the same example gives the same bytes.

    Raises:
        InputError: the picture is neither JPEG nor PNG.
    """
    words = {
        "person": example.person,
        "captions": list(example.captions),
        "landmarks": _plain(example.landmarks, 3),
        "points5": _plain(example.points5, 3),
        "pose": dict(zip(("yaw", "pitch", "roll"), _plain(example.pose, 3), strict=True)),
        "camera": [example.camera.scale, example.camera.cx, example.camera.cy, example.camera.inverse_distance],
        "expression": _plain(example.expression, 4),
        "source": example.source,
        "licence": example.licence,
        "consent": example.consent,
        "scores": dict(example.scores),
    }
    arrays = io.BytesIO()
    np.savez(
        arrays,
        f_id=example.f_id.astype(np.float16),
        f_clip=example.f_clip.astype(np.float16),
        shape=example.shape.astype(np.float32),
    )
    return {
        _suffix_of(example.picture, example.key): example.picture,
        "json": json.dumps(words, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(),
        "npz": arrays.getvalue(),
    }


def decode(sample: Mapping[str, Any]) -> Example:
    """An example from a sample's members, as webdataset groups them (suffix -> bytes, ``__key__``).

    Raises:
        InputError: a member is missing or damaged; names the sample and what is wrong with it.
    """
    key = str(sample.get("__key__", "a sample"))
    picture = next((sample[suffix] for suffix in PICTURES if suffix in sample), None)
    missing = [*([] if picture else ["jpg"]), *(suffix for suffix in ("json", "npz") if suffix not in sample)]
    if picture is None or missing:
        raise InputError(f"{key} has no .{missing[0]}")
    _suffix_of(picture, key)
    try:
        words = json.loads(sample["json"])
        with np.load(io.BytesIO(sample["npz"]), allow_pickle=False) as arrays:
            features = {name: arrays[name] for name in ("f_id", "f_clip", "shape")}
        example = Example(
            key=key,
            picture=picture,
            person=str(words["person"]),
            captions=tuple(str(caption) for caption in words["captions"]),
            landmarks=np.array(words["landmarks"], np.float32),
            points5=np.array(words["points5"], np.float32),
            pose=np.array([words["pose"][name] for name in ("yaw", "pitch", "roll")], np.float32),
            camera=Camera(*(float(value) for value in words["camera"])),
            expression=np.array(words["expression"], np.float32),
            source=str(words["source"]),
            licence=str(words["licence"]),
            consent=str(words["consent"]),
            scores={str(name): float(value) for name, value in words["scores"].items()},
            **features,
        )
        _check_shapes(example)
    except KeyError as error:
        raise InputError(f"{key} is damaged: {error.args[0]!r} is missing") from error
    except Exception as error:  # zip, zlib, json and numpy each have their own errors for damaged bytes
        raise InputError(f"{key} is damaged: {one_line(error)}") from error
    return example


def _check_shapes(example: Example) -> None:
    fixed = {"landmarks": (NUM_LANDMARKS, 2), "points5": (5, 2), "pose": (3,), "expression": (NUM_EXPRESSIONS,)}
    for name, shape in fixed.items():
        if getattr(example, name).shape != shape:
            raise ValueError(f"{name} has shape {getattr(example, name).shape}, not {shape}")
    if [each.ndim for each in (example.f_id, example.f_clip, example.shape)] != [2, 3, 1]:
        raise ValueError("f_id, f_clip and shape are no (V, D), (V, T, C) and (K,)")
    if len(example.f_id) != len(example.f_clip) or not len(example.f_id):
        raise ValueError(f"f_id has {len(example.f_id)} views and f_clip {len(example.f_clip)}")
    if not example.captions:
        raise ValueError("it has no caption")


def _plain(values: np.ndarray, digits: int) -> list[Any]:
    rounded: list[Any] = np.round(np.asarray(values, np.float64), digits).tolist()
    return rounded


def _suffix_of(picture: bytes, key: str) -> str:
    for suffix, beginning in PICTURES.items():
        if picture.startswith(beginning):
            return suffix
    raise InputError(f"{key} is damaged: its picture is neither JPEG nor PNG")


def read_dataset(folder: str | Path) -> DatasetInfo:
    """What the data set in a folder is.

    Raises:
        InputError: no such folder, no data set in it, an unfinished one, or another version's.
    """
    path = Path(folder) / DESCRIPTION
    check_readable(Path(folder))
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        if found["version"] != VERSION:
            raise InputError(f"{path} has version {found['version']}, this FaceSnap reads {VERSION}: prepare it again")
        splits = {name: SplitInfo(**found["splits"][name]) for name in SPLITS}
        words = ("encoders", "settings", "versions", "licences")
        return DatasetInfo(
            int(found["size"]), int(found["views"]), splits, **{name: dict(found[name]) for name in words}
        )
    except FileNotFoundError as error:
        raise InputError(f"no prepared data set in {folder}: make one with `facesnap data prepare`") from error
    except KeyError as error:
        raise InputError(f"{path} can't be used: {error.args[0]!r} is missing") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} can't be used: {one_line(error)}") from error


def check_encoders(info: DatasetInfo, encoders: Mapping[str, str]) -> None:
    """Make sure that a data set's features come from the encoders at hand (part -> ``name@hash``).

    Raises:
        EncoderMismatchError: a part was made with another encoder; names both.
    """
    weights.check_encoders("this data set", info.encoders, encoders, "prepare it again with this model")


def shards(folder: str | Path, split: str) -> list[Path]:
    """The shards of a split, in order.

    Raises:
        UsageError: no such split.
        InputError: no data set, or one of its shards is missing.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}: use one of {', '.join(SPLITS)}")
    count = read_dataset(folder).splits[split].shards
    paths = [Path(folder) / shard_name(split, number) for number in range(count)]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is missing: run `facesnap data prepare` again, it makes what is not there")
    return paths
