"""Decoding one by one, or in tiles, where memory is short; and everything as it was afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from tests.models import tiny

from facesnap.core.pose import Pose
from facesnap.pipelines.call import decoding as room
from facesnap.pipelines.facade import FaceSnap

CPU = torch.device("cpu")


class Pipeline:
    def __init__(self) -> None:
        self.vae = tiny.vae()


@pytest.mark.parametrize(
    ("free", "pictures", "slicing", "tiling"),
    [
        (100.0, 4, False, False),
        (3.0, 4, True, False),
        (3.0, 2, False, False),
        (1.0, 1, True, True),
        (None, 9, False, False),
    ],
)
def test_as_memory_asks(
    monkeypatch: pytest.MonkeyPatch, free: float | None, pictures: int, slicing: bool, tiling: bool
) -> None:
    pipeline, size = Pipeline(), (32, 32)
    each = room.bytes_to_decode(pipeline.vae, size)
    monkeypatch.setattr(room, "free_bytes", lambda device: None if free is None else int(free * each))
    with room.decoding(pipeline, pictures, size, CPU):
        assert (pipeline.vae.use_slicing, pipeline.vae.use_tiling) == (slicing, tiling)
    assert not (pipeline.vae.use_slicing)
    assert not (pipeline.vae.use_tiling)
    pipeline.vae.enable_slicing()
    with room.decoding(pipeline, 1, size, CPU):
        assert pipeline.vae.use_slicing
    assert pipeline.vae.use_slicing


def test_two_calls_at_once_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, size = Pipeline(), (32, 32)
    monkeypatch.setattr(room, "free_bytes", lambda device: 1)
    first, second = (room.decoding(pipeline, 1, size, CPU) for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert pipeline.vae.use_tiling  # the second still needs it
    second.__exit__(None, None, None)
    assert not pipeline.vae.use_tiling
    assert not pipeline.vae.use_slicing


def test_half_precision_that_is_decoded_in_full_is_counted_in_full() -> None:
    vae = tiny.vae()
    full = room.bytes_to_decode(vae, (32, 32))
    vae.to(torch.float16)
    vae.register_to_config(force_upcast=True)
    assert room.bytes_to_decode(vae, (32, 32)) == full
    vae.register_to_config(force_upcast=False)
    assert room.bytes_to_decode(vae, (32, 32)) == full // 2


def test_one_by_one_gives_the_same_pictures(snap: FaceSnap, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    me = snap.enroll(photo)
    asked: dict[str, Any] = {"seed": 1, "num_images_per_prompt": 3, "output_type": "np"}
    before = np.asarray(snap("a face", me, Pose(), **asked).images)
    rows: list[int] = []
    stock = AutoencoderKL._decode
    monkeypatch.setattr(AutoencoderKL, "_decode", lambda self, z, **o: (rows.append(len(z)), stock(self, z, **o))[1])
    monkeypatch.setattr(room, "free_bytes", lambda device: 2 * room.bytes_to_decode(snap.pipeline.vae, (32, 32)))
    after = np.asarray(snap("a face", me, Pose(), **asked).images)
    assert rows == [1, 1, 1]
    assert np.abs(after - before).max() < 1e-5


def test_what_is_free_is_known_here() -> None:
    assert (room.free_bytes(CPU) or 0) > 2**20
    assert room.free_bytes(torch.device("meta")) is None
