"""Equal terms: with the landmark map's weight at zero, FaceSnap's picture is the stock base's, pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import UsageError
from facesnap.core.pose import Pose
from facesnap.evaluation import bench as bench_module
from facesnap.evaluation.bench import Bench, assemble, settings_for_base
from facesnap.evaluation.judges import ClipJudge, FaceJudge
from facesnap.evaluation.methods import Task
from facesnap.evaluation.protocol import Trial


@pytest.fixture
def bench(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    clip = SimpleNamespace(signature="clip@000000000000", folder=tiny_mini / "judge_clip")
    monkeypatch.setattr(ClipJudge, "from_pretrained", lambda device: clip)
    made = assemble("cpu")
    made.snap.analyser.detector = FixedDetector((30, 30, 120, 120))
    return made


def test_only_the_face_tells_facesnap_from_the_base(bench: Bench) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    me = bench.snap.enroll(photo)
    trial = Trial(0, 0, 1, (2,), "a face", Pose(yaw=10), seed=5)
    points = np.zeros((72, 2))
    task = Task(trial, photo, me, "", bench.default_steps, bench.default_guidance, bench.size, points, points)
    facesnap, base = (method.portray(task) for method in bench.methods)
    options: dict[str, Any] = {"pose": trial.pose, "seed": 5, "landmark_scale": 0.0}
    without = bench.snap(trial.prompt, me, **options).images[0]
    np.testing.assert_array_equal(base, np.asarray(without))
    assert not np.array_equal(facesnap, base)


def test_a_prompt_must_fit_both_text_encoders(bench: Bench) -> None:
    clip = bench.observer.clip_judge
    clip.fits = lambda prompt: "zebra" not in prompt  # type: ignore[method-assign]
    assert bench.fits("a face")
    assert not bench.fits("a zebra")
    assert not bench.fits("a face that takes more than sixteen letters")


def test_what_it_runs_on_is_recorded(bench: Bench) -> None:
    assert (bench.size, bench.default_steps, bench.default_guidance) == (32, 2, 3.0)
    assert bench.encoders["face"].startswith("tiny-face@")
    assert bench.judges["likeness"].startswith("tiny-judge@")
    assert {"unet", "vae", "ffrnet", "mixer", "landmarks"} <= bench.weights.keys()


def test_the_conditioning_encoder_may_not_be_the_judge(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.check_judges()
    own = FaceJudge.from_pretrained(bench_module.mini_folder() / "face_encoder")
    object.__setattr__(bench.observer, "face_judge", own)
    with pytest.raises(UsageError, match="can't judge"):
        bench.check_judges()


def test_the_base_gets_only_what_affects_both() -> None:
    defaults = {"guidance_scale": 3.0, "num_inference_steps": 20, "guidance_rescale": 0.7, "eta": 0.1}
    defaults["controlnet_conditioning_scale"] = 0.8
    assert settings_for_base(defaults) == {"eta": 0.1}
