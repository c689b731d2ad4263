"""A painter in this process: every model is loaded once, when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.machine import free_memory, out_of_memory
from facesnap.core.pose import Pose
from facesnap.serving.config import DEFAULT_MODEL, ModelSource, ServeConfig
from facesnap.serving.painter import Enrolment, Order, Painted, Watch
from facesnap.serving.requests import LoadedModelInfo, ModelInfo

if TYPE_CHECKING:
    from facesnap.serving.loaded import LoadedModel


class LocalPainter:
    """Paints one batch at a time, in whatever thread asks for it.

    Args:
        config: models, device, watermark, safety checker.
    """

    slots = 1

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self._sources = config.sources()
        self._models: dict[str, LoadedModel] = {}
        self._loading = threading.Lock()
        # Photos of many megapixels are looked at one by one, so that memory doesn't grow with the number of clients.
        self._looking = threading.Lock()

    def models(self) -> list[ModelInfo]:
        """See :class:`Painter`."""
        return [
            self._models[name].info if name in self._models else not_loaded(name, source)
            for name, source in self._sources.items()
        ]

    def model(self, name: str) -> LoadedModelInfo:
        """See :class:`Painter`."""
        return self.loaded(name).info

    def enroll(self, photos: Sequence[np.ndarray], face: int | None, model: str) -> Enrolment:
        """See :class:`Painter`."""
        snap = self.loaded(model).snap
        with self._looking:
            identity = snap.enroll(list(photos), face)
            pose = snap.pose_of(identity)
            known = snap.judgement(identity, pose, snap.conditions(identity, pose))
        if known.note or known.recogniser is None:  # no judge: its stand-in's vector is in the identity already
            return Enrolment(identity, pose)
        return Enrolment(identity, pose, known.vector, known.recogniser.identifier)

    def faces(self, photo: np.ndarray) -> list[tuple[float, float, float, float]]:
        """See :class:`Painter`."""
        analyser = self.loaded(DEFAULT_MODEL).snap.analyser
        with self._looking:
            boxes = [[round(float(value), 1) for value in face.box] for face in analyser.detector.detect(photo)]
        return [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes]

    def pose_from(self, photo: np.ndarray, keep_framing: bool) -> Pose:
        """See :class:`Painter`."""
        analyser = self.loaded(DEFAULT_MODEL).snap.analyser
        with self._looking:
            return analyser.pose_from(photo, keep_framing=keep_framing)

    def preview(
        self, identity: Identity, pose: Pose | None, size: tuple[int, int] | None, model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Painter`."""
        snap = self.loaded(model).snap
        identity.check(snap.analyser.encoders)
        size = snap.size(*(size or (None, None)))
        landmarks = snap.predictor.predict(identity.shape, snap.pose_of(identity, pose), size)
        return snap.adapter.draw(landmarks, size), landmarks

    def check(self, identity: Identity, model: str) -> None:
        """See :class:`Painter`."""
        self.loaded(model).snap.conditions(identity)

    def compare(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        """See :class:`Painter`. UsageError if no judge is installed."""
        snap = self.loaded(DEFAULT_MODEL).snap
        if snap.judge is None:
            raise UsageError("no judge of likeness is installed: facesnap doctor says what is missing")
        with self._looking:
            a, b = snap.judge.encode([snap.analyser.read(photo).crop() for photo in (first, second)])
        return {"likeness": round(float(a @ b), 4), "judge": snap.judge.identifier}

    def paint(self, orders: Sequence[Order], watch: Watch) -> list[Painted]:
        """See :class:`Painter`."""
        model = self.loaded(orders[0].request.model)
        try:
            return model.paint(orders, watch)
        except Exception as error:
            if not out_of_memory(error):
                raise
        # Outside of the handler, whose traceback holds every tensor of the batch.
        free_memory()
        raise MemoryError("not enough memory for this batch")

    def close(self) -> None:
        """See :class:`Painter`."""
        with self._loading:
            self._models.clear()
        free_memory()

    def loaded(self, name: str) -> LoadedModel:
        """A model by its name, loaded if it isn't yet.

        Raises:
            UsageError: no model of that name. AdapterError: it is missing or damaged.
        """
        if name not in self._sources:
            raise UsageError(f"no model is named {name[:80]!r}: use one of {', '.join(self._sources)}")
        if name in self._models:  # without waiting for another one that is being loaded
            return self._models[name]
        with self._loading:
            if name not in self._models:
                from facesnap.serving.loaded import LoadedModel

                self._models[name] = LoadedModel(name, self._sources[name], self.config)
            return self._models[name]


def not_loaded(name: str, source: ModelSource) -> ModelInfo:
    """What is known of a model that nobody asked for yet."""
    return ModelInfo(name=name, base=source.base, adapter=source.adapter, loaded=False)
