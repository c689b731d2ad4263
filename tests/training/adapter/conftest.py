"""A tiny model as the embedded one, and a tiny data set."""

from pathlib import Path

import pytest
from tests.pipelines import random_mini
from tests.training.adapter.prepared import write_dataset


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = random_mini.build(tmp_path_factory.mktemp("trained-mini"))
    _judge_clip(root / "judge_clip")
    return root


@pytest.fixture
def mini(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESNAP_MINI", str(built))
    return built


@pytest.fixture(scope="session")
def data(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    return write_dataset(folder, built)


def _judge_clip(folder: Path) -> None:
    import torch
    from tests.models import tiny
    from transformers import CLIPConfig, CLIPModel

    from facesnap.faces.appearance import save_preprocessor

    torch.manual_seed(20)
    text, vision = tiny.text_encoder().config, random_mini.vision()
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)).save_pretrained(
        folder
    )
    tiny.tokenizer(folder / "files").save_pretrained(folder)
    save_preprocessor(folder, 28)
