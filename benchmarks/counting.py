"""Arithmetic, counted: of calls here, and of whole portraits in full size, on tensors without values.

`python benchmarks/latency.py --count` prints the latter for SD 1.5 and SDXL, with the two floors of one guided step:
its arithmetic at the machine's best rate for a matrix product, its weights read once at the best rate for reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from shapes import architecture
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from transformers import CLIPTextConfig, CLIPTextModel

from facesnap.core.machine import machine, today
from facesnap.models.ffrnet import FFRNet
from facesnap.models.intercept import intercepting
from facesnap.models.recall import _Deep, kept_keys
from facesnap.models.savings import NAIVE, SPEEDS, Savings

SIZES: Final = {"sd15": 512, "sdxl": 1024}
TOKENS: Final = 16


class Counter(TorchDispatchMode):
    """Operations of matrix products, convolutions and attentions, by torch's own formulas.

    Torch's FlopCounterMode itself follows modules, which fails where no gradients are recorded.
    """

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **(kwargs or {}), out_val=made)
        elif "flash_attention_for_cpu" in str(func):  # which torch has no formula for
            (*rows, queries, width), keys = args[0].shape, args[1].shape[-2]
            self.operations += 4 * int(np.prod(rows)) * queries * keys * width
        return made


def arithmetic(call: Callable[[], Any]) -> int:
    """Operations of a call."""
    with torch.no_grad(), Counter() as counter:
        call()
    return counter.operations


def full_size(steps: int, dtype: torch.dtype) -> list[str]:
    """Tables of both bases; ``dtype``: of the products that the floors are told for."""
    lines = [f"{steps} steps, guidance, one picture; counted, no seconds. {today()}", ""]
    for name, size in SIZES.items():
        with FakeTensorMode():
            costs = costs_of(name, size)
        lines += [f"{name}, {size} px", "", "| method | TFLOP | ratio to plain |", "|---|---|---|"]
        plain = portrait(costs, steps, None)
        lines.append(f"| plain | {plain / 1e12:.1f} | 1.00 |")
        for rival in ("controlnet", "faceid", "instantid"):
            whole = plain + steps * costs[rival]
            lines.append(f"| {rival} | {whole / 1e12:.1f} | {whole / plain:.2f} |")
        for speed, savings in {"naive": NAIVE, **SPEEDS}.items():
            whole = portrait(costs, steps, savings)
            lines.append(f"| facesnap {speed} | {whole / 1e12:.1f} | {whole / plain:.2f} |")
        lines += ["", *floors(costs, dtype), ""]
    return lines


def portrait(costs: Mapping[Any, float], steps: int, savings: Savings | None) -> float:
    """Operations of a portrait; savings None: of a picture without identity."""
    total = costs["text"] + costs["decode"]
    if savings is None:
        return total + steps * costs["unet", 2]
    keys = 0.0 if savings.keep_keys else 1.0
    for step in range(steps):
        rows = 1 if savings.guided_alone(step, steps) else 2
        whole = savings.whole_unet(step, steps)
        total += costs["unet" if whole else "shallow", rows] - (step > 0) * (1 - keys) * costs["unet keys", rows]
        if savings.runs_ffrnet(step, steps):
            seen = 1 if savings.share_residuals else rows
            total += costs["ffrnet", seen] - (step > 0) * (1 - keys) * costs["ffrnet keys", seen]
    return total + costs["map"]


def costs_of(name: str, size: int) -> dict[Any, float]:
    """Operations of each network's run, by how many rows it has."""
    told, side = architecture(name), size // 8
    unet = UNet2DConditionModel(**told["unet"]).requires_grad_(False)
    vae = AutoencoderKL(**told["vae"]).requires_grad_(False)
    texts = [CLIPTextModel(CLIPTextConfig(**each)).requires_grad_(False) for each in told["texts"]]
    net = FFRNet.from_unet(unet).requires_grad_(False)
    stock = ControlNetModel.from_unet(unet).requires_grad_(False)
    width = told["unet"]["cross_attention_dim"]
    shown = torch.zeros(1, 3, size, size)

    def given(rows: int) -> tuple[Any, ...]:
        return torch.zeros(rows, 4, side, side), torch.zeros(1, dtype=torch.long), torch.zeros(rows, 77, width)

    def more(rows: int) -> dict[str, Any]:
        both = {"text_embeds": torch.zeros(rows, 1280), "time_ids": torch.zeros(rows, 6)}
        return {"added_cond_kwargs": both} if name == "sdxl" else {}

    costs: dict[Any, float] = {
        "text": 2 * sum(arithmetic(lambda t=t: t(torch.zeros(1, 77, dtype=torch.long))) for t in texts),  # type: ignore[misc]
        "decode": arithmetic(lambda: vae.decode(torch.zeros(1, 4, side, side))),
        "controlnet": arithmetic(lambda: stock(*given(2), shown, return_dict=False, **more(2))),
        "unet bytes": sum(each.numel() for each in unet.parameters()) * 2.0,
        "ffrnet bytes": sum(each.numel() for each in net.parameters()) * 2.0,
    }
    for rows in (1, 2):
        sample = given(rows)
        costs["unet", rows] = arithmetic(lambda: unet(*sample, **more(rows)))  # noqa: B023 (called at once)
        with intercepting(kept_keys(unet)):
            first, again = (arithmetic(lambda: unet(*sample, **more(rows))) for _ in range(2))  # noqa: B023
        costs["unet keys", rows] = first - again
        costs["shallow", rows] = shallow(unet, sample, more(rows), Savings().deep_kept)
        tokens = torch.zeros(1, TOKENS, width)
        # The same map twice: what the second run is spared is the map's embedding.
        with net.attend_to(tokens, tokens, images_per_prompt=1), torch.no_grad():
            runs = [
                arithmetic(lambda: net(sample[0], sample[1], None, shown, return_dict=False, **more(rows)))  # noqa: B023
                for _ in range(2)
            ]
        keys = keys_of(net, rows * TOKENS)
        costs["ffrnet keys", rows], costs["ffrnet", rows] = keys, runs[1] + keys
        costs["map"] = max(0.0, runs[0] - runs[1] - keys)
    extra = {kind: keys_of(unet, 2 * tokens) for kind, tokens in (("faceid", 4), ("instantid", 16))}
    for kind, tokens in (("faceid", 4), ("instantid", 16)):
        costs[kind] = extra[kind] + attention_of(unet, side, 2, tokens)
    costs["instantid"] += costs["controlnet"]
    return costs


def shallow(unet: Any, sample: tuple[Any, ...], more: dict[str, Any], kept: int) -> float:
    """Operations of a run that recalls the deep features."""
    deep, rows = _Deep(unet, kept), len(sample[0])
    with torch.no_grad(), intercepting({**kept_keys(unet), **deep.handlers()}):
        deep.begin(True, rows)
        unet(*sample, **more)
        deep.begin(False, rows)
        return arithmetic(lambda: unet(*sample, **more))


def keys_of(net: Any, tokens: int) -> float:
    """Operations of all keys and values of so many tokens."""
    layers = [module for name, module in net.named_modules() if name.endswith(("attn2.to_k", "attn2.to_v"))]
    return float(sum(2 * tokens * layer.in_features * layer.out_features for layer in layers))


def attention_of(unet: Any, side: int, rows: int, tokens: int) -> float:
    """Operations of a second attention to so many tokens beside each cross-attention of the UNet."""
    total = 0.0
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            total += 4 * rows * places(unet, name, side) * tokens * module.to_q.out_features
    return total


def places(unet: Any, name: str, side: int) -> int:
    """How many places the feature map has that an attention works on."""
    levels = len(unet.down_blocks)
    if name.startswith("mid"):
        level = levels - 1
    else:
        number = int(name.split(".")[1])
        level = number if name.startswith("down") else levels - 1 - number
    return (side // 2**level) ** 2


def floors(costs: Mapping[Any, float], dtype: torch.dtype) -> list[str]:
    """The least time of one guided step on this machine."""
    flops, reading = ceilings(dtype)
    work, weights = costs["unet", 2] + costs["ffrnet", 2], costs["unet bytes"] + costs["ffrnet bytes"]
    here = f"{machine('cpu')}, {torch.get_num_threads()} thread(s), {str(dtype).removeprefix('torch.')} products"
    return [
        f"One guided step with FFRNet: {work / 1e12:.2f} TFLOP, {weights / 1e9:.2f} GB of weights (16 bit). Floors here"
        f" ({here} at {flops / 1e9:.0f} GFLOP/s, reading at {reading / 1e9:.1f} GB/s):"
        f" {work / flops:.2f} s of arithmetic, {weights / reading:.2f} s of reading."
    ]


def ceilings(dtype: torch.dtype) -> tuple[float, float]:
    """Best rates of this machine: operations per second of a large product, bytes per second read."""
    a, b = torch.rand(1024, 1024, dtype=dtype), torch.rand(1024, 1024, dtype=dtype)
    long = torch.rand(2**26)
    product = min(_seconds(lambda: a @ b) for _ in range(10))
    summed = min(_seconds(long.sum) for _ in range(5))
    return 2 * 1024**3 / product, 4 * len(long) / summed


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
