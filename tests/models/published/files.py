"""Files in the published layouts: keys and shapes as the projects publish them, values random.

Sources: ``ip_adapter/resampler.py``, ``ip_adapter_faceid.py`` and ``attention_processor_faceid.py`` of
github.com/tencent-ailab/IP-Adapter, and ``set_image_proj_model`` of github.com/instantX-research/InstantID.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
State = dict[str, dict[str, Tensor]]

#: Odd numbers of ``to_k_ip`` -> width, as in the published files: the ranges are (first, last).
SD15 = {(1, 3): 320, (5, 7): 640, (9, 17): 1280, (19, 23): 640, (25, 29): 320, (31, 31): 1280}
SDXL = {(1, 7): 640, (9, 107): 1280, (109, 119): 640, (121, 139): 1280}


def widths(ranges: Mapping[tuple[int, int], int]) -> list[int]:
    return [width for (first, last), width in ranges.items() for _ in range(first, last + 1, 2)]


def linear(name: str, makes: int, reads: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (makes, reads), **({f"{name}.bias": (makes,)} if bias else {})}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def perceiver(prefix: str, dim: int, heads: int, reads: int, makes: int) -> Shapes:
    shapes = linear(f"{prefix}proj_in", dim, reads) | linear(f"{prefix}proj_out", makes, dim)
    shapes |= norm(f"{prefix}norm_out", makes)
    for layer in (f"{prefix}layers.{i}" for i in range(4)):
        shapes |= norm(f"{layer}.0.norm1", dim) | norm(f"{layer}.0.norm2", dim)
        shapes |= linear(f"{layer}.0.to_q", 64 * heads, dim, bias=False)
        shapes |= linear(f"{layer}.0.to_kv", 128 * heads, dim, bias=False)
        shapes |= linear(f"{layer}.0.to_out", dim, 64 * heads, bias=False)
        shapes |= norm(f"{layer}.1.0", dim)
        shapes |= linear(f"{layer}.1.1", 4 * dim, dim, bias=False) | linear(f"{layer}.1.3", dim, 4 * dim, bias=False)
    return shapes


def instantid(dim: int = 1280, heads: int = 20, width: int = 2048, queries: int = 16, face: int = 512) -> Shapes:
    return {"latents": (1, queries, dim), **perceiver("", dim, heads, face, width)}


def faceid(width: int, tokens: int = 4) -> Shapes:
    return linear("proj.0", 1024, 512) | linear("proj.2", tokens * width, 1024) | norm("norm", width)


def faceid_plus(width: int, clip: int = 1280) -> Shapes:
    return faceid(width) | perceiver("perceiver_resampler.", width, max(1, width // 64), clip, width)


def layers(inner: list[int], text: int, rank: int | None = None) -> Shapes:
    shapes: Shapes = {}
    for number in range(2 * len(inner)):
        own = inner[number // 2]
        read = text if number % 2 else own
        if number % 2:
            shapes |= linear(f"{number}.to_k_ip", own, text, bias=False)
            shapes |= linear(f"{number}.to_v_ip", own, text, bias=False)
        if rank:
            for name, source in {"to_q": own, "to_k": read, "to_v": read, "to_out": own}.items():
                shapes |= linear(f"{number}.{name}_lora.down", rank, source, bias=False)
                shapes |= linear(f"{number}.{name}_lora.up", own, rank, bias=False)
    return shapes


def filled(projection: Shapes, attention: Shapes, seed: int = 0) -> State:
    """Random values, of a size that lets every part be felt."""
    generator = torch.Generator().manual_seed(seed)

    def values(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator) / (shape[-1] ** 0.5 if len(shape) > 1 else 2.0)

    return {
        "image_proj": {key: values(shape) for key, shape in projection.items()},
        "ip_adapter": {key: values(shape) for key, shape in attention.items()},
    }


def weightless(projection: Shapes, attention: Shapes) -> State:
    """The same with shapes alone: full-size tables cost nothing."""
    return {
        "image_proj": {key: torch.empty(shape, device="meta") for key, shape in projection.items()},
        "ip_adapter": {key: torch.empty(shape, device="meta") for key, shape in attention.items()},
    }


def write(file: Path, state: State) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".bin":
        torch.save(state, file)
    else:
        save_file({f"{part}.{key}": value for part, found in state.items() for key, value in found.items()}, file)
    return file
