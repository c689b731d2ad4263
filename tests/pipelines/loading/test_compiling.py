"""Compiled blocks draw the same; what can't be looked into is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from facesnap.core.errors import UsageError
from facesnap.core.pose import Pose
from facesnap.models.recall import is_compiled, kept_keys
from facesnap.pipelines.facade import FaceSnap


def test_blocks_are_compiled_and_draw_the_same(snap: FaceSnap, photo: np.ndarray) -> None:
    me, asked = snap.enroll(photo), {"seed": 1, "output_type": "np", "num_inference_steps": 4}

    def made(speed: str) -> Any:
        return np.asarray(snap("a face", me, Pose(), speed=speed, **asked).images)

    before = {speed: made(speed) for speed in ("exact", "fast")}
    assert snap.compile(backend="eager") == 6
    blocks = [module for module in snap.pipeline.unet.modules() if type(module).__name__ == "BasicTransformerBlock"]
    assert all(map(is_compiled, blocks))
    assert not kept_keys(snap.pipeline.unet)
    for speed, picture in before.items():
        assert np.abs(made(speed) - picture).max() < 1e-5
    made_anew = {"num_images_per_prompt": 3, "guidance_scale": 1.0, "seed": 2}
    assert np.isfinite(np.asarray(snap("a face", me, Pose(), **{**asked, **made_anew}).images)).all()
    runs: list[Any] = []
    snap.pipeline.unet.mid_block.resnets[0].register_forward_hook(lambda *_: runs.append(1))
    made("fast")
    assert 0 < len(runs) < 4  # the deep features of compiled blocks are recalled, too


def test_a_whole_compiled_unet_recalls_nothing(snap: FaceSnap, photo: np.ndarray) -> None:
    me = snap.enroll(photo)
    snap.pipeline.unet = torch.compile(snap.pipeline.unet, backend="eager")
    with pytest.raises(UsageError, match="compiled as a whole"):
        snap("a face", me, Pose(), speed="fast")
    with pytest.raises(UsageError, match="compiled already"):
        snap.compile()
