"""All that a FaceSnap consists of, from names, or around a pipeline that is already there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from facesnap.core.errors import AdapterError, UsageError
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.encode import OnnxFaceEncoder
from facesnap.models.checkpoint import AdapterConfig, load_adapter, read_adapter_config
from facesnap.models.published import InstantID, PublishedAdapter, read_published
from facesnap.pipelines.adapters import PLUS_CROP, FaceAdapter, MixerAdapter, PublishedFace
from facesnap.pipelines.analyser import Analyser
from facesnap.pipelines.loading.adapter_files import find_adapter
from facesnap.pipelines.loading.attach import attach, attach_published, check_pipeline
from facesnap.pipelines.loading.bases.find import find_base, read_unet
from facesnap.pipelines.loading.bases.folders import read_parts
from facesnap.pipelines.loading.controlnets import beside, find_controlnet, load_controlnet
from facesnap.pipelines.loading.load import choose_dtype, load_pipeline, load_published
from facesnap.pipelines.loading.offload import check_offload, place


class Parts(NamedTuple):
    """Pipeline, encoders, adapter; and name -> file or folder of the weights."""

    pipeline: Any
    analyser: Analyser
    adapter: FaceAdapter
    sources: Mapping[str, Path]


@dataclass(frozen=True)
class Encoding:
    """An adapter that was found, and the encoders whose output it reads: all that enrolment needs.

    Attributes:
        folder: of the adapter; of a published one maybe its file.
        analyser: the encoders.
        fits: what the adapter fits: its config, or the published adapter itself.
    """

    folder: Path
    analyser: Analyser
    fits: AdapterConfig | PublishedAdapter

    @property
    def published(self) -> PublishedAdapter | None:
        """The adapter, if it is another project's."""
        return self.fits if isinstance(self.fits, PublishedAdapter) else None

    def check_family(self, family: str, base: object) -> None:
        """AdapterError unless the adapter fits a family of bases."""
        (self.fits.check_family if isinstance(self.fits, PublishedAdapter) else self.fits.check_base)(family, base)

    def published_face(self) -> PublishedFace:
        """Another project's adapter, as the pipelines take it."""
        assert self.published is not None
        return PublishedFace(self.published, self.analyser.appearance_encoder.empty)

    def sources(self) -> dict[str, Path]:
        """Name -> file or folder of the adapter's weights."""
        if self.published is None:
            return {"ffrnet": self.folder / "ffrnet", "mixer": self.folder / "mixer"}
        found = {"adapter": self.published.file}
        if isinstance(self.published, InstantID):
            found["identity_net"] = self.published.identity_folder
        return found


def load_encoding(
    adapter: str | Path | None, face_encoder: str | Path | None = None, image_encoder: str | Path | None = None
) -> Encoding:
    """Find an adapter, and load the encoders that go with it.

    Args:
        adapter: see :meth:`FaceSnap.from_pretrained`.
        face_encoder: E_f, an ONNX file; None is mini's.
        image_encoder: E_c, a transformers folder; None is mini's. Published adapters see another crop by it.

    Raises:
        AdapterError: one of them is missing or damaged.
        EncoderMismatchError: the adapter was trained with other encoders.
        MissingExtraError: an ONNX file needs onnxruntime.
    """
    folder = find_adapter(adapter)
    published = None if adapter is None else read_published(folder)
    fits = published or read_adapter_config(folder)
    how = {} if published is None else PLUS_CROP
    made = Encoding(folder, _analyser(face_encoder, image_encoder, how), fits)
    if isinstance(fits, AdapterConfig):
        fits.check_encoders(made.analyser.encoders)
    else:
        made.published_face().check(made.analyser)
    return made


def load_encoders(
    adapter: str | Path | None, face_encoder: str | Path | None = None, image_encoder: str | Path | None = None
) -> Analyser:
    """The encoders alone, for enrolment, see :func:`load_encoding`; without an adapter nobody is asked if they fit."""
    if adapter is None:
        return _analyser(face_encoder, image_encoder)
    return load_encoding(adapter, face_encoder, image_encoder).analyser


def load_parts(
    base: str | Path,
    adapter: str | Path | None,
    device: torch.device,
    dtype: str | torch.dtype,
    *,
    base_config: str | Path | None = None,
    controlnets: Sequence[str | Path] = (),
    face_encoder: str | Path | None = None,
    image_encoder: str | Path | None = None,
    offload: str = "none",
) -> Parts:
    """See :meth:`FaceSnap.from_pretrained`; what can be refused is, before a base's gigabytes travel or are read."""
    check_offload(offload, device)
    number = choose_dtype(dtype, device)
    encoding = load_encoding(adapter, face_encoder, image_encoder)
    if encoding.published is not None:
        encoding.published.require_extras()
        if controlnets and not isinstance(encoding.published, InstantID):
            raise UsageError(f"{encoding.published.kind} works without ControlNets: leave out controlnets")
    path = find_base(base, encoding.check_family)
    if adapter is None and path.is_dir() and "mixer" in read_parts(path):
        raise AdapterError(
            f"{base} is a saved FaceSnap pipeline, whose adapter is not read from there: write that by"
            " snap.save_pretrained(FOLDER), and give the folder as adapter"
        )
    nets = {f"controlnet_{i}": find_controlnet(name, read_unet(path), base) for i, name in enumerate(controlnets, 1)}
    made: FaceAdapter
    if encoding.published is not None:
        made, pipeline = encoding.published_face(), load_published(path, encoding.published, number, base_config)
    else:
        pipeline, config = load_pipeline(path, encoding.folder, number, base_config)
        assert pipeline.mixer is not None
        made = MixerAdapter(pipeline.mixer, config)
    if nets:
        others = [load_controlnet(folder, pipeline.unet.dtype) for folder in nets.values()]
        pipeline.register_modules(controlnet=beside(pipeline.ffrnet, others))
    sources = {**encoding.sources(), **nets, "base": path / "unet" if path.is_dir() else path}
    return Parts(place(pipeline, device, offload), encoding.analyser, made, sources)


def parts_around(
    pipeline: Any,
    adapter: str | Path | None,
    *,
    face_encoder: str | Path | None = None,
    image_encoder: str | Path | None = None,
) -> Parts:
    """See :meth:`FaceSnap.from_pipe`."""
    family = check_pipeline(pipeline)
    encoding = load_encoding(adapter, face_encoder, image_encoder)
    encoding.check_family(family, type(pipeline).__name__)
    made: FaceAdapter
    if encoding.published is not None:
        made, around = encoding.published_face(), attach_published(pipeline, encoding.published)
    else:
        loaded = load_adapter(encoding.folder)
        made, around = MixerAdapter(loaded.mixer, loaded.config), attach(pipeline, loaded)
    return Parts(around, encoding.analyser, made, encoding.sources())


def _analyser(
    face_encoder: str | Path | None, image_encoder: str | Path | None, how: Mapping[str, Any] = MappingProxyType({})
) -> Analyser:
    """Mini's encoders, but for those named; ``how``: what of a face E_c is shown, and which of its states are read."""
    faces = None if face_encoder is None else OnnxFaceEncoder(face_encoder)
    sees = None if image_encoder is None else AppearanceEncoder.from_pretrained(image_encoder, **how)
    return Analyser.from_pretrained("mini", face_encoder=faces, appearance_encoder=sees)
