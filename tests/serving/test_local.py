"""The painter of this process, on the tiny model: real networks, real steps."""

from __future__ import annotations

import io
import json
import pickle
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipelines.conftest import FixedDetector
from tests.serving import checked as checked_base
from tests.serving.scripted import request

from facesnap.core.errors import NoFaceError, PromptError, UsageError
from facesnap.core.pose import Pose
from facesnap.serving import watermark
from facesnap.serving.checker import SafetyFlags
from facesnap.serving.config import ServeConfig
from facesnap.serving.loaded import FLAGGED
from facesnap.serving.local import LocalPainter
from facesnap.serving.painter import Enrolment, Order
from facesnap.serving.provenance import mark_of
from facesnap.serving.requests import PoseRequest

BOX = (30, 30, 120, 120)


class Seen:
    """Writes down what it is told; ``stop_after``: how many steps until all of ``ids`` are wanted no more."""

    def __init__(self, stop_after: int = 10**9, ids: Collection[str] = ()) -> None:
        self.steps: list[tuple[int, int]] = []
        self.previews: list[Mapping[str, bytes]] = []
        self.stop_after, self.ids = stop_after, ids

    def step(self, step: int, steps: int, previews: Mapping[str, bytes] | None) -> None:
        self.steps.append((step, steps))
        self.previews.append(previews or {})

    def stopped(self) -> Collection[str]:
        return self.ids if len(self.steps) >= self.stop_after else ()


@pytest.fixture
def config(tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServeConfig:
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    return ServeConfig(data=tmp_path, device="cpu")


@pytest.fixture(scope="module")
def loaded(tiny_mini: Path) -> Iterator[LocalPainter]:
    """One for all tests that don't change it: loading takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACESNAP_MINI", str(tiny_mini))
        painter = with_faces(LocalPainter(ServeConfig(device="cpu")))
        painter.model("default")
        assert painter.loaded("default").snap.judge is not None
        yield painter


@pytest.fixture
def painter(loaded: LocalPainter) -> LocalPainter:
    return with_faces(loaded)


def with_faces(painter: LocalPainter, *boxes: tuple[int, int, int, int]) -> LocalPainter:
    painter.loaded("default").snap.analyser.detector = FixedDetector(*(boxes or (BOX,)))
    return painter


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8)


@pytest.fixture
def me(painter: LocalPainter, photo: np.ndarray) -> Enrolment:
    return painter.enroll([photo], None, "default")


def order(me: Enrolment, key: str = "job", seeds: tuple[int, ...] = (1,), **values: Any) -> Order:
    asked = {"prompt": "a man", "width": 64, "height": 64, "num_images": len(seeds), **values}
    return Order(key, me, request(**asked), seeds, consent=True)


def opened(png: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    image = Image.open(io.BytesIO(png))
    image.load()
    return np.array(image), json.loads(image.text["facesnap"])  # type: ignore[attr-defined]


def test_orders_become_pictures_with_all_that_belongs_to_them(painter: LocalPainter, me: Enrolment) -> None:
    seen = Seen()
    orders = [order(me, "one", (1, 2)), order(me, "two", (7,), prompt="a cat", pose=PoseRequest(yaw=9))]
    one, two = painter.paint(orders, seen)
    assert (one.id, one.seeds, len(one.pictures), one.error) == ("one", (1, 2), 2, None)
    assert (two.id, two.seeds, len(two.pictures)) == ("two", (7,), 1)
    pixels, told = opened(two.pictures[0])
    assert pixels.shape == (64, 64, 3)
    assert (told["prompt"], told["seed"], told["consent"], told["generated"]) == ("a cat", 7, True, True)
    assert told["pose"]["yaw"] == 9
    assert set(told["models"]) == {"base", "ffrnet", "mixer"}
    assert watermark.read(pixels) == mark_of("two")
    assert opened(one.pictures[1])[1]["seed"] == 2
    assert [report["seed"] for report in one.reports] == [1, 2]
    assert one.reports[0]["judge"].startswith("tiny-judge@")
    assert seen.steps == [(1, 2), (2, 2)]
    assert [set(previews) for previews in seen.previews] == [{"one", "two"}] * 2
    assert Image.open(io.BytesIO(seen.previews[-1]["two"])).format == "JPEG"
    assert seen.previews[-1]["one"] != seen.previews[-1]["two"]


def test_a_batch_gives_what_each_order_gives_alone(painter: LocalPainter, me: Enrolment) -> None:
    orders = [order(me, "one", (1, 2)), order(me, "two", (3,), prompt="a cat")]
    seen = Seen()
    together = painter.paint(orders, seen)
    for each, batched in zip(orders, together, strict=True):
        own = Seen()
        (alone,) = painter.paint([each], own)
        shown = [np.array(Image.open(io.BytesIO(s.previews[-1][each.id]))).astype(int) for s in (seen, own)]
        assert np.abs(shown[0] - shown[1]).mean() < 1.0
        for a, b in zip(alone.pictures, batched.pictures, strict=True):
            assert np.abs(opened(a)[0].astype(int) - opened(b)[0]).max() <= 12  # the mark's lattice may jump by a step


def test_a_stop_takes_effect_before_the_next_step(painter: LocalPainter, me: Enrolment) -> None:
    unet, calls = painter.loaded("default").snap.pipeline.unet, []
    hook = unet.register_forward_hook(lambda *args: calls.append(1))
    seen = Seen(3, {"job"})
    assert painter.paint([order(me, num_inference_steps=8)], seen) == []
    assert len(seen.steps) == len(calls) == 3
    assert painter.paint([order(me)], Seen(0, {"job"})) == []
    assert len(calls) == 3
    # One of two: the other is painted to its end.
    both = [order(me, "a", num_inference_steps=4), order(me, "b", num_inference_steps=4)]
    assert len(painter.paint(both, Seen(1, {"a"}))) == 2
    hook.remove()
    assert len(calls) == 7
    (after,) = painter.paint([order(me)], Seen())
    assert len(after.pictures) == 1


def test_the_references_own_pose_and_judge_are_kept_through_pickling(painter: LocalPainter, me: Enrolment) -> None:
    assert me.pose is not None
    assert me.judged is not None
    assert me.judge == painter.loaded("default").snap.judge.identifier  # type: ignore[union-attr]
    sent = pickle.loads(pickle.dumps(order(me)))
    (here,), (there,) = painter.paint([order(me)], Seen()), painter.paint([sent], Seen())
    assert here == there
    assert opened(here.pictures[0])[1]["pose"] == me.pose.to_json()
    stranger = Enrolment(me.identity)
    (plain,) = painter.paint([order(stranger)], Seen())
    assert opened(plain.pictures[0])[1]["pose"] == Pose().to_json()


def test_enrolling_the_judge_again_gives_what_the_facade_knows(
    painter: LocalPainter, photo: np.ndarray, me: Enrolment
) -> None:
    snap = painter.loaded("default").snap
    assert snap.judge is not None
    crop = snap.analyser.read(photo).crop()
    np.testing.assert_allclose(me.judged, snap.judge.encode([crop])[0], atol=1e-6)


def test_previews_show_what_is_painted(painter: LocalPainter, me: Enrolment) -> None:
    drawn, landmarks = painter.preview(me.identity, Pose(yaw=10), (64, 96), "default")
    shown = painter.loaded("default").snap.conditions(me.identity, Pose(yaw=10), (64, 96))
    np.testing.assert_array_equal(drawn, shown.landmark_map)
    np.testing.assert_array_equal(landmarks, shown.landmarks)
    assert painter.preview(me.identity, None, None, "default")[0].shape == (32, 32, 3)


def test_photos_are_looked_at(painter: LocalPainter, photo: np.ndarray) -> None:
    with_faces(painter, (0, 0, 150, 150), BOX)
    assert painter.faces(photo) == [(0.0, 0.0, 150.0, 150.0), (30.0, 30.0, 120.0, 120.0)]
    said = painter.compare(photo, photo)
    assert said["likeness"] == pytest.approx(1.0, abs=1e-3)
    assert said["judge"].startswith("tiny-judge@")
    assert painter.pose_from(photo, keep_framing=True).camera is not None
    assert painter.pose_from(photo, keep_framing=False).camera is None
    assert painter.enroll([photo, photo], 1, "default").identity.photos == 2
    painter.loaded("default").snap.analyser.detector = FixedDetector()
    assert painter.faces(photo) == []
    with pytest.raises(NoFaceError):
        painter.enroll([photo], None, "default")


def test_models_are_loaded_once_and_named(config: ServeConfig, tiny_mini: Path) -> None:
    more = config.model_copy(update={"models": {"other": config.sources()["default"]}})
    painter = LocalPainter(more)
    info = painter.model("default")
    assert (info.width, info.height, info.multiple) == (32, 32, 4)
    assert (info.default_steps, info.default_guidance, info.has_pose) == (2, 3.0, True)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(painter.loaded("default"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(map(id, found))) == 1
    with pytest.raises(UsageError, match="use one of default, other"):
        painter.model("third")


def test_a_list_of_models_loads_none(config: ServeConfig) -> None:
    more = config.model_copy(update={"models": {"other": config.sources()["default"]}})
    painter = LocalPainter(more)
    listed = painter.models()
    assert [(info.name, info.loaded, info.base) for info in listed] == [
        (name, False, config.base) for name in ("default", "other")
    ]
    assert {value for info in listed for value in (info.width, info.multiple, info.has_pose, info.hashes)} == {None}
    loaded = painter.model("other")
    assert loaded.loaded
    assert painter.models() == [listed[0], loaded]


def test_errors_of_a_request_are_facesnaps_own(painter: LocalPainter, me: Enrolment) -> None:
    with pytest.raises(PromptError, match="16 tokens"):
        painter.paint([order(me, prompt="a person with very many letters")], Seen())


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_batch_that_does_not_fit_leaves_nothing_behind(
    painter: LocalPainter, me: Enrolment, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    unet = painter.loaded("default").snap.pipeline.unet
    held: list[Any] = []

    def fail(module: Any, given: Any) -> None:
        import weakref

        held.append(weakref.ref(given[0]))
        raise error

    hook = unet.register_forward_pre_hook(fail)
    with pytest.raises(MemoryError) as caught:
        painter.paint([order(me)], Seen())
    hook.remove()
    # Neither the cause nor the context holds the batch: its memory is free while the next one is tried.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    error.__traceback__ = None
    assert held
    assert len(painter.paint([order(me)], Seen())) == 1


# --- the safety checker ---


Checked = Callable[[float], ServeConfig]


@pytest.fixture
def checked(config: ServeConfig, tmp_path: Path) -> Checked:
    """Settings with a base whose safety checker has a threshold."""

    def make(threshold: float) -> ServeConfig:
        return config.model_copy(update={"base": str(checked_base.save(tmp_path, threshold)), "safety_checker": True})

    return make


def test_a_flagged_picture_fails_its_job_with_a_clear_line(checked: Checked, photo: np.ndarray) -> None:
    painter = with_faces(LocalPainter(checked(checked_base.ALL)))
    me = painter.enroll([photo], None, "default")
    (painted,) = painter.paint([order(me)], Seen())
    assert (painted.error, painted.pictures) == (FLAGGED, ())
    checker = painter.loaded("default").snap.pipeline.safety_checker
    checked_base.set_threshold(checker, checked_base.NONE)
    (painted,) = painter.paint([order(me)], Seen())  # what was said of the last batch is forgotten
    assert (painted.error, len(painted.pictures)) == (None, 1)


def test_what_the_checker_lets_pass_is_painted(checked: Checked, photo: np.ndarray) -> None:
    painter = with_faces(LocalPainter(checked(checked_base.NONE)))
    me = painter.enroll([photo], None, "default")
    (painted,) = painter.paint([order(me, seeds=(1, 2))], Seen())
    assert (painted.error, len(painted.pictures)) == (None, 2)
    assert len(painter.loaded("default")._flags._flags) == 2  # it was asked


def test_a_checker_that_is_not_wanted_blackens_nothing(checked: Checked, photo: np.ndarray) -> None:
    off = checked(checked_base.ALL).model_copy(update={"safety_checker": False})
    painter = with_faces(LocalPainter(off))
    me = painter.enroll([photo], None, "default")
    (painted,) = painter.paint([order(me)], Seen())
    assert painted.error is None
    assert opened(painted.pictures[0])[0].std() > 1


def test_a_base_without_a_checker_is_refused_where_one_is_wanted(config: ServeConfig) -> None:
    with pytest.raises(UsageError, match="has no safety checker"):
        LocalPainter(config.model_copy(update={"safety_checker": True})).model("default")


def test_flags_are_told_apart_by_picture() -> None:
    class Checker(torch.nn.Module):
        def forward(self, images: Any) -> tuple[Any, list[bool]]:
            return images, [bool(image > 0) for image in images]

    class Pipeline:
        safety_checker = Checker()

    flags = SafetyFlags(Pipeline(), True, "x")
    Pipeline.safety_checker(np.array([0, 1, 0, 0]))
    assert [flags.any_of(0, 1), flags.any_of(1, 2), flags.any_of(0, 2), flags.any_of(2, 2)] == [
        False, True, True, False
    ]  # fmt: skip
    flags.clear()
    assert not flags.any_of(0, 4)
