"""Adapters on disk: FFRNet, the mixer, and ``adapter.json``, which says what they fit.

::

    adapter/
      adapter.json   family of the base, encoders (name@hash), landmark layout, versions, default settings
      README.md      the same as a model card, for people
      ffrnet/        a diffusers model folder; a stock ControlNetModel loads it, too
      mixer/         a diffusers model folder
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers

from facesnap import __version__
from facesnap.core.errors import AdapterError, EncoderMismatchError, UsageError
from facesnap.core.images import write_atomic
from facesnap.core.weights import load_whole, read_json, save_whole, write_json
from facesnap.models.card import CARD_NAME, adapter_card
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer

#: The order and colours of :mod:`facesnap.landmarks.layout`; another layout needs another name.
LANDMARK_LAYOUT: Final = "multipie-72"
FORMAT_VERSION: Final = 1
CONFIG_NAME: Final = "adapter.json"

#: The encoders whose output the mixer reads. Others may be recorded, and may change: FFRNet sees no more of E_3d than
#: drawn dots, whose layout has a name of its own.
MIXED_PARTS: Final = ("face", "appearance")

#: What the published bases are called, by the width of their text states, where the UNet has their channels.
_PUBLISHED: Final = {768: "sd1", 1024: "sd2"}
_PUBLISHED_CHANNELS: Final = (320, 640, 1280, 1280)


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter fits and how it was trained.

    Attributes:
        family: of the base, as :func:`family_of` names it.
        cross_attention_dim: width of the base's text states.
        encoders: part -> ``name@hash`` of the encoders whose output the mixer was trained on.
        landmark_layout: name of the landmarks' order and colours.
        defaults: settings for generation, by their names in diffusers (``guidance_scale`` ...).
        versions: library -> version that wrote it.
    """

    family: str
    cross_attention_dim: int
    encoders: Mapping[str, str]
    landmark_layout: str = LANDMARK_LAYOUT
    defaults: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def for_unet(
        unet_config: Mapping[str, Any], encoders: Mapping[str, str], defaults: Mapping[str, Any] | None = None
    ) -> AdapterConfig:
        """The config of an adapter that is trained on this UNet."""
        width = int(unet_config["cross_attention_dim"])
        return AdapterConfig(family_of(unet_config), width, dict(encoders), defaults=dict(defaults or {}))

    def check_base(self, family: str, base: object = "this base") -> None:
        """Make sure that the adapter fits a base of a family (see :func:`family_of`).

        Raises:
            AdapterError: it was trained for another one; names both.
        """
        if family != self.family:
            raise AdapterError(f"this adapter fits {self.family} bases, but {base} is {family}: choose another of them")

    def check_encoders(self, encoders: Mapping[str, str]) -> None:
        """Make sure that the mixer was trained on the output of these encoders (part -> ``name@hash``).

        Raises:
            EncoderMismatchError: one of :data:`MIXED_PARTS` differs; names both.
        """
        for part in MIXED_PARTS:
            wanted, given = (known.get(part, "no such encoder") for known in (self.encoders, encoders))
            if given != wanted:
                raise EncoderMismatchError(
                    f"this adapter was trained with the {part} encoder {wanted}, but {given} is in use"
                )


@dataclass(frozen=True)
class Adapter:
    """A trained adapter, ready to be attached to a base."""

    ffrnet: FFRNet
    mixer: FacialAttributeMixer
    config: AdapterConfig


def family_of(unet_config: Mapping[str, Any]) -> str:
    """Name the family of bases that a UNet belongs to: ``sd1``, ``sd2``, ``sdxl``, or its shape for any other.

    Adapters work on every fine-tune of their family.
    """
    channels = tuple(unet_config["block_out_channels"])
    width = unet_config["cross_attention_dim"]
    depth = depth_of(unet_config)
    whole = depth == depth_of({"layers_per_block": 2})
    if whole and channels == _PUBLISHED_CHANNELS and width in _PUBLISHED:
        return _PUBLISHED[width]
    if whole and channels == _PUBLISHED_CHANNELS[:3] and unet_config.get("addition_embed_type") == "text_time":
        return "sdxl"
    kind = "sdxl" if unet_config.get("addition_embed_type") == "text_time" else "sd"
    shape = "-".join(str(c) for c in channels)
    return f"{kind}({shape}{depth}; text {width}; {unet_config['out_channels']} latent channels)"


def depth_of(unet_config: Mapping[str, Any]) -> str:
    """How deep a UNet (or a ControlNet) is, in words; empty for one layer per level. Residuals must match in number."""
    layers = unet_config.get("layers_per_block", 2)
    each = layers if isinstance(layers, int) else "-".join(map(str, layers))
    middle = "" if unet_config.get("mid_block_type", "there") is not None else ", no middle"
    return ("" if each == 1 else f" x {each} layers") + middle


def is_sdxl(family: str) -> bool:
    """Whether a family name stands for an SDXL architecture (two text encoders, sizes as conditions)."""
    return family.startswith("sdxl")


def save_adapter(
    folder: str | Path,
    ffrnet: FFRNet,
    mixer: FacialAttributeMixer,
    config: AdapterConfig,
    dtype: torch.dtype | None = None,
) -> None:
    """Write an adapter folder; files appear whole, ``adapter.json`` last. The modules stay as they are.

    Args:
        folder: where to; other files in it stay. Of a model card that is there already, what lies between its marks is
            brought up to date; one without marks is the author's own, and stays.
        ffrnet: the network.
        mixer: its token source; its width must be FFRNet's.
        config: what the pair fits; versions are filled in.
        dtype: what the weights are stored as; None keeps theirs.

    Raises:
        AdapterError: the two don't fit each other.
        UsageError: the weights are offloaded in a way that leaves nothing to save.
        OutputError: the folder can't be written.
    """
    _check_pair(ffrnet, mixer)
    for model in (ffrnet, mixer):
        if any(parameter.is_meta for parameter in model.parameters()):
            raise UsageError(
                f"the weights of {type(model).__name__} are offloaded layer by layer, so that they can't be saved now:"
                " call pipeline.remove_all_hooks() first, or save before offloading"
            )
    versions = {"facesnap": __version__, "torch": str(torch.__version__), "diffusers": diffusers.__version__}
    config = dataclasses.replace(config, versions={**versions, "transformers": transformers.__version__})
    folder = Path(folder)
    for name, model in (("ffrnet", ffrnet), ("mixer", mixer)):
        save_whole(folder / name, (model if dtype is None else _cast(model, dtype)).save_pretrained)
    card = folder / CARD_NAME
    written = card.read_text(encoding="utf-8", errors="surrogateescape") if card.is_file() else None
    text = adapter_card(config, ffrnet, mixer, written)
    write_atomic(card, text.encode(errors="surrogateescape"))
    write_json(folder / CONFIG_NAME, {"format_version": FORMAT_VERSION, **dataclasses.asdict(config)})


def load_adapter(folder: str | Path, dtype: torch.dtype = torch.float32) -> Adapter:
    """Read an adapter folder; both networks in eval mode.

    Raises:
        AdapterError: no adapter there, one of a newer format, of another landmark layout, or a damaged one.
    """
    folder = Path(folder)
    config = read_adapter_config(folder)
    kinds = {"ffrnet": FFRNet, "mixer": FacialAttributeMixer}
    what = f"the adapter in {folder}"
    ffrnet, mixer = (load_whole(kind, folder / name, what, dtype=dtype) for name, kind in kinds.items())
    _check_pair(ffrnet, mixer)
    return Adapter(ffrnet, mixer, config)


def read_adapter_config(folder: str | Path) -> AdapterConfig:
    """What the adapter in a folder fits, without loading it. Raises AdapterError as :func:`load_adapter` does."""
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        raise AdapterError(f"no adapter at {folder}: {CONFIG_NAME} is missing")
    content = read_json(path)
    version = content.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise AdapterError(f"{path} has format {version}, this FaceSnap reads {FORMAT_VERSION}: update one of them")
    for name in ("encoders", "defaults", "versions"):
        if not isinstance(content.get(name, {}), Mapping):
            raise AdapterError(f"{path} is damaged: {name} must be an object")
    try:
        config = AdapterConfig(**content)
    except TypeError as error:
        raise AdapterError(f"{path} is damaged: {error}") from error
    if config.landmark_layout != LANDMARK_LAYOUT:
        raise AdapterError(
            f"this adapter reads {config.landmark_layout} landmark maps, but this FaceSnap draws {LANDMARK_LAYOUT}"
        )
    return config


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """The same network in another dtype, without the hooks that offloading may have put onto it."""
    # Diffusers counts arguments given by position as defaults, and leaves defaults out.
    config = {name: value for name, value in model.config.items() if name != "_use_default_values"}
    with torch.device("meta"):
        made = type(model).from_config(config)
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in model.state_dict().items()}
    made.load_state_dict(tensors, assign=True)
    return made


def _check_pair(ffrnet: FFRNet, mixer: FacialAttributeMixer) -> None:
    reads, makes = ffrnet.config["cross_attention_dim"], mixer.config["width"]
    if reads != makes:
        raise AdapterError(f"FFRNet reads tokens of width {reads}, but the mixer makes {makes}")
