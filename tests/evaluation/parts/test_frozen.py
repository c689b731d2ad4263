"""Figures of the frozen parts are what they say, on pictures whose answers are known."""

from __future__ import annotations

import dataclasses
import json
import shutil
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.training.conftest import drawn_world, tiny_run  # noqa: F401 (a fixture)

from facesnap.core.errors import AdapterError
from facesnap.core.images import load_image
from facesnap.core.weights import mini_folder, save_module
from facesnap.evaluation.parts import measure
from facesnap.evaluation.parts.frozen import feature_distance
from facesnap.faces.attributes import AttributeNet
from facesnap.faces.detect import intersection_over_union
from facesnap.landmarks.morphable import MORPHABLE_NAME
from facesnap.training.mini.attributes import JUDGED
from facesnap.training.mini.card import write_card
from facesnap.training.mini.data import to_tensor


def test_overlap_is_intersection_over_union() -> None:
    a = np.array([0.0, 0, 10, 10])
    assert intersection_over_union(a, a) == pytest.approx(1.0)
    assert intersection_over_union(a, np.array([5.0, 0, 15, 10])) == pytest.approx(1 / 3)
    assert intersection_over_union(a, np.array([20.0, 20, 30, 30])) == 0.0


def test_feature_distance_grows_with_blur_and_is_zero_for_equals() -> None:
    torch.manual_seed(0)
    network = AttributeNet({"attributes": {"style": ["photo", "oil"]}}).eval()
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (0.6, 2.0)]
    with torch.no_grad():
        distances = [
            float(feature_distance(network, to_tensor([picture]), to_tensor([other]))) for other in (picture, *blurred)
        ]
    assert distances[0] == pytest.approx(0.0, abs=1e-5)
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # one half of three people has no two
def test_every_part_that_was_trained_is_measured_and_put_into_the_card(
    tiny_run: Any,  # noqa: F811
    fakes: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = drawn_world()
    labelled = dataclasses.replace(world, attributes=[fakes.SHOWN for _ in range(len(world))])
    monkeypatch.setattr(measure, "held_out", lambda *_: labelled)
    mini = tiny_run.weights
    shutil.copy(mini_folder() / "landmarks" / MORPHABLE_NAME, mini / "landmarks")
    shutil.copytree(mini_folder() / "judge_face", mini / "judge_face")
    network = AttributeNet({"attributes": {name: [str(fakes.SHOWN[name]), "other"] for name in JUDGED}, "size": 64})
    save_module(mini / "judge_attributes", network, network.config, {})
    training = {
        "preset": "cpu", "seed": 0, "stages": {},
        **{name: tiny_run.config.model_dump(mode="json")[name] for name in ("world", "encoder_world")},
    }  # fmt: skip
    (mini / "training.json").write_text(json.dumps(training))
    found = measure.measure_parts(tiny_run.folder, device="cpu", prompts=2, seeds=3, say=lambda _: None)
    assert {"vae", "face_encoder", "landmarks", "base"} <= set(found)
    assert -1 <= found["vae"]["likeness"] < 0.99
    assert found["vae"]["feature_distance"] > 0
    agreement = found["base"]["agreement"]
    assert agreement["base"]["style"][1] == 3 * agreement["real renders"]["style"][1] == 6
    assert load_image(tiny_run.folder / "base.png").shape == (128, 2 * 3 * 128 + 8, 3)
    assert 5 < found["vae"]["psnr_db"] < 40
    assert found["landmarks"]["pictures"] == len(world)
    assert json.loads((mini / "quality.json").read_text())["vae"] == found["vae"]
    card = (mini / "MODEL_CARD.md").read_text()
    assert "| style |" in card
    assert f"**VAE**: PSNR {found['vae']['psnr_db']} dB" in card
    write_card(mini, training)  # a later stage writes the card anew: the figures stay
    assert (mini / "MODEL_CARD.md").read_text() == card


def test_a_folder_without_weights_is_refused(tmp_path: Any) -> None:
    with pytest.raises(AdapterError, match=r"training\.json is missing"):
        measure.measure_parts(tmp_path)
