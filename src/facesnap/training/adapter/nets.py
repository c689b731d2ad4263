"""What is trained: a new mixer and FFRNet, or what an adapter, a published ControlNet or IdentityNet begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from diffusers import ControlNetModel

from facesnap.core.errors import AdapterError, EncoderMismatchError, UsageError, one_line
from facesnap.core.weights import find_local, load_whole, mini_folder, read_config
from facesnap.data.layout import DatasetInfo, decode, shards
from facesnap.data.shards import read_shard
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks, basis_of
from facesnap.models.checkpoint import CONFIG_NAME, load_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.models.published.instantid import IDENTITY_NET
from facesnap.training.adapter.base import Base
from facesnap.training.adapter.config import NetsConfig, ObjectiveConfig
from facesnap.training.adapter.objective import FaceNets

#: What FFRNet shares with the base's encoder, or it couldn't add to it.
_SHARED: Final = (
    "block_out_channels",
    "layers_per_block",
    "transformer_layers_per_block",
    "addition_embed_type",
    "projection_class_embeddings_input_dim",
)


@dataclass(frozen=True)
class Features:
    """Sizes of what a data set's encoders make: D of f_id, (T, C) of f_clip."""

    face: int
    appearance: tuple[int, int]


def features_of(data: Path) -> Features:
    """Read off the first sample. InputError if it is damaged or there is none."""
    for shard in [*shards(data, "train"), *shards(data, "val")]:
        for sample in read_shard(shard):
            example = decode(sample)
            tokens, width = example.f_clip.shape[1:]
            return Features(example.f_id.shape[1], (int(tokens), int(width)))
    raise UsageError(f"{data} holds no photos")


def build_nets(settings: NetsConfig, base: Base, unet: Any, features: Features, info: DatasetInfo) -> FaceNets:
    """The two networks in float32, on the CPU; new weights come from torch's generator.

    Args:
        settings: what to begin with, and sizes.
        base: what they are trained for.
        unet: its UNet.
        features: of the data.
        info: of the data.

    Raises:
        AdapterError: what it shall begin with can't be had, or doesn't fit the base.
        EncoderMismatchError: it is an adapter that was trained on other encoders than the data's.
    """
    if settings.start is not None:
        path = find_start(settings.start)
        if (path / CONFIG_NAME).is_file():
            return _continued(path, base, info)
        ffrnet = _controlnet(path, base)
    else:
        return new_nets(settings, base, unet, features, zero_init=settings.zero_init)
    return FaceNets(ffrnet.train(), _mixer(settings, features, int(ffrnet.config["cross_attention_dim"])))


def new_nets(settings: NetsConfig, base: Base, unet: Any, features: Features, **start: Any) -> FaceNets:
    """The two networks in the sizes of the settings; ``start``: of FFRNet's weights, as :meth:`FFRNet.from_unet` has
    it.
    """
    ffrnet = FFRNet.from_unet(
        unet,
        settings.token_width,
        conditioning_embedding_out_channels=settings.map_channels,
        vae_scale_factor=base.factor,
        down_block_types=level_types(settings.attention, base),
        **start,
    )
    return FaceNets(ffrnet.train(), _mixer(settings, features, int(ffrnet.config["cross_attention_dim"])))


def level_types(attention: tuple[bool, ...] | None, base: Base) -> tuple[str, ...] | None:
    """Diffusers' names of FFRNet's levels; None as the base's. UsageError for another number than the base has."""
    if attention is None:
        return None
    levels = len(base.unet["block_out_channels"])
    if len(attention) != levels:
        raise UsageError(f"nets.attention has {len(attention)} levels, the base has {levels}")
    return tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in attention)


def find_start(name: str) -> Path:
    """The folder that training begins with: of an adapter, or of a ControlNet; a hub id is fetched if it isn't cached.

    Raises:
        AdapterError: nothing of that name can be had, or it is neither.
    """
    path = find_local(name, "ControlNet")
    if path is None:
        from huggingface_hub import snapshot_download

        wanted = ["*config.json", "*.safetensors", CONFIG_NAME]
        try:
            try:
                path = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
            except Exception:  # not (whole) in the cache
                path = Path(snapshot_download(name, allow_patterns=wanted))
        except Exception as error:
            raise AdapterError(f"nets.start={name} can't be fetched: {one_line(error)}") from error
    for folder in (path, path / IDENTITY_NET):
        if (folder / CONFIG_NAME).is_file() or (folder / "config.json").is_file():
            return folder
    raise AdapterError(f"nets.start={name} is neither an adapter folder nor a ControlNet's")


def check_start(path: Path, base: Base) -> str:
    """What training begins with, in words; told by the configs alone.

    Raises:
        AdapterError: it doesn't fit the base.
    """
    if (path / CONFIG_NAME).is_file():
        from facesnap.models.checkpoint import read_adapter_config

        read_adapter_config(path).check_base(base.family, base.name)
        return f"the adapter {path}"
    config = _like_controlnet(path)
    for name in _SHARED:
        ours, theirs = base.unet.get(name), config.get(name)
        if _plain(ours) != _plain(theirs):
            raise AdapterError(f"the ControlNet {path} doesn't fit {base.name}: its {name} is {theirs}, not {ours}")
    return f"the ControlNet {path}, which reads states of width {config['cross_attention_dim']}"


def face_encoder(settings: ObjectiveConfig, info: DatasetInfo, device: torch.device) -> FaceEncoder | None:
    """E_f for L_id; None where that isn't asked for.

    Raises:
        EncoderMismatchError: it isn't what made the data's f_id; names both.
        AdapterError: it can't be loaded.
    """
    if not settings.lambda_id or not settings.id_batch:
        return None
    folder = settings.face_encoder or mini_folder() / "face_encoder"
    encoder = FaceEncoder.from_pretrained(folder, device=device)
    made_with = info.encoders.get("face", "no such encoder")
    if encoder.identifier != made_with:
        raise EncoderMismatchError(
            f"this data set's face encoder is {made_with}, but L_id would compare with {encoder.identifier}: give its"
            " folder as objective.face_encoder, prepare the data again with this one, or set objective.lambda_id=0"
            " (an ONNX recogniser gives no gradients)"
        )
    return encoder


def morphable(settings: ObjectiveConfig, info: DatasetInfo) -> MorphableLandmarks | None:
    """The basis of the data's shapes; None where no map needs it.

    Raises:
        EncoderMismatchError: the data's shapes refer to another one; names both.
    """
    if not settings.reference_shape:
        return None
    model = MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)
    made_with, ours = info.encoders.get("shape", "no basis"), basis_of(model)
    if made_with != ours:
        raise EncoderMismatchError(
            f"this data set's shapes refer to {made_with}, but {ours} is at hand: prepare it again, or set"
            " objective.reference_shape=0"
        )
    return model


def _mixer(settings: NetsConfig, features: Features, width: int) -> FacialAttributeMixer:
    if width % settings.heads:
        raise UsageError(f"nets.heads={settings.heads} must divide the tokens' width {width}")
    mixer: FacialAttributeMixer = FacialAttributeMixer(
        *(features.face, features.appearance[1], width, settings.id_tokens, settings.tokens),
        heads=settings.heads,
        decoder_layers=settings.decoder_layers,
    )
    return mixer


def _continued(path: Path, base: Base, info: DatasetInfo) -> FaceNets:
    adapter = load_adapter(path)
    adapter.config.check_base(base.family, base.name)
    for part in ("face", "appearance"):
        theirs, ours = adapter.config.encoders.get(part), info.encoders.get(part)
        if theirs != ours:
            raise EncoderMismatchError(
                f"the adapter {path} was trained with the {part} encoder {theirs}, the data {ours}"
            )
    return FaceNets(cast(FFRNet, adapter.ffrnet.train()), cast(FacialAttributeMixer, adapter.mixer.train()))


def _controlnet(path: Path, base: Base) -> FFRNet:
    check_start(path, base)
    names = [file.name for file in path.glob("*.safetensors")]
    variant = "fp16" if names and all(".fp16" in name for name in names) else None
    return cast(FFRNet, load_whole(FFRNet, path, f"the ControlNet {path}", dtype=torch.float32, variant=variant))


def _like_controlnet(path: Path) -> Mapping[str, Any]:
    config = read_config(path)
    if config.get("_class_name") not in (ControlNetModel.__name__, FFRNet.__name__):
        raise AdapterError(f"{path} is a {config.get('_class_name', 'model of unknown kind')}, not a ControlNet")
    return config


def _plain(value: Any) -> Any:
    """Lists as tuples, and 1 for what has one transformer per block by default."""
    return tuple(value) if isinstance(value, list) else value
