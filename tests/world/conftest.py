from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import pytest

from facesnap.core.errors import FaceSnapError
from facesnap.core.types import Camera, rotation_matrix
from facesnap.core.weights import mini_folder
from facesnap.landmarks.layout import five_points
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks
from facesnap.world.datasets import shards, splits
from facesnap.world.facekit.head import HeadModel, load_head


@pytest.fixture(scope="session")
def head() -> HeadModel:
    try:
        return load_head()
    except FaceSnapError as error:
        pytest.skip(f"portrait world not tested: {error}")


@pytest.fixture(scope="session")
def renderer(head):
    pytest.importorskip("moderngl", reason="portrait world not tested: pip install facesnap[world]")
    from facesnap.world.render.renderer import Renderer

    try:
        return Renderer(128)
    except FaceSnapError as error:
        pytest.skip(f"portrait world not tested: {error}")


@pytest.fixture(scope="session")
def packaged() -> MorphableLandmarks:
    return MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)


def _labels(model: MorphableLandmarks, settings: splits.Settings, person: int, index: int) -> dict[str, Any]:
    """Labels as the renderer writes them, of a picture that nobody rendered."""
    of_person, rng = np.random.default_rng(person), np.random.default_rng([person, index])
    identity, expression = of_person.normal(0, 1, 100).round(5), rng.uniform(0, 0.2, 53).round(5)
    pose = {"yaw": float(rng.normal(0, 20)), "pitch": float(rng.normal(0, 5)), "roll": 2.0}
    camera = Camera(settings.size / 30, settings.size / 2, settings.size / 2, 1 / 90)
    points3d = model.landmarks3d(model.shape_from_full(identity), expression)
    points = camera.project(points3d @ rotation_matrix(**pose).T)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    skin, hair = ("pale", "fair", "tan")[person % 3], str(rng.choice(["bob", "bun"]))
    return {
        "person_id": person, "index": index, "seed": settings.seed, "preset": settings.preset, "size": settings.size,
        "style": "photo", "identity": identity.tolist(), "pose": pose, "camera": asdict(camera),
        "expression": expression.tolist(), "gaze": [1.0, 0.0], "landmarks2d": points.round(3).tolist(),
        "landmarks3d": points3d.round(4).tolist(), "visible": [True] * 71 + [False], "occluded": [False] * 72,
        "points5": five_points(points).round(3).tolist(), "box": box.round(3).tolist(),
        "attributes": {"skin": skin, "hair_style": hair, "halo": "golden"}, "person": {"age": person % 7 / 7},
        "conditions": {"hair_style": hair}, "captions": ["a portrait of a person", "a person", "a photo"],
        "split": settings.split,
    }  # fmt: skip


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch, packaged: MorphableLandmarks) -> Callable[..., Any]:
    """Shards of two people, and of pictures that need neither OpenGL nor the head model; how one is labelled."""

    def samples(job: shards.Job) -> Iterator[dict[str, Any]]:
        side = job.settings.size
        for person in range(job.block.first, job.block.first + job.block.people):
            for index in range(job.settings.images_per_person):
                picture = np.full((side, side, 3), (person % 200, index, 0), np.uint8)
                picture[0] = 255
                classes = np.zeros((side, side), np.uint8)
                classes[side // 2 :] = 1
                labels = json.dumps(_labels(packaged, job.settings, person, index)).encode()
                key = splits.key_of(person, index)
                yield {"__key__": key, "png": _png(picture[..., ::-1]), "seg.png": _png(classes), "json": labels}

    monkeypatch.setattr(splits, "PEOPLE_PER_SHARD", 2)
    monkeypatch.setattr(shards, "_samples", samples)
    monkeypatch.setattr(shards, "find_head_file", lambda: None)
    return lambda settings, person, index: _labels(packaged, settings, person, index)
