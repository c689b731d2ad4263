"""Does an adapter that was trained on base A work on base B, a fine-tune of A to another style, without training?

    python benchmarks/plug_and_play.py RUN --style oil --steps 400 --people 100 world.train_people=600

RUN is a finished folder of ``facesnap mini train`` (RUN/mini is all that it needs to hold; renders are made); its
weights aren't changed. B is its UNet, trained on with the renders' photographs drawn anew in one style, and captions
that don't name it, so that the style comes unasked. ``facesnap evaluate`` then measures the same people, prompts, poses
and seeds on both bases, with the adapter as it is. A style by itself hides something of a face from the judge: how
much, the same renders in that style and as photographs tell. Prints a Markdown table and keeps it, with B and both
reports (contact sheets among them), in RUN/plug_and_play/STYLE.
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
from on_run import add_settings, parser_of, run_of

from facesnap.core.errors import UsageError
from facesnap.core.images import write_atomic
from facesnap.core.machine import machine, today
from facesnap.evaluation.judges import FaceJudge
from facesnap.landmarks.layout import five_points
from facesnap.training.loop import train
from facesnap.training.mini.data import Split
from facesnap.training.mini.unet import UnetStage
from facesnap.world.captions import captions_of
from facesnap.world.datasets.reading import WorldData, read_shards
from facesnap.world.styles.apply import STYLES, apply_style

#: What identity and pose kept means: figures of the report, and by how much B may be worse.
KEPT = ("facesim_reference", "facesim_other", "nme")
TOLERANCE = 0.10


def main() -> None:
    """Fine-tune, measure on both, print and keep the table."""
    parser = parser_of(__doc__, steps=400)
    add_settings(parser)
    parser.add_argument("--style", choices=[style for style in STYLES if style != "photo"], default="oil")
    parser.add_argument("--people", type=int, default=100)
    asked = parser.parse_intermixed_args()  # settings may follow options
    folder = asked.run / "plug_and_play" / asked.style.replace(" ", "-")
    fine_tune(asked, folder)
    found = {name: measure(asked, weights, folder / name) for name, weights in bases(asked, folder).items()}
    about = f"Style {asked.style}, {asked.steps} steps, {asked.people} people, seed {asked.seed}, "
    hidden = hidden_by_style(asked, renders_of(asked) / "test")
    lines = [about + f"{machine(asked.device)}, {today()}", "", *table(found), "", hidden, ""]
    write_atomic(folder / "table.md", "\n".join(lines).encode())
    print("\n".join(lines))


def bases(asked: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Name -> mini folder of both."""
    return {"A": asked.run / "mini", "B": folder / "mini"}


def renders_of(asked: argparse.Namespace) -> Path:
    """Where the test people's pictures are kept, for all styles."""
    return Path(asked.run) / "plug_and_play" / "renders"


def fine_tune(asked: argparse.Namespace, folder: Path) -> None:
    """Write a copy of mini whose UNet draws one style; goes on where it stopped."""
    run = run_of(asked, {"unet.steps": asked.steps, "unet.learning_rate": 3e-4, "unet.batch_size": 64})
    weights = folder / "mini"
    if not weights.is_dir():
        shutil.copytree(run.weights, weights)
    splits = []
    for name, _ in zip(("train", "val"), run.world.learnt, strict=True):  # asking renders what is missing
        split = read_shards(run.world.folder / name, segmentation=True)
        splits.append(Split(drawn_in(split, asked.style, asked.seed)))
    torch.manual_seed(asked.seed)
    stage = UnetStage(run.config.unet, *splits, weights, run.device)
    before = UNet2DConditionModel.from_pretrained(run.weights / "base" / "unet", low_cpu_mem_usage=False)
    stage.unet.load_state_dict(before.state_dict())
    train("unet", stage, run.config.unet, folder / "state", seed=asked.seed, minutes=None, device=run.device, say=print)


def drawn_in(world: WorldData, style: str, seed: int) -> WorldData:
    """The photographs among the pictures, drawn in a style, with captions as the photographs have them."""
    rows = np.array([row for row, name in enumerate(world.style) if name == "photo"])
    photos = world.take(rows)
    if photos.segmentation is None:
        raise UsageError("a style needs the pictures' segmentation")
    images = [
        apply_style(image, classes, style, seed + int(row))
        for row, image, classes in zip(rows, photos.images, photos.segmentation, strict=True)
    ]
    plain = [
        captions_of({**attributes, "style": "photo"}, (0, int(person), index))
        for index, (attributes, person) in enumerate(zip(photos.attributes, photos.person, strict=True))
    ]
    return replace(photos, images=np.stack(images), captions=plain, segmentation=None)


def measure(asked: argparse.Namespace, weights: Path, output: Path) -> dict[str, dict[str, float]]:
    """Figures of ``facesnap evaluate`` for one mini folder: key -> value, low, high."""
    command = [sys.executable, "-m", "facesnap.cli.app", "evaluate", "--people", str(asked.people)]
    command += ["--seed", str(asked.seed), "--device", asked.device, "-o", str(output), "--work", str(output / "work")]
    command += ["--renders", str(renders_of(asked))]
    output.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, env={**os.environ, "FACESNAP_MINI": str(weights.resolve())}, check=True)
    rows = json.loads((output / "results.json").read_text())["rows"]
    return {row["key"]: row["cells"]["facesnap"] for row in rows if "facesnap" in row["cells"]}


def hidden_by_style(asked: argparse.Namespace, folder: Path) -> str:
    """FaceSim of each test person's photographs (exact points) to the first, and of the same drawn in the style."""
    judge = FaceJudge.from_pretrained(asked.run / "mini" / "judge_face")
    world = read_shards(folder, segmentation=True)
    photos = world.take(np.flatnonzero(np.array(world.style) == "photo"))
    styled = drawn_in(world, asked.style, asked.seed)
    points = five_points(photos.landmarks2d)
    seen = np.stack([judge.embed(*each) for each in zip(photos.images, points, strict=True)])
    drawn = np.stack([judge.embed(*each) for each in zip(styled.images, points, strict=True)])
    plain_found, styled_found = [], []
    for person in np.unique(photos.person):
        first, *others = np.flatnonzero(photos.person == person)
        plain_found += [float(seen[first] @ seen[other]) for other in others]
        styled_found += [float(seen[first] @ drawn[other]) for other in others]
    plain, in_style = np.mean(plain_found), np.mean(styled_found)
    return (
        f"Real renders, {len(plain_found)} pairs: FaceSim of two photographs {plain:.3f}, of a photograph and one drawn"
        f" in the style {in_style:.3f} ({in_style / plain:.2f})."
    )


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
