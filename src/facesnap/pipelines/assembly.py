"""All that a FaceSnap consists of, from names, or around a pipeline that is already there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.encode import OnnxFaceEncoder
from facesnap.models.checkpoint import load_adapter, read_adapter_config
from facesnap.models.published import PublishedAdapter, read_published
from facesnap.pipelines.adapters import PLUS_CROP, FaceAdapter, MixerAdapter, PublishedFace
from facesnap.pipelines.attach import attach, beside, load_controlnets
from facesnap.pipelines.bases.find import find_base
from facesnap.pipelines.conditions import Analyser
from facesnap.pipelines.loading import choose_dtype, find_adapter, load_pipeline, load_published


class Parts(NamedTuple):
    """Pipeline, encoders, adapter; and name -> file or folder of the weights."""

    pipeline: Any
    analyser: Analyser
    adapter: FaceAdapter
    sources: Mapping[str, Path]


def load_parts(
    base: str | Path,
    adapter: str | Path | None,
    device: torch.device,
    dtype: str | torch.dtype,
    *,
    base_config: str | Path | None,
    controlnets: Sequence[str | Path],
    face_encoder: str | Path | None,
    image_encoder: str | Path | None,
) -> Parts:
    """See :meth:`FaceSnap.from_pretrained`."""
    number, folder = choose_dtype(dtype, device), find_adapter(adapter)
    published = None if adapter is None else read_published(folder)
    path = find_base(base, None if published else read_adapter_config(folder))
    analyser = _analyser(published, face_encoder, image_encoder)
    made: FaceAdapter
    if published is not None:
        made = PublishedFace(published, analyser.appearance_encoder.empty)
        made.check(analyser)  # before gigabytes are read
        pipeline, sources = load_published(path, published, number, base_config), {"adapter": published.file}
    else:
        pipeline, config = load_pipeline(path, folder, number, base_config)
        made, sources = MixerAdapter(pipeline.mixer, config), _own_sources(folder)
    if controlnets:
        others = load_controlnets(controlnets, pipeline.unet.dtype)
        pipeline.register_modules(controlnet=beside(pipeline.ffrnet, others))
    sources["base"] = path / "unet" if path.is_dir() else path
    return Parts(pipeline.to(device), analyser, made, sources)


def parts_around(pipeline: Any, adapter: str | Path | None) -> Parts:
    """See :meth:`FaceSnap.from_pipe`."""
    folder = find_adapter(adapter)
    loaded = load_adapter(folder)
    own = MixerAdapter(loaded.mixer, loaded.config)
    return Parts(attach(pipeline, loaded), Analyser.from_pretrained("mini"), own, _own_sources(folder))


def _own_sources(folder: Path) -> dict[str, Path]:
    return {"ffrnet": folder / "ffrnet", "mixer": folder / "mixer"}


def _analyser(
    published: PublishedAdapter | None, face_encoder: str | Path | None, image_encoder: str | Path | None
) -> Analyser:
    """Mini's encoders, but for those named."""
    faces = None if face_encoder is None else OnnxFaceEncoder(face_encoder)
    how = {} if published is None else PLUS_CROP
    sees = None if image_encoder is None else AppearanceEncoder.from_pretrained(image_encoder, **how)
    return Analyser.from_pretrained("mini", face_encoder=faces, appearance_encoder=sees)
