"""Tensors out of published files: ``.safetensors``, or ``.bin`` of which nothing but tensors is read."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from facesnap.core.errors import AdapterError, one_line

#: The two parts of such a file: what makes tokens of a face, and the attention that reads them.
PARTS: Final = ("image_proj", "ip_adapter")
SUFFIXES: Final = (".safetensors", ".bin")

#: First byte of torch's older format, a row of pickles; the newer one is a zip file.
_PICKLE: Final = b"\x80"

State = Mapping[str, Mapping[str, Tensor]]


def read_state(file: Path) -> State:
    """Both :data:`PARTS` of a published file, part -> key -> tensor.

    Published ``.bin`` files nest two dictionaries; ``.safetensors`` files hold ``part.key`` (so IP-Adapter's own loader
    has it).

    Raises:
        AdapterError: the file is cut off, holds other things than tensors, or isn't such an adapter.
    """
    found = _safetensors(file) if file.suffix == ".safetensors" else _bin(file)
    state: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for name, value in found.items():
        part, _, key = str(name).partition(".")
        if name in PARTS and isinstance(value, Mapping):
            state[name].update({str(k): v for k, v in value.items() if isinstance(v, Tensor)})
        elif part in PARTS and isinstance(value, Tensor):
            state[part][key] = value
    for part in PARTS:
        if not state[part]:
            raise AdapterError(_why_not(file, part, [str(name) for name in found]))
    return state


def _safetensors(file: Path) -> Mapping[str, object]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{file} is cut off or no safetensors file, fetch it again: {one_line(error)}") from error


def _bin(file: Path) -> Mapping[str, object]:
    zipped = zipfile.is_zipfile(file)
    try:
        with file.open("rb") as opened:
            if not zipped and opened.read(1) != _PICKLE:
                raise EOFError
        # Mapped, not copied: a base of another family is refused before gigabytes are read.
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        maybe = "" if zipped else " (or is cut off)"  # in torch's older format, the two look alike
        raise AdapterError(
            f"{file} holds more than tensors, and reading it would run its code{maybe}: fetch the file from its own"
            " project, or one in .safetensors"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError) as error:
        raise AdapterError(f"{file} is cut off, or no file that torch wrote: fetch it again") from error
    if not isinstance(found, Mapping):
        raise AdapterError(f"{file} holds no dictionary of tensors: it is not a face adapter")
    return found


def _why_not(file: Path, part: str, names: list[str]) -> str:
    if any(name.startswith(("lora_unet_", "unet.")) for name in names):
        return f"{file} is the LoRA alone: give the .bin beside it, which holds the LoRA and the rest"
    if any(name.startswith(("image_proj_model.", "adapter_modules.", "unet.")) for name in names):
        return f"{file} is a checkpoint from training: convert it to a published file (image_proj, ip_adapter) first"
    return f"{file} is no InstantID and no IP-Adapter-FaceID: it has no {part}"
