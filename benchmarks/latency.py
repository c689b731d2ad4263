"""How long a portrait takes beside the plain picture without identity, and beside other ways to put a face into one.

    python benchmarks/latency.py [--base mini sd15/4] [--size 256] [--steps 20] [--repeats 5] [--dtype float32]
    python benchmarks/latency.py --count            # full size, counted instead of timed

All methods work on the same base (random weights but for mini: what a step costs doesn't depend on them), size, steps,
scheduler, guidance and dtype, and take turns; told are medians with the least and the most, as ratios to `plain`:

- plain: the base's stock pipeline; controlnet: diffusers' with a stock ControlNet;
- faceid: decoupled attention to 4 tokens, as IP-Adapter-FaceID has it (its LoRA fused, so that it costs nothing);
- instantid: a ControlNet that reads the face, and decoupled attention to 16 tokens;
- facesnap, by each `speed`, and naive (nothing kept or left out).

Then where FaceSnap's time goes, part by part, and the peak memory of each method: on a card of the call, on a CPU of a
process that does nothing else. Enrolment (once per person) is told apart, with mini's encoders.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    ControlNetModel,
    DiffusionPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
)
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from measuring import most_of, timed
from shapes import random_base
from torch import nn

from facesnap.core.machine import choose_device, machine, today
from facesnap.core.weights import mini_folder, read_config
from facesnap.models.autoencoder import PatchAutoencoder as PatchAutoencoder  # mini's; diffusers looks it up
from facesnap.models.ffrnet import FFRNet, embedding_channels
from facesnap.models.savings import NAIVE, SPEEDS
from facesnap.pipelines.bindings.binding import FaceBinding
from facesnap.pipelines.bindings.roads import rebuilt, text_class

#: Tokens of a face for the decoupled attention of each rival, and for FFRNet.
TOKENS: Final = {"faceid": 4, "instantid": 16, "facesnap": 16}
SPEEDS_TIMED: Final = {"naive": NAIVE, **SPEEDS}
METHODS: Final = ("plain", "controlnet", "faceid", "instantid", *(f"facesnap {name}" for name in SPEEDS_TIMED))
PROMPT: Final = "a portrait of a person in a red jacket"

Call = Callable[[], Any]


class Table:
    """A base with everything that the methods need, in one device's memory."""

    def __init__(self, shape: str, folder: Path, asked: argparse.Namespace) -> None:
        self.asked, self.device = asked, choose_device(asked.device)
        dtype = getattr(torch, asked.dtype)
        torch.manual_seed(0)
        if shape == "mini" and str(asked.memory_of).startswith("facesnap"):  # all that it has, and nothing beside that
            self.snap = _mini(device=str(self.device), dtype=dtype)
            self.plain = self.snap.pipeline
        else:
            self.plain = DiffusionPipeline.from_pretrained(folder, torch_dtype=dtype, safety_checker=None)
        self.plain.set_progress_bar_config(disable=True)
        self.xl = "text_encoder_2" in self.plain.components
        self.unet, self.size = self.plain.unet, 128 if shape == "mini" else asked.size
        self.width = self.unet.config.cross_attention_dim
        self.factor = self.plain.vae_scale_factor
        self.mini = shape == "mini"
        self.plain.to(self.device)

    def call(self, method: str) -> Call:
        """A picture by a method; networks that it adds are made here, once."""
        kind, _, speed = method.partition(" ")
        if kind == "plain":
            return lambda: self._picture(self.plain)
        if kind == "faceid":
            return self._decoupled(kind, lambda **more: self._picture(self.plain, **more))
        if kind == "facesnap":
            pipeline = self._facesnap()
            faces = {"face_tokens": self._tokens(kind), "null_tokens": self._tokens(kind)}
            return lambda: self._picture(pipeline, image=self._map(), **faces, savings=SPEEDS_TIMED[speed])
        net = ControlNetModel.from_unet(
            self.unet, conditioning_embedding_out_channels=embedding_channels(self.factor)
        ).to(self.device, self.unet.dtype)
        stock = StableDiffusionXLControlNetPipeline if self.xl else StableDiffusionControlNetPipeline
        pipeline = rebuilt(self.plain, stock, controlnet=net)
        if kind == "controlnet":
            return lambda: self._picture(pipeline, image=self._map())
        return self._decoupled(kind, lambda **more: self._picture(pipeline, image=self._map(), **more))

    def _facesnap(self) -> Any:
        """FaceSnap's pipeline: mini's own FFRNet, or a copy of the UNet's encoder as docs/METHOD.md has it."""
        if isinstance(self.plain, FaceBinding):
            return self.plain
        if self.mini:
            snap = _mini(device=str(self.device), dtype=self.unet.dtype)
            return rebuilt(self.plain, type(snap.pipeline), controlnet=snap.pipeline.ffrnet, mixer=None)
        net = FFRNet.from_unet(self.unet, self.width, vae_scale_factor=self.factor).to(self.device, self.unet.dtype)
        return rebuilt(self.plain, text_class("sdxl" if self.xl else "sd1"), controlnet=net, mixer=None)

    def _picture(self, pipeline: Any, **more: Any) -> Any:
        noise = torch.Generator("cpu").manual_seed(0)
        return pipeline(
            PROMPT, num_inference_steps=self.asked.steps, guidance_scale=5.0, width=self.size, height=self.size,
            generator=noise, output_type="np", **more,
        )  # fmt: skip

    def _map(self) -> torch.Tensor:
        return torch.zeros(1, 3, self.size, self.size)

    def _tokens(self, kind: str) -> torch.Tensor:
        width = self.width
        if kind == "facesnap" and self.mini:
            width = read_config(mini_folder() / "adapter" / "ffrnet")["cross_attention_dim"]
        return torch.zeros(1, TOKENS[kind], width, device=self.device, dtype=self.unet.dtype)

    def _decoupled(self, kind: str, picture: Callable[..., Any]) -> Call:
        """A call with a second attention in every cross-attention of the UNet, which is taken out again afterwards."""
        own: dict[str, Any] = {}
        for name, before in self.unet.attn_processors.items():
            attention = self.unet.get_submodule(name.removesuffix(".processor"))
            width = None if name.endswith("attn1.processor") else self.width
            own[name] = (
                AttnProcessor2_0() if width is None
                else IPAdapterAttnProcessor2_0(attention.to_q.in_features, width, num_tokens=(TOKENS[kind],))
                .to(self.device, self.unet.dtype)
            )  # fmt: skip
            del before
        tokens = torch.zeros(2, 1, TOKENS[kind], self.width, device=self.device, dtype=self.unet.dtype)

        def call() -> Any:
            with attended(self.unet, own):
                return picture(ip_adapter_image_embeds=[tokens])

        return call


def _mini(**options: Any) -> Any:
    from facesnap import FaceSnap  # here: in the plain picture's memory it has no place

    return FaceSnap.from_pretrained("mini", **options)


@contextmanager
def attended(unet: Any, processors: dict[str, Any]) -> Iterator[None]:
    """Other attention processors inside the block, and the face's tokens handed to them as they are."""
    before = dict(unet.attn_processors)
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity()])
    unet.config.encoder_hid_dim_type = "ip_image_proj"
    unet.set_attn_processor(dict(processors))
    try:
        yield
    finally:
        unet.encoder_hid_proj, unet.config.encoder_hid_dim_type = None, None
        unet.set_attn_processor(before)


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", nargs="+", default=["mini", "sd15/4"])
    parser.add_argument("--size", type=int, default=256, help="of all but mini")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help="count the arithmetic of SD 1.5 and SDXL in full size")
    asked = parser.parse_args()
    if asked.count:
        from counting import full_size

        print("\n".join(full_size(asked.steps, getattr(torch, asked.dtype))))
    elif asked.memory_of:
        Table(asked.base[0], asked.folder, asked).call(asked.memory_of)()
        print(1024 * most_of())
    else:
        for shape in asked.base:
            with tempfile.TemporaryDirectory() as folder:
                where = mini_folder() / "base" if shape == "mini" else random_base(shape, Path(folder) / "base")
                print("\n".join(measured(shape, where, asked)), flush=True)


def measured(shape: str, folder: Path, asked: argparse.Namespace) -> list[str]:
    """The tables of one base."""
    table = Table(shape, folder, asked)
    calls = {method: table.call(method) for method in METHODS}
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    for turn in range(asked.repeats + 1):
        for method, call in calls.items():
            took = timed(call, table.device)
            seconds[method] += [took] if turn else []  # the first warms up
    memory = {method: peak(table, shape, method, calls[method], folder) for method in METHODS}
    threads = f"{torch.get_num_threads()} thread(s)"
    lines = [f"{shape}, {table.size} px, {asked.steps} steps, guidance 5, {asked.dtype}: {machine(str(table.device))},",
             f"{threads}, {today()}, {asked.repeats} turns", ""]  # fmt: skip
    lines += [
        "| method | ratio to plain | least to most | seconds | peak memory | ratio |",
        "|---|---|---|---|---|---|",
    ]
    plain = statistics.median(seconds["plain"])
    for method in METHODS:
        own = seconds[method]
        spread = f"{min(own) / plain:.2f} to {max(own) / plain:.2f}"
        size, more = memory[method] / 2**20, memory[method] / memory["plain"]
        middle = statistics.median(own)
        lines.append(f"| {method} | {middle / plain:.2f} | {spread} | {middle:.2f} | {size:.0f} MB | {more:.2f} |")
    return [*lines, "", *parts(table, calls), ""]


def peak(table: Table, shape: str, method: str, call: Call, folder: Path) -> float:
    """Bytes: of a call on a card, of a process on a CPU."""
    if table.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        call()
        return float(torch.cuda.max_memory_allocated())
    asked = table.asked
    command = [sys.executable, __file__, "--base", shape, "--folder", str(folder), "--memory-of", method]
    command += ["--size", str(asked.size), "--steps", "2", "--device", "cpu", "--dtype", asked.dtype]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[-1])


def parts(table: Table, calls: dict[str, Call]) -> list[str]:
    """Where the time of each speed goes; enrolment apart."""
    lines = ["| method | text | FFRNet | UNet | VAE | everything else |", "|---|---|---|---|---|---|"]
    for method in METHODS:
        if method == "plain" or method.startswith("facesnap"):
            took = split(table, calls[method])
            share = " | ".join(f"{1000 * took[name]:.0f} ms" for name in ("text", "ffrnet", "unet", "vae", "else"))
            lines.append(f"| {method} | {share} |")
    return [*lines, "", enrolment(table)]


def split(table: Table, call: Call) -> dict[str, float]:
    """Seconds of a call by part."""
    took = dict.fromkeys(("text", "ffrnet", "unet", "vae"), 0.0)
    undo: list[Call] = []

    def watch(owner: Any, attribute: str, part: str) -> None:
        stock = getattr(owner, attribute)

        def timing(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return stock(*args, **kwargs)
            finally:
                if table.device.type == "cuda":
                    torch.cuda.synchronize()
                took[part] += time.perf_counter() - begun

        setattr(owner, attribute, timing)
        undo.append(lambda: setattr(owner, attribute, stock))

    encoders = [table.plain.text_encoder, *([table.plain.text_encoder_2] if table.xl else [])]
    for encoder in encoders:
        watch(encoder, "forward", "text")
    watch(FFRNet, "forward", "ffrnet")
    watch(type(table.unet), "forward", "unet")
    watch(table.plain.vae, "decode", "vae")
    try:
        whole = timed(call, table.device)
    finally:
        for each in reversed(undo):
            each()
    return {**took, "else": whole - sum(took.values())}


def enrolment(table: Table) -> str:
    """Once per person: detector, E_f, E_c and E_3d on a photo."""
    snap = _mini(device=str(table.device))
    photo = Path(__file__).resolve().parents[1] / "examples" / "eileen_collins.jpg"
    seconds = [timed(lambda: snap.enroll(photo), table.device) for _ in range(4)][1:]
    return f"Enrolment, once per person (mini's encoders): {1000 * statistics.median(seconds):.0f} ms."


if __name__ == "__main__":
    main()
