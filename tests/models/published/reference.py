"""The formulas of the published adapters in plain maths, written from their papers and code, without diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def linear(p: Weights, name: str, x: Tensor) -> Tensor:
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def layer_norm(p: Weights, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * p[f"{name}.weight"] + p[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V, head by head; (B, n, heads * d) each."""
    made = []
    for qh, kh, vh in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        scores = (qh @ kh.transpose(1, 2) / qh.shape[-1] ** 0.5).exp()
        made.append(scores / scores.sum(-1, keepdim=True) @ vh)
    return torch.cat(made, -1)


def perceiver(p: Weights, prefix: str, latents: Tensor, x: Tensor) -> Tensor:
    """Latents ask the input and themselves, four times; then out, and a norm. Heads are 64 wide."""
    x = linear(p, f"{prefix}proj_in", x)
    for layer in (f"{prefix}layers.{i}" for i in range(4)):
        heads = len(p[f"{layer}.0.to_q.weight"]) // 64
        seen, own = layer_norm(p, f"{layer}.0.norm1", x), layer_norm(p, f"{layer}.0.norm2", latents)
        k, v = linear(p, f"{layer}.0.to_kv", torch.cat([seen, own], 1)).chunk(2, -1)
        latents = latents + linear(p, f"{layer}.0.to_out", attend(linear(p, f"{layer}.0.to_q", own), k, v, heads))
        hidden = gelu(linear(p, f"{layer}.1.1", layer_norm(p, f"{layer}.1.0", latents)))
        latents = latents + linear(p, f"{layer}.1.3", hidden)
    return layer_norm(p, f"{prefix}norm_out", linear(p, f"{prefix}proj_out", latents))


def instantid(p: Weights, raw: Tensor) -> Tensor:
    return perceiver(p, "", p["latents"].expand(len(raw), -1, -1), raw[:, None])


def faceid(p: Weights, f_id: Tensor) -> Tensor:
    flat = linear(p, "proj.2", gelu(linear(p, "proj.0", f_id)))
    return layer_norm(p, "norm", flat.reshape(len(f_id), 4, -1))


def faceid_plus(p: Weights, f_id: Tensor, clip: Tensor) -> Tensor:
    return perceiver(p, "perceiver_resampler.", faceid(p, f_id), clip)


def faceid_plusv2(p: Weights, f_id: Tensor, clip: Tensor, scale: float = 1.0) -> Tensor:
    return faceid(p, f_id) + scale * faceid_plus(p, f_id, clip)


class Decoupled:
    """Attention ``number`` of a UNet with what ``ip_adapter`` adds: LoRA, and a second attention to ``tokens``."""

    def __init__(self, p: Weights, number: int, tokens: Tensor, scale: float) -> None:
        self.p, self.number, self.tokens, self.scale = p, number, tokens, scale

    def __call__(self, attn: Any, x: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
        def project(layer: Any, name: str, value: Tensor) -> Tensor:
            made = value @ layer.weight.T + (0 if layer.bias is None else layer.bias)
            down, up = (self.p.get(f"{self.number}.{name}_lora.{end}.weight") for end in ("down", "up"))
            return made if down is None or up is None else made + value @ down.T @ up.T

        text = x if encoder_hidden_states is None else encoder_hidden_states
        q = project(attn.to_q, "to_q", x)
        y = attend(q, project(attn.to_k, "to_k", text), project(attn.to_v, "to_v", text), attn.heads)
        if self.number % 2:
            k, v = (self.tokens @ self.p[f"{self.number}.to_{n}_ip.weight"].T for n in "kv")
            y = y + self.scale * attend(q, k, v, attn.heads)
        return project(attn.to_out[0], "to_out", y)


def install(unet: Any, p: Weights, tokens: Tensor, scale: float = 1.0) -> Any:
    """The UNet with the formula above in every attention, by hand."""
    names = list(unet.attn_processors)
    unet.set_attn_processor({name: Decoupled(p, i, tokens, scale) for i, name in enumerate(names)})
    return unet
