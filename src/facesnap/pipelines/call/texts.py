"""What the base is told, encoded: by diffusers, in pieces, or by the user beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any, Final

import torch
from diffusers.utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor

from facesnap.core.errors import PromptError, UsageError
from facesnap.pipelines.bindings.binding import execution_device
from facesnap.pipelines.call.long_prompts import encode_long
from facesnap.pipelines.call.prompts import check_prompt, converted, text_encoders

#: Diffusers' names of prompts that are encoded already.
EMBEDDINGS: Final = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)

#: Tokenizers keep their padding and truncation as a state of their own: one thread at a time.
TOKENIZING: Final = RLock()


@dataclass(frozen=True)
class Texts:
    """Prompts of a call.

    Attributes:
        prompts: what the base is told.
        negatives: one per prompt, each may be empty.
        embeddings: in place of both, by diffusers' names, a row per prompt.
        long_prompts: encode them in pieces.
        clip_skip: how many of the text encoder's last layers are left out.
    """

    prompts: Sequence[str] = ()
    negatives: Sequence[str] = ()
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    long_prompts: bool = False
    clip_skip: int | None = None

    def __len__(self) -> int:
        return len(self.embeddings["prompt_embeds"]) if self.embeddings else len(self.prompts)

    def only(self, index: int) -> Texts:
        """One prompt of them."""
        rows = {name: each[index : index + 1] for name, each in self.embeddings.items()}
        one = slice(index, index + 1)
        return replace(self, prompts=self.prompts[one], negatives=self.negatives[one], embeddings=rows)

    @torch.no_grad()
    def encoded(self, pipeline: Any, guided: bool, lora_scale: float | None = None) -> dict[str, Tensor | None]:
        """Text states as a pipeline's call takes them, by diffusers' names.

        Args:
            pipeline: of Stable Diffusion or SDXL.
            guided: whether there is an unguided half.
            lora_scale: of LoRAs on the text encoder.
        """
        if self.embeddings:
            return dict(self.embeddings)
        with TOKENIZING:
            if self.long_prompts:
                with _loras_at(pipeline, lora_scale):
                    device = execution_device(pipeline)
                    made: dict[str, Any] = encode_long(pipeline, self.prompts, self.negatives, device)
            else:
                made = self._by_diffusers(pipeline, guided, lora_scale)
        if pipeline.config.get("force_zeros_for_empty_prompt"):
            _silence(made, [row for row, negative in enumerate(self.negatives) if not negative])
        return made

    def _by_diffusers(self, pipeline: Any, guided: bool, lora_scale: float | None) -> dict[str, Any]:
        device, xl = execution_device(pipeline), hasattr(pipeline, "text_encoder_2")
        given: dict[str, Any] = {"prompt": list(self.prompts), "clip_skip": self.clip_skip}
        if self.clip_skip is not None and not xl:
            with _loras_at(pipeline, lora_scale):
                given = {"prompt": None, "prompt_embeds": _skipping(pipeline, self.prompts, self.clip_skip, device)}
        states = pipeline.encode_prompt(
            **given,
            device=device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=list(self.negatives) if any(self.negatives) else None,
            lora_scale=lora_scale,
        )
        return dict(zip(EMBEDDINGS, states, strict=False))


def take_texts(
    pipeline: Any,
    prompt: str | Sequence[str] | None,
    negative: str | Sequence[str] | None,
    options: dict[str, Any],
    long_prompts: bool,
) -> Texts:
    """Prompts of a call, checked; encoded ones are taken out of its ``options``.

    Raises:
        PromptError: none, an empty one, or one longer than the text encoder takes.
        UsageError: texts beside encoded ones, negative prompts of another number than prompts, or a ``clip_skip`` that
            can't be.
    """
    rows = {name: options.pop(name) for name in EMBEDDINGS if options.get(name) is not None}
    if rows:
        return _encoded_before(prompt, negative, rows, long_prompts)
    prompts = [prompt] if isinstance(prompt, str) else list(prompt or ()) if isinstance(prompt, Sequence | None) else []
    if not prompts or not all(isinstance(text, str) for text in prompts):
        raise PromptError("give at least one prompt, as text")
    if not text_encoders(pipeline):
        raise PromptError("this pipeline has no text encoder: give prompt_embeds")
    negatives = [negative or ""] * len(prompts) if negative is None or isinstance(negative, str) else list(negative)
    if len(negatives) != len(prompts):
        raise UsageError(f"negative_prompt: {len(negatives)} given for {len(prompts)} prompt(s): give one for each")
    skip = _checked_skip(pipeline, options.get("clip_skip"), long_prompts)
    with TOKENIZING:
        for text in prompts:
            check_prompt(pipeline, text, "prompt", long_prompts)
        for text in dict.fromkeys(negatives):
            if text:
                check_prompt(pipeline, text, "negative prompt", long_prompts)
    return Texts(prompts, negatives, {}, long_prompts, skip)


def _encoded_before(prompt: Any, negative: Any, rows: dict[str, Any], long_prompts: bool) -> Texts:
    if "prompt_embeds" not in rows:
        raise UsageError(f"{next(iter(rows))} goes with prompt_embeds: give that, too")
    if prompt is not None or negative or long_prompts:
        raise UsageError("prompt_embeds stands for the prompts: give prompt=None, no negative_prompt or long_prompts")
    for name, each in rows.items():
        if not isinstance(each, Tensor) or len(each) != len(rows["prompt_embeds"]):
            raise UsageError(f"{name} must be a tensor with a row per prompt")
    return Texts(embeddings=rows)


def _checked_skip(pipeline: Any, skip: Any, long_prompts: bool) -> int | None:
    if skip is None:
        return None
    if long_prompts:
        raise UsageError("clip_skip and long_prompts don't go together: leave one of them out")
    layers = int(pipeline.text_encoder.config.num_hidden_layers)
    if not isinstance(skip, int) or isinstance(skip, bool) or not 0 <= skip < layers:
        raise UsageError(f"clip_skip={skip!r} must be a whole number from 0 to {layers - 1}")
    return skip


@contextmanager
def _loras_at(pipeline: Any, scale: float | None) -> Iterator[None]:
    """LoRAs on the text encoders at a share of their weights inside the block, as diffusers' own encoding has them."""
    with_lora = [encoder for _, encoder, _ in text_encoders(pipeline) if getattr(encoder, "peft_config", None)]
    for encoder in with_lora if scale is not None else ():
        scale_lora_layers(encoder, scale)
    try:
        yield
    finally:
        for encoder in with_lora if scale is not None else ():
            unscale_lora_layers(encoder, scale)


def _silence(states: dict[str, Any], rows: Sequence[int]) -> None:
    """Zeros for empty negative prompts, which SDXL was trained with; diffusers has them where all are empty."""
    for name, tensor in states.items():
        if name.startswith("negative") and tensor is not None and rows:
            states[name] = tensor.clone()
            states[name][list(rows)] = 0.0


def _skipping(pipeline: Any, texts: Sequence[str], skip: int, device: torch.device) -> Tensor:
    """States (texts, limit, width) without the last ``skip`` layers, normalised: diffusers' own way to them looks for
    the norm where transformers had it before its version 5.
    """
    tokenizer, encoder, limit = text_encoders(pipeline)[0]
    texts = [converted(pipeline, text, tokenizer) for text in texts]
    ids = tokenizer(texts, padding="max_length", max_length=limit, truncation=True, return_tensors="pt").input_ids
    states = encoder(ids.to(device), output_hidden_states=True).hidden_states[-(skip + 1)]
    normed: Tensor = getattr(encoder, "text_model", encoder).final_layer_norm(states)
    return normed
