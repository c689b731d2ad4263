"""Everything a run needs before its first step, put together from its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from facesnap.core.errors import FaceSnapError, one_line
from facesnap.data.layout import DatasetInfo, read_dataset
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.training.adapter.base import Base, find_base, read_base
from facesnap.training.adapter.config import TrainConfig
from facesnap.training.adapter.drawing import Drawer
from facesnap.training.adapter.judges import ClipJudge, FaceJudge
from facesnap.training.adapter.lanes import Lanes
from facesnap.training.adapter.nets import build_nets, face_encoder, features_of, morphable
from facesnap.training.adapter.objective import FaceNets, Frozen
from facesnap.training.adapter.precompute import Maker, Precomputed, precompute
from facesnap.training.adapter.reader import Reader
from facesnap.training.adapter.validation import Validation
from facesnap.training.batches import sensible_workers


@dataclass(frozen=True)
class Setup:
    """What a run reads, trains, and is judged by. ``stamp``: of the precomputed data."""

    base: Base
    info: DatasetInfo
    nets: FaceNets
    frozen: Frozen
    reader: Reader
    validation: Validation | None
    stamp: str

    def empty_nets(self, state: dict[str, Tensor]) -> FaceNets:
        """Networks of the same shape, filled with weights that were gathered from all processes."""
        ffrnet = FFRNet(**_own(self.nets.ffrnet.config))
        mixer = FacialAttributeMixer(**_own(self.nets.mixer.config))
        made = FaceNets(ffrnet, mixer)
        made.load_state_dict({name: value.cpu() for name, value in state.items()})
        return made


def prepare(config: TrainConfig, accelerator: Accelerator, say: Callable[[str], None]) -> Setup:
    """Load, check and precompute what is needed.

    Raises:
        FaceSnapError: something is missing, damaged, or doesn't fit; says what.
    """
    info = read_dataset(config.data.folder)
    with accelerator.main_process_first():  # one process fetches, the others find it in the cache
        base = read_base(config.base, find_base(config.base))
    device = accelerator.device
    face = face_encoder(config.objective, info, device)
    shapes = morphable(config.objective, info)
    made = precompute(
        config.data.folder,
        config.precomputed,
        Maker(base, config.data.captions, device, accelerator.autocast),
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
        wait=accelerator.wait_for_everyone,
        say=say,
    )
    torch.manual_seed(config.seed)
    unet = base.load_unet()
    nets = build_nets(config.nets, base, unet, features_of(config.data.folder), info)
    frozen = Frozen(_frozen(unet, device), _frozen(base.load_vae(), device), face, device)
    if accelerator.mixed_precision != "no" and device.type != "cpu":
        unet.to({"bf16": torch.bfloat16, "fp16": torch.float16}[accelerator.mixed_precision])
    if device.type == "cpu":  # torch's fused attention is slow to go back through there
        for part in (unet, nets.ffrnet):
            part.set_attn_processor(AttnProcessor())
    drawer = Drawer(
        *(config.data, config.objective, info.size, base.scaling, base.shift, made.empty, shapes), xl=base.xl
    )
    return Setup(
        base,
        info,
        nets,
        frozen,
        _reader(config, made, drawer, base, accelerator),
        _validation(config, base, frozen, drawer, made, info, accelerator, say),
        made.folder.name,
    )


def _reader(config: TrainConfig, made: Precomputed, drawer: Drawer, base: Base, accelerator: Accelerator) -> Reader:
    data, device = config.data, accelerator.device
    lanes = Lanes(data.folder, made, "train", config.seed, data.lanes, data.buffer_people)
    workers = sensible_workers(device) if data.workers is None else data.workers
    rank, processes = accelerator.process_index, accelerator.num_processes
    reader = Reader(lanes, drawer, len(base.schedule), config.optim.batch_size, rank, processes, workers)
    _ = reader.own  # whether they can be dealt out, before anything is read
    return reader


def _validation(
    config: TrainConfig,
    base: Base,
    frozen: Frozen,
    drawer: Drawer,
    made: Precomputed,
    info: DatasetInfo,
    accelerator: Accelerator,
    say: Callable[[str], None],
) -> Validation | None:
    """None where it isn't asked for, where nobody is unseen, or in processes beside the main one."""
    if not config.watch.validate_every or not accelerator.is_main_process:
        return None
    try:
        face = FaceJudge(config.watch.judge_face, info, accelerator.device)
        clip = ClipJudge(config.watch.judge_clip, accelerator.device)
    except FaceSnapError as error:
        if config.watch.judge_face or config.watch.judge_clip:
            raise
        say(f"no validation: {one_line(error)}")
        return None
    lanes = Lanes(config.data.folder, made, "val", config.seed, 1, config.data.buffer_people, pictures=True)
    judges = (face, clip)
    return Validation.of(config, base, frozen, replace(drawer), lanes, judges, accelerator.autocast)


def _frozen(part: Any, device: torch.device) -> Any:
    return part.to(device).eval().requires_grad_(False)


def _own(config: Any) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.startswith("_")}
