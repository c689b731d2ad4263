"""A tiny CLIP and a tiny recogniser: what the judges compute, and whom they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from tests.evaluation.conftest import MEAN, STD
from transformers import CLIPImageProcessor

from facesnap.core.errors import AdapterError, UsageError
from facesnap.evaluation.judges import ClipJudge, FaceJudge, check_independent, tensor_fingerprints
from facesnap.faces.align import ARCFACE_TEMPLATE


def test_images_are_prepared_as_clips_own_processor_does(clip_folder: Path) -> None:
    judge = ClipJudge.from_pretrained(clip_folder)
    image = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)
    processor = CLIPImageProcessor(image_mean=MEAN, image_std=STD, size={"shortest_edge": 16}, crop_size=16)
    pixels = processor(Image.fromarray(image), return_tensors="pt").pixel_values
    with torch.inference_mode():
        expected = judge.model.get_image_features(pixel_values=pixels).pooler_output[0].numpy()
    found = judge.image_features([image])[0]
    assert found @ expected / np.linalg.norm(expected) > 0.999
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_prompts_do_not_depend_on_their_neighbours(clip_folder: Path) -> None:
    judge = ClipJudge.from_pretrained(clip_folder)
    alone, together = judge.text_features(["a b"]), judge.text_features(["a b", "a b c d e"])
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)


def test_a_prompt_too_long_for_the_judge_is_refused(clip_folder: Path) -> None:
    with pytest.raises(UsageError, match="tokens"):
        ClipJudge.from_pretrained(clip_folder).text_features(["a b c d e a b c"])


def test_a_missing_judge_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no CLIP judge"):
        ClipJudge.from_pretrained(tmp_path)


def test_the_face_judge_reads_the_aligned_crop() -> None:
    class MeanColour:
        identifier, dim = "mean@000000000000", 3

        def encode(self, crops: list[np.ndarray]) -> np.ndarray:
            mean = np.stack([crop[20:-20, 20:-20].reshape(-1, 3).mean(axis=0) for crop in crops])
            return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    image = np.zeros((300, 300, 3), dtype=np.uint8)
    image[100:212, 50:162] = (255, 0, 0)  # the face is red, the rest black
    judge = FaceJudge(MeanColour(), Path())  # type: ignore[arg-type]
    np.testing.assert_allclose(judge.embed(image, ARCFACE_TEMPLATE + np.array([50, 100])), [1, 0, 0], atol=1e-6)


def write(folder: Path, weights: np.ndarray) -> Path:
    folder.mkdir()
    save_file({"weight": weights}, folder / "model.safetensors")
    return folder


def test_a_conditioning_network_may_not_judge(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    judge = write(tmp_path / "judge", weights)
    copy = write(tmp_path / "copy", weights.astype(np.float16))
    other = write(tmp_path / "other", weights + 1)
    encoders = {"face": "e_f@aaaaaaaaaaaa", "appearance": "e_c@bbbbbbbbbbbb"}
    check_independent("judge@cccccccccccc", judge, encoders, [other])
    with pytest.raises(UsageError, match="own face encoder"):
        check_independent("judge@aaaaaaaaaaaa", judge, encoders, [])
    with pytest.raises(UsageError, match="shares weights"):
        check_independent("judge@cccccccccccc", judge, encoders, [other, copy])


def test_constants_and_small_tensors_prove_nothing(tmp_path: Path) -> None:
    save_file({"ones": np.ones((100, 100), np.float32), "few": np.arange(10.0)}, tmp_path / "model.safetensors")
    assert tensor_fingerprints(tmp_path) == frozenset()
