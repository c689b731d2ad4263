"""What a setting of a stage of mini is worth: the same few steps with and without it, on a run's own frozen parts.

    python benchmarks/ablate.py RUN adapter --steps 800 lambda_id=0 tokens=32 learning_rate=2e-3,batch_size=64

RUN is a folder of ``facesnap mini train``, in which all stages before the one asked about are finished; it isn't
changed, but what frozen parts make of the renders is kept there. The first row has the preset's settings, each of the
others changes what it names. Prints a Markdown table of the figures that the stage finds on people never trained on,
and keeps it in RUN/ablations/STAGE.md.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from on_run import parser_of

from facesnap.core.images import write_atomic
from facesnap.core.machine import choose_device, machine, today
from facesnap.training.config import mini_config
from facesnap.training.loop import Report, train
from facesnap.training.mini.run import STAGES, Run


def main() -> None:
    """Train all variants, print and keep the table."""
    parser = parser_of(__doc__, steps=800)
    parser.add_argument("stage", choices=list(STAGES))
    parser.add_argument("variants", nargs="*", help="setting=value, several by commas")
    asked = parser.parse_intermixed_args()  # variants may follow options
    first = Run(asked.run, _config(asked, ""), choose_device(asked.device, mps=False))
    rows: dict[str, dict[str, float]] = {}
    about = f"Stage {asked.stage}, {asked.steps} steps, preset {asked.preset}, seed {asked.seed}"
    about += f", {machine(str(first.device))}, {today()}"
    for variant in ["", *asked.variants]:
        report = _trained(first, variant, asked)
        found = {"minutes": round(report.seconds / 60, 1), "samples/s": report.samples_per_second, **report.figures}
        rows[variant or "as in the preset"] = found
        text = "\n".join([about, "", *_table(rows), ""])
        write_atomic(asked.run / "ablations" / f"{asked.stage}.md", text.encode())
        print(text, flush=True)


def _table(rows: dict[str, dict[str, float]]) -> list[str]:
    """A line per variant; without a loss there is no figure of it."""
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    lines = [f"| {' | '.join(['', *names])} |", "|---" * (1 + len(names)) + "|"]
    for variant, found in rows.items():
        cells = [f"{found[name]:g}" if name in found else "" for name in names]
        lines.append(f"| {' | '.join([variant, *cells])} |")
    return lines


def _config(asked: argparse.Namespace, variant: str):  # type: ignore[no-untyped-def]
    """The preset with fewer steps and a variant's settings."""
    changes = dict(part.split("=", 1) for part in variant.split(",") if part)
    settings = {f"{asked.stage}.{name}": value for name, value in {"steps": asked.steps, **changes}.items()}
    return mini_config(asked.preset, {**settings, "seed": asked.seed})


def _trained(first: Run, variant: str, asked: argparse.Namespace) -> Report:
    """Train in a folder of its own, with a copy of the weights and the renders and features already read."""
    with TemporaryDirectory(dir=first.folder) as scratch:
        run = Run(Path(scratch), _config(asked, variant), first.device)
        run.__dict__.update(world=first.world, encoder_world=first.encoder_world)
        shutil.copytree(first.weights, run.weights)
        state = run.folder / "state"
        state.mkdir()
        for kept in first.folder.glob("state/*.safetensors"):
            if kept.stem not in STAGES:  # what frozen parts made of the renders
                (state / kept.name).symlink_to(kept.resolve())
        settings = getattr(run.config, asked.stage)
        torch.manual_seed(asked.seed)
        stage = STAGES[asked.stage](run)
        for made in state.glob("*.safetensors"):
            if not made.is_symlink():  # for the next variant, and for the run itself
                made.replace(first.folder / "state" / made.name)
        return train(
            *(asked.stage, stage, settings, state),
            seed=asked.seed,
            minutes=None,
            device=run.device,
            say=lambda line: print(f"{variant}: {line}", flush=True),
        )


if __name__ == "__main__":
    main()
