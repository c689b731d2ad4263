"""What feeds the attentions, against the formulas in plain maths."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from tests.models import tiny
from tests.models.published import files, reference

from facesnap.core.errors import UsageError
from facesnap.models.published import RAW_LENGTH, FaceID, InstantID, read_published

CLIP = 20
ATTENTION = files.layers([16] * 4, tiny.WIDTH)


def faces(count: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 512, generator=torch.Generator().manual_seed(seed)), dim=1)


def clip(count: int = 2, seed: int = 2) -> torch.Tensor:
    return torch.randn(count, 7, CLIP, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() < 1e-5)


@pytest.fixture(scope="module")
def instantid(tmp_path_factory: pytest.TempPathFactory) -> tuple[InstantID, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("instantid")
    state = files.filled(files.instantid(24, 2, tiny.WIDTH, 5), ATTENTION)
    files.write(folder / "ip-adapter.bin", state)
    (folder / "ControlNetModel").mkdir()
    (folder / "ControlNetModel" / "config.json").write_text("{}")
    adapter = read_published(folder)
    assert isinstance(adapter, InstantID)
    return adapter, state["image_proj"]


def made(folder: Path, name: str, projection: files.Shapes) -> tuple[FaceID, dict[str, torch.Tensor]]:
    state = files.filled(projection, ATTENTION)
    adapter = read_published(files.write(folder / name, state))
    assert isinstance(adapter, FaceID)
    return adapter, state["image_proj"]


def test_instantid_resamples_the_raw_vector_and_zeros(instantid: tuple[InstantID, dict[str, torch.Tensor]]) -> None:
    adapter, weights = instantid
    lengths = torch.tensor([14.0, 27.0])
    tokens, null = adapter.tokens(faces(), lengths=lengths)
    assert close(tokens, reference.instantid(weights, faces() * lengths[:, None]))
    assert close(null, reference.instantid(weights, torch.zeros(2, 512)))
    usual, _ = adapter.tokens(3 * faces())  # the length of what is given doesn't count
    assert close(usual, reference.instantid(weights, faces() * 512**0.5))
    assert close(usual, adapter.tokens(faces(), lengths=RAW_LENGTH)[0])
    assert not close(usual, tokens)


def test_faceid_projects_the_unit_vector(tmp_path: Path) -> None:
    adapter, weights = made(tmp_path, "a.bin", files.faceid(tiny.WIDTH))
    tokens, null = adapter.tokens(20 * faces(), lengths=3.0)
    assert close(tokens, reference.faceid(weights, faces()))
    assert close(null, reference.faceid(weights, torch.zeros(2, 512)))


def test_faceid_plus_asks_clip(tmp_path: Path) -> None:
    adapter, weights = made(tmp_path, "faceid-plus_a.bin", files.faceid_plus(tiny.WIDTH, CLIP))
    tokens, null = adapter.tokens(faces(), clip(), clip(1, seed=3))
    assert close(tokens, reference.faceid_plus(weights, faces(), clip()))
    assert close(null, reference.faceid_plus(weights, torch.zeros(2, 512), clip(1, seed=3).expand(2, -1, -1)))


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_faceid_plusv2_adds_the_face_tokens_again(tmp_path: Path, scale: float) -> None:
    adapter, weights = made(tmp_path, "faceid-plusv2_a.bin", files.faceid_plus(tiny.WIDTH, CLIP))
    tokens, null = adapter.tokens(faces(), clip(), clip(1, seed=3), structure_scale=scale)
    nobody, nothing = torch.zeros(2, 512), clip(1, seed=3).expand(2, -1, -1)
    assert close(tokens, reference.faceid_plusv2(weights, faces(), clip(), scale))
    assert close(null, reference.faceid_plusv2(weights, nobody, nothing, scale))
    assert not close(tokens, reference.faceid_plus(weights, faces(), clip()))


def test_threads_dont_share_what_clip_saw(tmp_path: Path) -> None:
    adapter, weights = made(tmp_path, "faceid-plus_a.bin", files.faceid_plus(tiny.WIDTH, CLIP))
    right: list[bool] = []

    def ask(seed: int) -> None:
        for _ in range(20):
            tokens, _null = adapter.tokens(faces(1), clip(1, seed), clip(1, seed=3))
            right.append(close(tokens, reference.faceid_plus(weights, faces(1), clip(1, seed))))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in (5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 40
    assert all(right)
    assert adapter.projection.clip_embeds is None


def test_wrong_inputs_are_refused(tmp_path: Path, instantid: tuple[InstantID, dict[str, torch.Tensor]]) -> None:
    plus, _ = made(tmp_path, "faceid-plus_a.bin", files.faceid_plus(tiny.WIDTH, CLIP))
    with pytest.raises(UsageError, match=r"reads face vectors \(B, 512\), not \(2, 128\): give the recogniser"):
        plus.tokens(torch.zeros(2, 128), clip(), clip())
    with pytest.raises(UsageError, match="needs f_clip and null_clip"):
        plus.tokens(faces(), clip())
    with pytest.raises(UsageError, match=r"reads CLIP tokens \(2, T, 20\), not \(3, 7, 20\)"):
        plus.tokens(faces(), clip(), clip(3))
    with pytest.raises(UsageError, match="3 lengths for 2 face vectors"):
        instantid[0].tokens(faces(), lengths=torch.ones(3))
