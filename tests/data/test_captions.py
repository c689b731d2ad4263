from __future__ import annotations

import numpy as np
import pytest
import torch

from facesnap.core.errors import AdapterError
from facesnap.data.captions import TEMPLATES, Captioner, captions_for, template_for

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def captioner_folder(tmp_path_factory):
    """A tiny random BLIP with a vocabulary of its own."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    folder = tmp_path_factory.mktemp("blip")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "smiling", "person", "in", "the", "rain"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ids = {"bos_token_id": 5, "sep_token_id": 3, "pad_token_id": 0, "eos_token_id": 3}
    config = BlipConfig(
        text_config={**small, **ids, "vocab_size": len(words), "projection_dim": 8, "encoder_hidden_size": 8},
        vision_config={**small, "image_size": 16, "patch_size": 8, "projection_dim": 8},
        projection_dim=8,
        image_text_hidden_size=8,
    )
    torch.manual_seed(0)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    BlipProcessor(BlipImageProcessor(size=size), tokenizer).save_pretrained(folder)
    return folder


def test_a_template_says_nothing_that_might_be_false():
    hashes = [f"{index:064x}" for index in range(200)]
    assert {template_for(each) for each in hashes} == set(TEMPLATES)
    assert template_for(hashes[3]) == template_for(hashes[3])
    for text in TEMPLATES:
        assert set(text.replace(",", "").replace("'s", "").split()) <= {
            "a", "photo", "photograph", "photographed", "portrait", "picture", "of", "person", "face"
        }  # fmt: skip


def test_what_was_said_comes_first():
    assert captions_for(["said"], "0" * 64, IMAGE, None) == ("said",)
    assert captions_for((), "0" * 64, IMAGE, None) == (template_for("0" * 64),)


def test_a_captioner_writes_where_nothing_was_said(captioner_folder):
    captioner = Captioner.from_pretrained(str(captioner_folder))
    words = captioner.caption(IMAGE)
    assert words
    assert words == captioner.caption(IMAGE)
    assert captions_for((), "0" * 64, IMAGE, captioner) == (words,)
    assert captions_for(["said"], "0" * 64, IMAGE, captioner) == ("said",)
    assert captioner.identifier.startswith(f"{captioner_folder.name}@")


def test_a_captioner_that_is_not_here_is_one_line(tmp_path):
    for name in (str(tmp_path), "nobody/nothing-here"):
        with pytest.raises(AdapterError) as caught:
            Captioner.from_pretrained(name)
        assert "can't be loaded" in str(caught.value)
        assert "\n" not in str(caught.value)
