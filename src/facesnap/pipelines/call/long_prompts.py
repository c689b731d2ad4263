"""Prompts longer than a text encoder takes: encoded in pieces, whose states are put one behind the other.

The UNet's cross-attention takes any number of states; only the text encoder is bound to its positions. Each piece gets
marks of its own, as is usual for Stable Diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from facesnap.core.errors import UsageError
from facesnap.pipelines.call.prompts import converted, text_encoders


def encode_long(
    pipeline: Any, prompts: Sequence[str], negatives: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """Text states of prompts of any length, as a pipeline's call takes them.

    Args:
        pipeline: of Stable Diffusion or SDXL.
        prompts: one or several.
        negatives: one per prompt, against it; may be empty.
        device: where the pipeline computes.

    Returns:
        ``prompt_embeds`` and ``negative_prompt_embeds`` (prompts, pieces * limit, width), for SDXL also the pooled ones
        (of the first piece, which says most).

    Raises:
        PromptError: the pipeline has no text encoder.
        UsageError: not as many negatives as prompts.
    """
    if isinstance(negatives, str) or len(negatives) != len(prompts):
        raise UsageError(f"give one negative prompt for each of {len(prompts)} prompt(s)")
    encoders = text_encoders(pipeline)
    xl = hasattr(pipeline, "text_encoder_2")
    states, pooled = [], None
    for tokenizer, encoder, limit in encoders:
        texts = [converted(pipeline, text, tokenizer) for text in (*prompts, *negatives)]
        made, pooled = _states(texts, tokenizer, encoder, limit, device, xl)  # SDXL takes the last encoder's
        states.append(made)
    longest = max(s.shape[1] for s in states)
    joined = torch.cat([_stretched(s, longest) for s in states], dim=-1)
    return _halves(joined, "prompt_embeds") | ({} if pooled is None else _halves(pooled, "pooled_prompt_embeds"))


def _halves(rows: Tensor, name: str) -> dict[str, Tensor]:
    wanted, against = rows.chunk(2)
    return {name: wanted, f"negative_{name}": against.clone()}


@torch.no_grad()
def _states(
    texts: Sequence[str], tokenizer: Any, encoder: Any, limit: int, device: torch.device, xl: bool
) -> tuple[Tensor, Any]:
    """(texts, pieces * limit, width), every text of as many pieces as the longest, and what the encoder pools."""
    ids = [tokenizer(text, add_special_tokens=False, verbose=False).input_ids for text in texts]
    pieces = max(1, *(-(-len(one) // (limit - 2)) for one in ids))
    rows = [
        _framed(one[i * (limit - 2) : (i + 1) * (limit - 2)], tokenizer, limit) for one in ids for i in range(pieces)
    ]
    made = encoder(torch.tensor(rows, device=device), output_hidden_states=True)
    # As diffusers has it: SD takes the last states, normalised; SDXL those before the last layer.
    states = made.hidden_states[-2] if xl else made[0]
    pooled = made[0][::pieces] if xl and made[0].ndim == 2 else None
    return states.unflatten(0, (len(texts), pieces)).flatten(1, 2), pooled


def _framed(ids: Sequence[int], tokenizer: Any, limit: int) -> list[int]:
    framed = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return framed + [tokenizer.pad_token_id] * (limit - len(framed))


def _stretched(states: Tensor, length: int) -> Tensor:
    """SDXL's two encoders may count differently: the shorter one's states are followed by its last one."""
    missing = length - states.shape[1]
    return states if not missing else torch.cat([states, states[:, -1:].expand(-1, missing, -1)], dim=1)
