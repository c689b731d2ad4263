"""Does an adapter that was trained on base A work on base B, a fine-tune of A to another style, without training?

    python benchmarks/plug_and_play.py RUN --style oil --steps 400 --people 100 --renders RUN/encoder_world/test

RUN is a finished folder of ``facesnap mini train``; it isn't changed. B is its UNet, trained on with the renders in one
style and captions that don't name it, so that the style comes unasked. ``facesnap evaluate`` then measures the same
people, prompts, poses and seeds on both bases, with the adapter as it is. Prints a Markdown table and keeps it, with B
and both reports (contact sheets among them), in RUN/plug_and_play/STYLE.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from facesnap.core.errors import UsageError
from facesnap.core.images import write_atomic
from facesnap.core.machine import choose_device, machine, today
from facesnap.training.config import mini_config
from facesnap.training.loop import train
from facesnap.training.mini.data import Split
from facesnap.training.mini.run import Run
from facesnap.training.mini.unet import UnetStage
from facesnap.world.captions import captions_of

#: What identity and pose kept means: figures of the report, and by how much B may be worse.
KEPT = ("facesim_reference", "facesim_other", "nme")
TOLERANCE = 0.10


def main() -> None:
    """Fine-tune, measure on both, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--style", default="oil")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--renders", type=Path, help="test people's shards; default: rendered")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    folder = asked.run / "plug_and_play" / asked.style
    fine_tune(asked, folder)
    found = {name: measure(asked, weights, folder / name) for name, weights in bases(asked, folder).items()}
    about = f"Style {asked.style}, {asked.steps} steps, {asked.people} people, seed {asked.seed}, "
    text = "\n".join([about + f"{machine(asked.device)}, {today()}", "", *table(found), ""])
    write_atomic(folder / "table.md", text.encode())
    print(text)


def bases(asked: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Name -> mini folder of both."""
    return {"A": asked.run / "mini", "B": folder / "mini"}


def fine_tune(asked: argparse.Namespace, folder: Path) -> None:
    """Write a copy of mini whose UNet draws one style; goes on where it stopped."""
    settings = {"unet.steps": asked.steps, "unet.learning_rate": 3e-4, "unet.batch_size": 64, "seed": asked.seed}
    run = Run(asked.run, mini_config(asked.preset, settings), choose_device(asked.device, mps=False))
    weights = folder / "mini"
    if not weights.is_dir():
        shutil.copytree(run.weights, weights)
    splits = [in_style(split, asked.style) for split in run.world.learnt]
    torch.manual_seed(asked.seed)
    stage = UnetStage(run.config.unet, *splits, weights, run.device)
    before = UNet2DConditionModel.from_pretrained(run.weights / "base" / "unet", low_cpu_mem_usage=False)
    stage.unet.load_state_dict(before.state_dict())
    train("unet", stage, run.config.unet, folder / "state", seed=asked.seed, minutes=None, device=run.device, say=print)


def in_style(split: Split, style: str) -> Split:
    """The pictures of one style, with captions as a photograph of the same would have."""
    rows = np.array([row for row, name in enumerate(split.world.style) if name == style])
    if not len(rows):
        raise UsageError(f"no render in style {style!r}: use one of {', '.join(sorted(set(split.world.style)))}")
    world = split.world.take(rows)
    plain = [
        captions_of({**attributes, "style": "photo"}, (0, int(person), index))
        for index, (attributes, person) in enumerate(zip(world.attributes, world.person, strict=True))
    ]
    return Split(replace(world, captions=plain))


def measure(asked: argparse.Namespace, weights: Path, output: Path) -> dict[str, dict[str, float]]:
    """Figures of ``facesnap evaluate`` for one mini folder: key -> value, low, high."""
    command = [sys.executable, "-m", "facesnap.cli.app", "evaluate", "--people", str(asked.people)]
    command += ["--seed", str(asked.seed), "--device", asked.device, "-o", str(output), "--work", str(output / "work")]
    command += ["--renders", str(asked.renders)] if asked.renders else []
    output.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, env={**os.environ, "FACESNAP_MINI": str(weights.resolve())}, check=True)
    rows = json.loads((output / "results.json").read_text())["rows"]
    return {row["key"]: row["cells"]["facesnap"] for row in rows if "facesnap" in row["cells"]}


def table(found: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """A line per figure; the kept ones say whether B stays within the tolerance."""
    lines = ["| | A | B | B / A | |", "|---|---|---|---|---|"]
    for key, a in found["A"].items():
        b = found["B"][key]
        ratio = b["value"] / a["value"] if a["value"] else float("nan")
        worse = ratio - 1 if key == "nme" else 1 - ratio
        said = ("kept" if worse <= TOLERANCE else "lost") if key in KEPT else ""
        lines.append(f"| {key} | {a['value']:.4g} | {b['value']:.4g} | {ratio:.2f} | {said} |")
    return lines


if __name__ == "__main__":
    main()
