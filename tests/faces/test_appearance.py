import json

import numpy as np
import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from facesnap.core.errors import AdapterError
from facesnap.core.weights import sha256_12
from facesnap.faces.appearance import CLIP_MEAN, CLIP_STD, AppearanceEncoder, save_preprocessor


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 112, 112, 3), dtype=np.uint8)


def make_folder(path, size: int = 112):
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=24, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2, image_size=size,
        patch_size=14, projection_dim=16,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(path)
    save_preprocessor(path, size)
    return path


def test_tokens_of_crops(tmp_path):
    encoder = AppearanceEncoder.from_pretrained(make_folder(tmp_path / "clip"))
    tokens = encoder.encode(crops(2))
    assert tokens.shape == (2, *encoder.shape) == (2, 65, 24)
    assert tokens.dtype == np.float32
    assert encoder.encode([]).shape == (0, 65, 24)
    assert encoder.identifier == f"clip@{sha256_12(tmp_path / 'clip')}"


def test_it_sees_what_the_stock_model_sees(tmp_path):
    folder = make_folder(tmp_path / "clip")
    picture = crops(1)
    pixels = (picture[0] / 255 - CLIP_MEAN) / CLIP_STD
    stock = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    with torch.no_grad():
        states = stock(pixel_values=torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]).last_hidden_state
    assert np.allclose(AppearanceEncoder.from_pretrained(folder).encode(picture), states, atol=1e-5)


def test_statistics_come_from_the_folder(tmp_path):
    folder = make_folder(tmp_path / "clip")
    stored = json.loads((folder / "preprocessor_config.json").read_text())
    stored.update(image_mean=[0.5] * 3, image_std=[0.25] * 3)
    (folder / "preprocessor_config.json").write_text(json.dumps(stored))
    prepared = AppearanceEncoder.from_pretrained(folder).prepare(torch.ones(1, 3, 112, 112))
    assert torch.allclose(prepared, torch.full_like(prepared, 2.0))


def test_other_sizes_are_resized(tmp_path):
    encoder = AppearanceEncoder.from_pretrained(make_folder(tmp_path / "clip", size=56))
    assert encoder.encode(crops(1)).shape == (1, 17, 24)


def test_it_is_frozen_but_lets_gradients_through(tmp_path):
    encoder = AppearanceEncoder.from_pretrained(make_folder(tmp_path / "clip"))
    images = torch.rand(1, 3, 112, 112, requires_grad=True)
    encoder.tokens(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(value.requires_grad for value in encoder.model.parameters())


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(AdapterError):
        AppearanceEncoder.from_pretrained(tmp_path / "gone")
    folder = make_folder(tmp_path / "clip")
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(AdapterError):
        AppearanceEncoder.from_pretrained(folder)
