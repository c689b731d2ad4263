"""What a run will take, before it begins: memory and arithmetic of one pass through networks without weights.

The real networks run forward and backward on tensors that have shapes and no values (torch's FakeTensorMode), at the
pass' real size; every storage that comes and goes is counted, and every product. Norms are counted in float32, as
autocast has them on CUDA. Not counted: what libraries allocate for themselves, and fragmentation (see :data:`SPARE`).
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.training.adapter.base import Base
from facesnap.training.adapter.config import TrainConfig
from facesnap.training.adapter.loop import micro_batch
from facesnap.training.adapter.nets import Features, new_nets
from facesnap.training.adapter.objective import FaceNets

#: What is added to the sum for libraries, fragmentation, and the convolutions' working space.
SPARE: Final = 0.15
#: A100's peak in bf16 and the share of it that training of this kind usually reaches: an assumption, not a measurement.
PEAK_FLOPS: Final = 312e12
REACHED: Final = 0.35
_DTYPES: Final = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
#: Bytes per trained parameter of the optimiser's state.
_SLOTS: Final = {"adamw": 8, "muon": 4, "adamw8bit": 2}


@dataclass(frozen=True)
class Estimate:
    """Bytes on one device; ``flops``: of an optimiser step, over all processes.

    ``trained``, ``frozen``: numbers of parameters. ``peak``: of a pass, activations and gradients, the largest that is
    there at once.
    """

    trained: int
    frozen: int
    weights: int
    optimizer: int
    average: int
    peak: int
    flops: int

    @property
    def total(self) -> int:
        """All together, with :data:`SPARE`."""
        return int((self.weights + self.optimizer + self.average + self.peak) * (1 + SPARE))

    def hours(self, steps: int) -> float:
        """Hours of one A100 by :data:`PEAK_FLOPS` and :data:`REACHED`, all its processes one after the other."""
        return self.flops * steps / (PEAK_FLOPS * REACHED) / 3600

    def lines(self, steps: int) -> list[str]:
        """In words."""
        gb = {name: getattr(self, name) / 2**30 for name in ("weights", "optimizer", "average", "peak", "total")}
        return [
            f"trained: {self.trained / 1e6:.1f} M parameters; frozen: {self.frozen / 1e6:.1f} M",
            f"memory per process, estimated: {gb['total']:.2f} GB (weights {gb['weights']:.2f}, optimiser"
            f" {gb['optimizer']:.2f}, average {gb['average']:.2f}, activations and gradients at their peak"
            f" {gb['peak']:.2f}, {SPARE:.0%} to spare)",
            f"arithmetic: {self.flops / 1e12:.2f} TFLOP a step; {steps} steps are {self.hours(steps):.1f} hours of one"
            f" A100 at {REACHED:.0%} of {PEAK_FLOPS / 1e12:.0f} TFLOP/s (assumed, not measured)",
        ]


def estimate(config: TrainConfig, base: Base, features: Features, size: int, processes: int) -> Estimate:
    """Of a run as it is set.

    Args:
        config: the settings.
        base: its configs are enough.
        features: of the data.
        size: side of the data's pictures.
        processes: that train.
    """
    micro = micro_batch(config.optim, processes)
    passes = config.optim.batch_size // (processes * micro)
    half = _DTYPES[config.compute.precision]
    with FakeTensorMode():
        unet = UNet2DConditionModel.from_config(base.unet).eval().requires_grad_(False)
        _cast(unet, half)
        kind = PatchAutoencoder if base.vae.get("_class_name") == PatchAutoencoder.__name__ else AutoencoderKL
        vae = kind.from_config(base.vae).eval().requires_grad_(False)
        nets = _nets(config, base, features)
        _cast(nets, torch.float32)
        if config.compute.gradient_checkpointing:
            for each in (unet, vae, nets.ffrnet):
                each.enable_gradient_checkpointing()
        share = config.objective.id_batch / config.optim.batch_size
        rows = min(micro, math.ceil(micro * share)) if config.objective.lambda_id else 0
        batch = _batch(base, features, nets, micro, size)
        counted, flops = _Peak(), FlopCounterMode(display=False)
        # Autocast's rules for CPUs are close; norms, where they differ, are hooked.
        autocast = torch.autocast("cpu", torch.bfloat16) if half != torch.float32 else nullcontext()
        with _norms_in_full([nets, unet, vae], half != torch.float32), counted, flops, autocast:
            _pass(nets, unet, vae, batch, rows)
    trained = sum(p.numel() for p in nets.parameters())
    frozen = [sum(p.numel() for p in each.parameters()) for each in (unet, vae)]
    width = torch.finfo(half).bits // 8
    return Estimate(
        trained,
        sum(frozen),
        weights=4 * trained + width * frozen[0] + 4 * frozen[1],
        optimizer=_SLOTS[config.optim.optimizer] * trained,
        average=4 * trained if config.optim.ema_decay else 0,
        peak=counted.peak + (4 * trained if passes > 1 else 0),  # gradients wait for the next pass
        flops=flops.get_total_flops() * passes * processes,
    )


def _nets(config: TrainConfig, base: Base, features: Features) -> FaceNets:
    unet = UNet2DConditionModel.from_config(base.unet)
    return new_nets(config.nets, base, unet, features, load_weights_from_unet=False)


def _batch(base: Base, features: Features, nets: FaceNets, rows: int, size: int) -> dict[str, Any]:
    side, width = size // base.factor, int(base.unet["cross_attention_dim"])
    added = None
    if base.xl:
        pooled = base.unet["projection_class_embeddings_input_dim"] - 6 * base.unet["addition_time_embed_dim"]
        added = {"text_embeds": torch.zeros(rows, pooled), "time_ids": torch.zeros(rows, 6)}
    return {
        "f_id": torch.zeros(rows, features.face),
        "f_clip": torch.zeros(rows, *features.appearance),
        "drop": torch.zeros(rows, dtype=torch.bool),
        "noisy": torch.zeros(rows, int(base.unet["out_channels"]), side, side),
        "timesteps": torch.zeros(rows, dtype=torch.long),
        "maps": torch.zeros(rows, 3, size, size),
        "added": added,
        "states": torch.zeros(rows, 77, width),
    }


def _pass(nets: FaceNets, unet: Any, vae: Any, batch: Mapping[str, Any], rows: int) -> None:
    given = {name: value for name, value in batch.items() if name != "states"}
    down, mid = nets(**given)
    more = {"added_cond_kwargs": batch["added"]} if batch["added"] else {}
    predicted = unet(
        *(batch["noisy"], batch["timesteps"], batch["states"]),
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
        **more,
    ).sample.float()
    loss = predicted.pow(2).mean()
    if rows:
        loss = loss + vae.decode(predicted[:rows]).sample.float().mean()
    loss.backward()


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Counts the bytes of what is made inside, as long as it lives; ``peak``: the most at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.now = self.peak = 0
        self.seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage not in self.seen:
                    self.seen.add(storage)
                    weakref.finalize(storage, self._freed, storage.nbytes())
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
        return made

    def _freed(self, size: int) -> None:
        self.now -= size


@contextmanager
def _norms_in_full(models: list[nn.Module], wanted: bool) -> Iterator[None]:
    """Norms take their input in float32, as CUDA's autocast hands it to them."""
    norms = [m for model in models for m in model.modules() if isinstance(m, nn.GroupNorm | nn.LayerNorm)]
    hooks = [
        norm.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:])) for norm in norms if wanted
    ]
    for norm in norms if wanted else ():
        _cast(norm, torch.float32)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _cast(model: nn.Module, kind: torch.dtype) -> None:
    """``model.to(kind)``, which can't be had of tensors without values, and new ones where a layer was copied."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(torch.empty(value.shape, dtype=kind), value.requires_grad)
