"""What each speed leaves out, counted; and that pictures are what they should be then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionControlNetPipeline
from tests.pipelines.test_diffusers_user import depth
from tests.pipelines.work import Work, counted

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.models import recall
from facesnap.models.savings import NAIVE, SPEEDS, Savings
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.passes.many import Portrait

STEPS = 8
SCENE = np.random.default_rng(4).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def made(snap: FaceSnap, me: Identity, speed: Any = "exact", **options: Any) -> np.ndarray:
    given = {"pose": Pose(), "seed": 1, "output_type": "np", "num_inference_steps": STEPS, **options}
    return np.asarray(snap("a face", me, speed=speed, **given).images)


def worked(snap: FaceSnap, me: Identity, speed: Any, **options: Any) -> Work:
    with counted(snap.pipeline) as work:
        made(snap, me, speed, **options)
    return work


def off(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).max())


# --- what costs nothing changes nothing ---


def test_kept_keys_give_the_same_bits(snap: FaceSnap, me: Identity) -> None:
    for options in ({}, {"num_images_per_prompt": 2}, {"image": SCENE}, {"guidance_scale": 1.0}):
        assert np.array_equal(made(snap, me, **options), made(snap, me, NAIVE, **options))


def test_keys_are_computed_once_for_texts_and_faces(snap: FaceSnap, me: Identity) -> None:
    exact, naive = worked(snap, me, "exact"), worked(snap, me, NAIVE)
    assert exact.projections * STEPS == naive.projections > 0
    assert exact.unet == naive.unet == exact.ffrnet == [2] * STEPS
    assert exact.maps == naive.maps == 1
    assert exact.bytes < naive.bytes


def test_a_prompt_that_a_callback_changes_has_its_own_keys(snap: FaceSnap, me: Identity) -> None:
    def change(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"prompt_embeds": tensors["prompt_embeds"].mul_(1.1) if step == 1 else tensors["prompt_embeds"]}

    asked = {"callback_on_step_end": change, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    assert np.array_equal(made(snap, me, **asked), made(snap, me, NAIVE, **asked))
    assert off(made(snap, me, **asked), made(snap, me)) > 1e-6


# --- what is left out ---


def test_shared_residuals_are_those_without_guidance_of_the_face(snap: FaceSnap, me: Identity) -> None:
    shared = Savings(share_residuals=True)
    assert off(made(snap, me, shared), made(snap, me, identity_guidance=0.0)) < 1e-5
    assert off(made(snap, me, shared), made(snap, me)) > 1e-6
    assert worked(snap, me, shared).ffrnet == [1] * STEPS


def test_residuals_are_given_again(snap: FaceSnap, me: Identity) -> None:
    assert worked(snap, me, Savings(residuals_every=3)).ffrnet == [2, 2, 2]
    assert worked(snap, me, Savings(residuals_until=0.25)).ffrnet == [2, 2]
    assert worked(snap, me, Savings(residuals_every=3)).unet == [2] * STEPS
    assert off(made(snap, me, Savings(residuals_every=3)), made(snap, me)) > 1e-6


def test_other_windows_or_strengths_need_new_residuals(snap: FaceSnap, me: Identity) -> None:
    once = Savings(residuals_until=0.0)
    work = worked(snap, me, once, landmark_window=(0.0, 0.5))
    assert work.ffrnet == [2, 2]
    work = worked(snap, me, once, control_guidance_end=0.5)
    assert work.ffrnet == [2, 2]


def test_the_last_steps_without_the_unguided_half(snap: FaceSnap, me: Identity) -> None:
    none = made(snap, me, Savings(guidance_until=0.0))
    assert off(none, made(snap, me, guidance_scale=1.0)) < 1e-5
    work = worked(snap, me, Savings(guidance_until=0.75))
    assert work.unet == work.ffrnet == [2] * 6 + [1] * 2
    for guidance, differs in ((9.0, True), (1.0, False)):
        asked = {"guidance_scale": guidance}
        change = off(made(snap, me, Savings(guidance_until=0.25), **asked), made(snap, me, **asked))
        assert change > 1e-6 if differs else change == 0


def test_deep_features_are_recalled(snap: FaceSnap, me: Identity) -> None:
    work = worked(snap, me, Savings(deep_every=3))
    assert len(work.unet) == STEPS
    assert work.deep == 3
    assert work.ffrnet == [2] * 3
    assert off(made(snap, me, Savings(deep_every=3)), made(snap, me)) > 1e-6
    closed = Savings(deep_every=3, deep_window=(0.0, 0.0))
    assert np.array_equal(made(snap, me, closed), made(snap, me))
    less, more = (worked(snap, me, Savings(deep_every=3, deep_kept=kept)).bytes for kept in (1, 2))
    assert less < more < worked(snap, me, "exact").bytes


def test_deep_features_end_with_their_call(snap: FaceSnap, me: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []
    stock = recall._Deep.__init__
    monkeypatch.setattr(recall._Deep, "__init__", lambda self, *args: (held.append(self), stock(self, *args))[1])
    made(snap, me, "fast")
    assert held
    assert not any(deep._made for deep in held)


def test_nothing_is_recalled_from_call_to_call(snap: FaceSnap, me: Identity) -> None:
    first = made(snap, me, "fast")
    made(snap, me, "fast", seed=2, num_images_per_prompt=2)
    assert np.array_equal(made(snap, me, "fast"), first)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize(
    "road",
    [
        {"num_images_per_prompt": 3},
        {"image": SCENE},
        {"image": SCENE, "mask_image": 255 * (SCENE > 128).astype(np.uint8)},
        {"guidance_scale": 1.0},
        {"guess_mode": True},
    ],
    ids=["pictures", "image", "mask", "unguided", "guess"],
)
def test_on_every_road(snap: FaceSnap, me: Identity, speed: str, road: dict[str, Any]) -> None:
    pictures = made(snap, me, speed, **road)
    assert np.isfinite(pictures).all()
    if speed == "exact":
        assert np.array_equal(pictures, made(snap, me, NAIVE, **road))
    else:
        assert off(pictures, made(snap, me, **road)) > 1e-7


def test_a_picture_of_a_batch_is_what_it_is_alone(snap: FaceSnap, me: Identity) -> None:
    alone = [made(snap, me, "fast", seed=seed) for seed in (3, 4)]
    together = made(snap, me, "fast", seed=3, num_images_per_prompt=2)
    assert off(np.concatenate(alone), together) < 1e-5
    many = snap.many([Portrait("a face", me, Pose(), seeds=s) for s in (3, 4)], speed="fast", num_inference_steps=STEPS)
    for result, picture in zip(many, together, strict=True):
        assert np.abs(np.asarray(result.images[0], float) - 255 * picture).max() < 1.0
        assert result.settings["savings"]["deep_every"] == SPEEDS["fast"].deep_every


def test_beside_another_controlnet(mini: Any, me: Identity) -> None:
    stock = StableDiffusionControlNetPipeline.from_pretrained(
        mini / "base", controlnet=depth(), low_cpu_mem_usage=False
    )
    both = FaceSnap.from_pipe(stock)
    asked: dict[str, Any] = {"control_images": [SCENE]}
    assert np.isfinite(made(both, me, "fast", **asked)).all()
    # The other's residuals are added in place: what is recalled must not grow by them.
    held = Savings(residuals_until=0.0)
    silent = made(both, me, held, **asked, control_scales=[0.0])
    assert off(silent, made(FaceSnap.from_pretrained("mini", device="cpu"), me, held)) < 1e-5
    assert off(made(both, me, held, **asked), silent) > 1e-6


def test_what_has_no_ffrnet_saves_nothing(mini: Any, me: Identity) -> None:
    from facesnap.pipelines.call.request import take_speed

    class Blind:
        control_scale = None

    assert take_speed("exact", Blind()) == Savings()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="leave out speed"):
        take_speed("fast", Blind())  # type: ignore[arg-type]


# --- the guard: what each speed does for one portrait, so that a saving can't quietly disappear ---


@dataclass(frozen=True)
class Most:
    """Rows of each run of UNet and FFRNet, whole runs of the UNet, and the most bytes written (share of naive's)."""

    unet: list[int]
    ffrnet: list[int]
    whole: int
    bytes: float


MOST = {
    "exact": Most([2] * 8, [2] * 8, 8, 0.99),
    "balanced": Most([2] * 8, [2] * 4, 4, 0.70),
    "fast": Most([2] * 8, [2] * 2, 2, 0.46),
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_no_more_work_than_each_speed_should_do(snap: FaceSnap, me: Identity, speed: str) -> None:
    work, most = worked(snap, me, speed), MOST[speed]
    assert (work.unet, work.ffrnet, work.deep) == (most.unet, most.ffrnet, most.whole)
    assert work.maps == 1
    layers = sum(name.endswith(("attn2.to_k", "attn2.to_v")) for net in (snap.pipeline.unet, snap.pipeline.ffrnet)
                 for name, _ in net.named_modules())  # fmt: skip
    halves = len(set(work.unet))  # a text of two rows, and its guided row
    assert work.projections <= layers * halves
    share = work.bytes / worked(snap, me, NAIVE).bytes
    assert share <= most.bytes
    assert share > most.bytes - 0.03, "work has become less: lower the guard"
