"""Where weights live and how they are read and written: one config, one safetensors file, one hash.

A weight folder holds ``config.json`` (the network's own arguments) and ``model.safetensors`` (tensors by name, plus
metadata: format version, versions of the libraries, how they were trained). Pickles are never read.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from facesnap.core.errors import AdapterError, EncoderMismatchError, OutputError, one_line

if TYPE_CHECKING:
    import numpy as np
    import torch

Module = TypeVar("Module", bound="torch.nn.Module")

CONFIG_NAME: Final = "config.json"
MODEL_NAME: Final = "model.safetensors"
FORMAT_VERSION: Final = "1"

_OWN_LICENCE: Final = "Apache-2.0 (trained by this project on its own renders)"


@dataclass(frozen=True)
class WeightInfo:
    """One set of weights. ``folder``: below :func:`mini_folder`; ``what``: what it does, in words."""

    name: str
    folder: str
    licence: str
    what: str

    @property
    def path(self) -> Path:
        """Where this set lies on this machine (it may be absent)."""
        return mini_folder() / self.folder

    @property
    def present(self) -> bool:
        """Whether any of its tensors are there."""
        return any(_tensor_files(self.path))


#: What ``mini`` consists of, in the order in which it is trained.
WEIGHTS: Final[tuple[WeightInfo, ...]] = (
    WeightInfo("vae", "base/vae", _OWN_LICENCE, "VAE of the base"),
    WeightInfo("text_encoder", "base/text_encoder", _OWN_LICENCE, "text encoder of the base"),
    WeightInfo("unet", "base/unet", _OWN_LICENCE, "UNet of the base, text-to-image"),
    WeightInfo("face_encoder", "face_encoder", _OWN_LICENCE, "E_f: face recogniser"),
    WeightInfo("image_encoder", "image_encoder", _OWN_LICENCE, "E_c: image encoder"),
    WeightInfo("landmarks", "landmarks", _OWN_LICENCE, "E_3d and the 72-landmark morphable model"),
    WeightInfo("mixer", "adapter/mixer", _OWN_LICENCE, "Facial Attribute Mixer"),
    WeightInfo("ffrnet", "adapter/ffrnet", _OWN_LICENCE, "Face Fidelity Reinforce Network"),
    WeightInfo("judge_face", "judge_face", _OWN_LICENCE, "likeness judge, used for measuring only"),
    WeightInfo("judge_clip", "judge_clip", _OWN_LICENCE, "prompt judge, used for measuring only"),
)


#: What a user may name by path or hub id, and in which forms.
KINDS: Final[Mapping[str, str]] = {
    "base model": "give mini, a diffusers folder, a .safetensors file or a hub id",
    "base config": "give a diffusers folder (its weights may be missing), or a hub id",
    "adapter": "give a folder written by save_adapter, a hub id, or a published adapter's file",
    "ControlNet": "give a diffusers folder, or a hub id",
}


def mini_folder() -> Path:
    """The embedded model's folder: ``$FACESNAP_MINI`` if set, else ``weights/mini`` inside the package."""
    override = os.environ.get("FACESNAP_MINI")
    return Path(override) if override else Path(__file__).resolve().parents[1] / "weights" / "mini"


def embedded(part: str, needed: str) -> Path:
    """A folder of the embedded model, of which one file is ``needed``.

    Raises:
        AdapterError: that is missing; says how to get it.
    """
    folder = mini_folder() / part
    if not (folder / needed).is_file():
        raise AdapterError(f"the embedded model is not (whole) at {folder}: train it with `facesnap mini train`")
    return folder


def find_local(name: str | Path, kind: str) -> Path | None:
    """Where a model given by name lies on this machine; None for a hub id, which may have to be fetched.

    Args:
        name: a path or a hub id (``owner/name``; of an adapter also one file, ``owner/name/file.bin``).
        kind: one of :data:`KINDS`.

    Raises:
        AdapterError: nothing lies there, and it can't be a hub id.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    text = str(name)
    slashes = 0 if text.startswith((".", "/", "~")) else text.count("/")
    if slashes == 1 and not text.endswith(".safetensors"):
        return None
    if slashes > 1 and kind == "adapter" and text.endswith((".bin", ".safetensors")):
        return None
    raise AdapterError(f"no {kind} at {name}: {KINDS[kind]}")


def sha256_12(path: str | Path) -> str:
    """First 12 hex digits of the SHA-256 of a file, or of all safetensors files below a folder (names included).

    Raises:
        AdapterError: nothing there to hash.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(_tensor_files(path))
    if not files:
        raise AdapterError(f"no weights at {path}")
    stamps = [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files]
    if path.is_file():
        return _file_hash(*stamps[0])[:12]
    total = hashlib.sha256()
    for file, stamp in zip(files, stamps, strict=True):
        total.update(f"{file.relative_to(path).as_posix()} {_file_hash(*stamp)}\n".encode())
    return total.hexdigest()[:12]


def check_encoders(what: str, made_with: Mapping[str, str], wanted: Mapping[str, str], advice: str) -> None:
    """Make sure that something was made with the encoders at hand (both part -> ``name@hash``).

    Raises:
        EncoderMismatchError: a part was made with another encoder; names both, and gives the ``advice``.
    """
    for part, at_hand in wanted.items():
        own = made_with.get(part, "no such encoder")
        if own != at_hand:
            raise EncoderMismatchError(
                f"{what}'s {part} encoder is {own}, but the model at hand uses {at_hand}: {advice}"
            )


def arrays_12(arrays: Sequence[np.ndarray]) -> str:
    """First 12 hex digits of a SHA-256 over arrays, as float32."""
    import numpy as np

    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return total.hexdigest()[:12]


def read_config(folder: str | Path) -> dict[str, Any]:
    """The ``config.json`` of a weight folder.

    Raises:
        AdapterError: the folder or its config is missing or unreadable.
    """
    return read_json(Path(folder) / CONFIG_NAME)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; AdapterError when it is missing or isn't one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise AdapterError(f"no weights at {path.parent}: {path.name} is missing") from None
    except ValueError as error:
        raise AdapterError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise AdapterError(f"{path} must hold a JSON object, not a {type(content).__name__}")
    return content


def read_metadata(file: str | Path) -> dict[str, str]:
    """The metadata strings of a safetensors file, without reading its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"can't read weights from {file}: {error}") from None


def save_module(
    folder: str | Path,
    module: torch.nn.Module,
    config: Mapping[str, Any],
    metadata: Mapping[str, str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write ``config.json`` and ``model.safetensors``; each appears whole or not at all.

    ``dtype``: what floating-point tensors are stored as (half precision for what ships); None keeps theirs.
    """
    import torch
    from safetensors.torch import save

    from facesnap.core.images import write_atomic

    tensors = {}
    for name, tensor in module.state_dict().items():
        cast = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", cast).contiguous()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {**metadata, "format": "pt", "format_version": FORMAT_VERSION, "torch": str(torch.__version__)}
    write_atomic(folder / MODEL_NAME, ordered(save(tensors, about)))
    write_json(folder / CONFIG_NAME, config)


def save_whole(folder: str | Path, save: Callable[[str], object]) -> None:
    """Let ``save(folder)`` (a ``save_pretrained``) write its files beside ``folder``, and move them there when all are
    complete; other files in it stay.

    Raises:
        OutputError: they can't be written (unwritable folder, full disk ...); no partial file remains.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as temporary:
            save(temporary)
            files = sorted(Path(temporary).iterdir())
            for file in files:
                with file.open("r+b") as opened:
                    os.fsync(opened.fileno())  # some file systems report a full disk only here
            for file in files:
                os.replace(file, folder / file.name)
    except Exception as error:  # safetensors and tokenizers report a full disk by errors that are no OSError
        raise OutputError(f"can't write to {folder}: {one_line(error)}") from error


def ordered(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: the library writes metadata in a random order,
    and equal weights should have equal hashes.
    """
    length = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:length]), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)  # the format aligns tensors to 8 bytes
    return len(header).to_bytes(8, "little") + header + data[length:]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with sorted keys, whole or not at all."""
    from facesnap.core.images import write_atomic

    write_atomic(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def load_whole(
    kind: Any,
    folder: str | Path,
    what: str,
    *,
    dtype: torch.dtype | None = None,
    variant: str | None = None,
    unused: str = "",
) -> Any:
    """A model of diffusers or transformers from its folder, in eval mode, with every one of its tensors: where a file
    lacks some, the libraries leave whatever lies in memory.

    Args:
        kind: class of the model.
        folder: of its files; nothing is fetched, and nothing but safetensors is read.
        what: errors call it.
        dtype: of its weights; None keeps float32.
        variant: of its weight files.
        unused: beginning of the names of tensors that may be missing, since nobody asks them; empty: none may.

    Raises:
        AdapterError: it is damaged: it can't be read, or tensors are missing (one is named).
    """
    given: dict[str, Any] = {
        "local_files_only": True,
        "use_safetensors": True,
        "variant": variant,
        "output_loading_info": True,
    }
    if dtype is not None:
        given["dtype"] = dtype
    if hasattr(kind, "load_config"):  # diffusers' models remark on accelerate unless told
        given["low_cpu_mem_usage"] = False
    try:
        model, found = kind.from_pretrained(str(folder), **given)
    except Exception as error:  # diffusers, transformers and safetensors share no base class
        raise AdapterError(f"{what} is damaged: {one_line(error)}") from error
    missing = sorted(name for name in found["missing_keys"] if not (unused and name.startswith(unused)))
    if missing:
        saved_with_lora = any(".base_layer." in name for name in found["unexpected_keys"])
        why = " (it was saved with a LoRA on it: unload that first, and save again)" if saved_with_lora else ""
        raise AdapterError(f"{what} is damaged: {len(missing)} tensors are missing, {missing[0]} among them{why}")
    return model.eval()


def load_module(
    folder: str | Path, factory: Callable[[dict[str, Any]], Module], dtype: torch.dtype | None = None
) -> Module:
    """Build ``factory(config)`` and fill it from a weight folder: in eval mode, float32 unless ``dtype`` is given.

    Raises:
        AdapterError: a missing folder, an unreadable file, or tensors that don't fit the network (named).
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    module = factory(read_config(folder))
    try:
        module.load_state_dict(load_file(folder / MODEL_NAME))
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"can't read weights from {folder / MODEL_NAME}: {error}") from None
    except RuntimeError as error:  # torch's report of missing, unexpected or misshapen tensors
        first = " ".join(str(error).split())[:300]
        raise AdapterError(f"the weights in {folder} don't fit their own config: {first}") from None
    return module.to(dtype or torch.float32).eval()


def _tensor_files(folder: Path) -> list[Path]:
    return list(folder.rglob("*.safetensors"))


@lru_cache(maxsize=256)
def _file_hash(path: str, modified_ns: int, size: int) -> str:
    """SHA-256 of a file; its time and size are part of the key, so that a rewritten file is hashed anew."""
    del modified_ns, size
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
