"""A call leaves nothing behind, and two of them can run side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from diffusers import DPMSolverMultistepScheduler, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from tests.pipelines.test_diffusers_user import depth

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.facade import FaceSnap

SCENE = np.random.default_rng(4).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def made(snap: FaceSnap, me: Identity, **options: Any) -> np.ndarray:
    given = {"pose": Pose(), "seed": 1, "output_type": "np", "num_inference_steps": 3, **options}
    return np.asarray(snap("a face", me, **given).images)


def test_two_threads_with_different_steps(snap: FaceSnap, me: Identity) -> None:
    snap.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(snap.pipeline.scheduler.config)
    asked = [{"num_inference_steps": n, "seed": n} for n in (3, 9, 5, 7)]
    alone = [made(snap, me, **options) for options in asked]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda options: made(snap, me, **options), asked))
    assert all(np.abs(a - b).max() < 1e-5 for a, b in zip(alone, together, strict=True))


def test_callbacks_get_the_calls_own_pipeline(snap: FaceSnap, me: Identity) -> None:
    seen: list[Any] = []

    def stop(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(pipeline)
        pipeline._interrupt = True
        return tensors

    before = snap.pipeline.scheduler
    made(snap, me, callback_on_step_end=stop)
    assert len(seen) == 1
    assert seen[0] is not snap.pipeline
    assert seen[0].unet is snap.pipeline.unet
    assert snap.pipeline.scheduler is before is not seen[0].scheduler
    assert not getattr(snap.pipeline, "_interrupt", False)


@pytest.mark.parametrize("road", [{}, {"image": SCENE}], ids=["text", "image"])
def test_offloading_is_freed_on_every_road_and_after_a_fall(
    snap: FaceSnap, me: Identity, road: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(snap.pipeline, "maybe_free_model_hooks", lambda: freed.append(True), raising=False)
    made(snap, me, **road)
    assert len(freed) == 1

    def fall(*_: Any) -> Any:
        raise RuntimeError("fell")

    with pytest.raises(RuntimeError, match="fell"):
        made(snap, me, callback_on_step_end=fall, **road)
    assert len(freed) == 2


def test_closed_windows_beside_another_controlnet(mini: Any, me: Identity) -> None:
    stock = StableDiffusionControlNetPipeline.from_pretrained(
        mini / "base", controlnet=depth(), low_cpu_mem_usage=False
    )
    both = FaceSnap.from_pipe(stock)
    shown = {"control_images": [SCENE]}
    closed = made(both, me, **shown, identity_window=(0, 0), landmark_window=(0, 0))
    assert np.abs(closed - made(both, me, **shown, landmark_scale=0.0)).max() < 1e-4
    part = made(both, me, **shown, identity_window=(0, 0.5), landmark_window=(0, 0.5), num_images_per_prompt=2)
    assert np.abs(part[0] - closed[0]).max() > 1e-5
    made(both, me, **shown, identity_window=(0, 0), landmark_window=(0, 0), guess_mode=True)


def test_map_scale_reaches_the_picture(snap: FaceSnap, me: Identity) -> None:
    plain = made(snap, me)
    assert np.array_equal(made(snap, me, map_scale=1.0), plain)
    none = made(snap, me, map_scale=0.0)
    assert np.abs(none - plain).max() > 1e-5
    assert np.abs(none - made(snap, me, map_scale=0.0, pose=Pose(yaw=30))).max() < 1e-5, "no map, no pose"
    assert np.abs(none - made(snap, me, map_scale=0.0, identity_scale=0.0)).max() > 1e-5, "the person stays"
    assert np.abs(none - made(snap, me, landmark_window=(0.0, 0.0))).max() < 1e-4


def test_two_text_encoders_read_one_prompt() -> None:
    from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
    from facesnap.pipelines.call.request import check_options

    with pytest.raises(UsageError, match="prompt_2: both text encoders read the same prompt"):
        check_options(FaceSnapXLPipeline, {"prompt_2": "a hat"}, frozenset())


def test_a_call_warns_of_nothing(mini: Any, me: Identity, caplog: pytest.LogCaptureFixture) -> None:
    stock = StableDiffusionPipeline.from_pretrained(mini / "base", low_cpu_mem_usage=False, safety_checker=None)
    stock.register_to_config(requires_safety_checker=True)
    attached = FaceSnap.from_pipe(stock)
    assert attached.pipeline.config["requires_safety_checker"] is True
    caplog.clear()
    made(attached, me)
    made(attached, me, image=SCENE)
    assert not [record for record in caplog.records if "safety checker" in record.getMessage()]
