"""How many steps a second ``facesnap train`` takes, beside the work that diffusers' own ControlNet example does a step.

    python benchmarks/train_speed.py [--shape mini sd15/8] [--size 256] [--batch 4] [--repeats 10] [--lambda-id 0]

The example (examples/controlnet/train_controlnet.py of diffusers) decodes picture and control image, encodes the
picture by the VAE and the caption by the text encoder at every step, then passes ControlNet and UNet, backward, clip,
AdamW. Its steps are written out here in its order, with diffusers' ControlNetModel in place of FFRNet; ours are those
of the real trainer, reading shards and drawing maps included, with the mixer and the average of weights that the
example has not. Both have the same base, picture size, batch, precision and number of trained weights in the encoder
copy; they take turns, and medians are told. What ours did once beforehand is told, too.

``--shape``: ``mini`` is the embedded model's base; ``sd15/N`` is Stable Diffusion 1.5's architecture with channels and
widths divided by N (VAE and text encoder alike) and random weights, so that a CPU can take a step. ``--size`` is for
the latter. ``--profile`` adds where our step's time goes. ``--count`` measures nothing: it counts the arithmetic of
both steps for SD 1.5 at 512 px and SDXL at 1024 px in full size, on tensors without values.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from measuring import timed
from PIL import Image
from shapes import architecture, random_base
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from facesnap.core.machine import machine, today
from facesnap.core.types import Camera
from facesnap.core.weights import mini_folder
from facesnap.data.layout import DESCRIPTION, DatasetInfo, Example, SplitInfo, encode, key_of, picture_bytes, shard_name
from facesnap.data.shards import write_shard
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.layout import five_points
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks, basis_of
from facesnap.training.adapter.base import find_base, read_base
from facesnap.training.adapter.config import checked
from facesnap.training.adapter.loop import Trainer
from facesnap.training.adapter.nets import build_nets, features_of
from facesnap.training.adapter.setup import prepare
from facesnap.training.adapter.watch import Watch

#: f_clip of CLIP ViT-L/14: tokens, width.
CLIP_L = (257, 1024)
PEOPLE, PHOTOS = 8, 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", default=["mini", "sd15/8"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--precision", choices=["no", "bf16", "fp16"], default="no")
    parser.add_argument("--lambda-id", type=float, default=0.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--count", action="store_true")
    asked = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if asked.count:
        for name, size in (("sd15", 512), ("sdxl", 1024)):
            print(counted(name, size))
        return
    threads = f"{torch.get_num_threads()} thread(s)"
    print(f"{machine(device)}, {threads}, {today()}, batch {asked.batch}, {asked.precision}\n")
    print("| base | size | example, steps/s | facesnap, steps/s | ratio | once beforehand |")
    print("|---|---|---|---|---|---|")
    profiles = []
    for shape in asked.shape:
        with tempfile.TemporaryDirectory() as folder:
            line, profile = measured(shape, Path(folder), asked)
            print(line, flush=True)
            profiles.append(profile)
    if asked.profile:
        print("\n" + "\n\n".join(profiles))


def measured(shape: str, folder: Path, asked: argparse.Namespace) -> tuple[str, str]:
    """A row of the table, and where our time goes."""
    size = 128 if shape == "mini" else asked.size
    base = str(mini_folder() / "base") if shape == "mini" else str(random_base(shape, folder / "base"))
    write_data(folder / "data", size)
    begun = time.perf_counter()
    trainer, batches, watch = ours(base, folder, asked)
    beforehand = PEOPLE * PHOTOS / (time.perf_counter() - begun)
    step = theirs(base, folder / "data", size, asked, trainer.accelerator.device)
    own: list[float] = []
    other: list[float] = []
    for number in range(asked.repeats + 2):
        for seconds, work in ((own, lambda: trainer._one(batches, watch, lambda: (False, False))), (other, step)):
            took = timed(work, trainer.accelerator.device)
            if number > 1:  # the first two steps allocate what all later ones use again
                seconds.append(took)
    profile = profiled(trainer, batches, watch) if asked.profile else ""
    AcceleratorState._reset_state(reset_partial_state=True)
    a, b = 1 / statistics.median(other), 1 / statistics.median(own)
    name = f"{shape}{f', L_id {asked.lambda_id}' if asked.lambda_id else ''}"
    return f"| {name} | {size} | {a:.3g} | {b:.3g} | {b / a:.2f} | {beforehand:.2g} photos/s with loading |", profile


def ours(base: str, folder: Path, asked: argparse.Namespace) -> tuple[Trainer, Iterator[dict[str, Any]], Watch]:
    """The real trainer, ready for its steps."""
    config = checked(
        {
            "output": str(folder / "out"),
            "base": base,
            "data": {"folder": str(folder / "data"), "lanes": min(4, asked.batch)},
            "nets": {"heads": 4},
            "objective": {"lambda_id": asked.lambda_id},
            "optim": {"steps": 10**6, "batch_size": asked.batch},
            "compute": {"precision": asked.precision},
            "watch": {"validate_every": 0, "tensorboard": False, "log_every": 10**6},
        }
    )
    accelerator = Accelerator(mixed_precision=asked.precision)
    (folder / "out").mkdir()
    trainer = Trainer(config, accelerator, prepare(config, accelerator, lambda _: None), print)
    return trainer, trainer.setup.reader.batches(0), Watch(config, print, False)


def theirs(base: str, data: Path, size: int, asked: argparse.Namespace, device: torch.device) -> Any:
    """A step of the example, as a call."""
    found = read_base(base, find_base(base))
    dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[asked.precision]
    vae, unet = found.load_vae().to(device, dtype), found.load_unet().to(device, dtype)
    text, tokenizer = (getattr(found.load_texts(device).pipeline, name) for name in ("text_encoder", "tokenizer"))
    text.to(dtype)
    copied = build_nets(checked_nets(), found, unet.float(), features_of(data), DatasetInfo(size, 1, {}, {})).ffrnet
    unet.to(dtype)
    net = ControlNetModel.from_unet(
        unet.float(), conditioning_embedding_out_channels=copied.config["conditioning_embedding_out_channels"]
    ).to(device)
    unet.to(dtype)
    if device.type == "cpu":  # as ours: it is faster there, for both
        for part in (unet, net):
            part.set_attn_processor(AttnProcessor())
    for part in (vae, unet, text):
        part.requires_grad_(False)
    noise, optimizer = DDPMScheduler(num_train_timesteps=1000), torch.optim.AdamW(net.parameters(), lr=1e-5)
    rng = np.random.default_rng(0)
    picture = picture_bytes(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
    control = picture_bytes(draw_landmarks(rng.uniform(0, size, (72, 2)), (size, size)), "png")
    ids = tokenizer("a photo of a person", padding="max_length", truncation=True, return_tensors="pt").input_ids

    def step() -> None:
        pixels = torch.stack([decoded(picture) for _ in range(asked.batch)]).to(device, dtype) * 2 - 1
        maps = torch.stack([decoded(control) for _ in range(asked.batch)]).to(device, dtype)
        with torch.no_grad():
            clean = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
            states = text(ids.repeat(asked.batch, 1).to(device))[0]
        drawn = torch.randn_like(clean)
        timesteps = torch.randint(0, 1000, (asked.batch,), device=device)
        noisy = noise.add_noise(clean, drawn, timesteps)
        half = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
        with half:
            down, mid = net(noisy, timesteps, states, maps, return_dict=False)
        predicted = unet(
            *(noisy, timesteps, states),
            down_block_additional_residuals=[each.to(dtype) for each in down],
            mid_block_additional_residual=mid.to(dtype),
        ).sample
        loss = F.mse_loss(predicted.float(), drawn.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def checked_nets() -> Any:
    """Plain settings of the networks."""
    from facesnap.training.adapter.config import NetsConfig

    return NetsConfig(heads=4)


def decoded(content: bytes) -> torch.Tensor:
    """(3, S, S) in [0, 1], as the example's transforms give it."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB"))).permute(2, 0, 1) / 255.0


def profiled(trainer: Trainer, batches: Any, watch: Watch) -> str:
    """The operations that take most of a step's time."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if trainer.accelerator.device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profile:
        trainer._one(batches, watch, lambda: (False, False))
    on_card = trainer.accelerator.device.type == "cuda"
    key = "self_device_time_total" if on_card else "self_cpu_time_total"
    events = sorted(profile.key_averages(), key=lambda event: -getattr(event, key))
    total = sum(getattr(event, key) for event in events)
    lines = [f"{event.key}: {getattr(event, key) / total:.0%}" for event in events[:10]]
    return f"{trainer.setup.base.name}, one step of ours: " + ", ".join(lines)


def counted(name: str, size: int) -> str:
    """Arithmetic of both steps for one picture, in full size."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    told, side = architecture(name), size // 8
    with FakeTensorMode():
        unet = UNet2DConditionModel(**told["unet"]).requires_grad_(False)
        vae = AutoencoderKL(**told["vae"]).requires_grad_(False)
        texts = [CLIPTextModel(CLIPTextConfig(**each)).requires_grad_(False) for each in told["texts"]]
        net = ControlNetModel.from_unet(unet)
        more: dict[str, Any] = {}
        if name == "sdxl":
            more = {"added_cond_kwargs": {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)}}
        with FlopCounterMode(display=False) as both:
            noisy, states = torch.zeros(1, 4, side, side), torch.zeros(1, 77, told["unet"]["cross_attention_dim"])
            when = torch.zeros(1, dtype=torch.long)
            down, mid = net(noisy, when, states, torch.zeros(1, 3, size, size), return_dict=False, **more)
            given = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid, **more}
            unet(noisy, when, states, **given).sample.mean().backward()
        with FlopCounterMode(display=False) as encoding:
            vae.encode(torch.zeros(1, 3, size, size))
            for text in texts:
                text(torch.zeros(1, 77, dtype=torch.long))
    ours, beside = both.get_total_flops() / 1e12, encoding.get_total_flops() / 1e12
    return (
        f"{name} at {size} px, a picture: {ours:.2f} TFLOP for ControlNet and UNet, forward and backward; {beside:.2f}"
        f" more to encode picture and caption: {(ours + beside) / ours:.2f} times"
    )


def write_data(folder: Path, size: int) -> None:
    """Noise as photographs, with features of usual sizes."""
    rng = np.random.default_rng(0)
    model = MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)
    camera = Camera(size / 27.0, size / 2, size / 2, 1 / 90)
    face = FaceEncoder.from_pretrained(mini_folder() / "face_encoder")

    def photo(person: int, index: int) -> Example:
        shape = rng.normal(size=model.components).astype(np.float32)
        points = camera.project(model.landmarks3d(shape, np.zeros(53))).astype(np.float32)
        f_id = rng.normal(size=(1, face.dim))
        return Example(
            *(key_of(person, index), picture_bytes(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))),
            *(str(person), ("a photo of a person",), points, five_points(points), np.zeros(3, np.float32), camera),
            np.zeros(53, np.float32),
            (f_id / np.linalg.norm(f_id)).astype(np.float16),
            rng.normal(size=(1, *CLIP_L)).astype(np.float16),
            shape,
        )

    samples = [photo(person, index) for person in range(PEOPLE) for index in range(PHOTOS)]
    write_shard(folder / shard_name("train", 0), [(each.key, encode(each)) for each in samples])
    splits = {"train": SplitInfo(PEOPLE, len(samples), 1), "val": SplitInfo(0, 0, 0)}
    encoders = {"face": face.identifier, "appearance": "clip@0", "shape": basis_of(model)}
    (folder / DESCRIPTION).write_bytes(DatasetInfo(size, 1, splits, encoders).to_json())


if __name__ == "__main__":
    main()
