"""The tokenizer: CLIP's byte-level BPE with a vocabulary learned from the world's captions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def train_tokenizer(captions: Iterable[str], vocab_size: int, max_tokens: int) -> CLIPTokenizer:
    """A stock CLIPTokenizer; every byte has a token, so that any prompt can be written, known words or not."""
    pattern = CLIPTokenizer()
    learner = Tokenizer(BPE(end_of_word_suffix=WORD_END))
    learner.normalizer = pattern.backend_tokenizer.normalizer
    learner.pre_tokenizer = pattern.backend_tokenizer.pre_tokenizer
    alphabet = sorted(ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, end_of_word_suffix=WORD_END, show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    merges: Any = [tuple(pair) for pair in _merges(learner)]
    words = dict.fromkeys([*alphabet, *(c + WORD_END for c in alphabet), *(a + b for a, b in merges), START, END])
    vocab = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=max_tokens)


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """(B, max_tokens) ids, padded as stock pipelines pad them."""
    encoded = tokenizer(
        texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    ids: torch.Tensor = encoded.input_ids
    return ids


def _merges(learner: Tokenizer) -> list[list[str]]:
    found: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]
    return found
