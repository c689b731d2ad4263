"""What benchmarks that train on a finished folder of ``facesnap mini train`` ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facesnap.core.machine import choose_device
from facesnap.training.config import mini_config
from facesnap.training.mini.run import Run


def parser_of(text: str | None, steps: int) -> argparse.ArgumentParser:
    """A parser that takes the folder, and the options that all of them have; more may be added."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Let settings follow, for :func:`run_of`."""
    parser.add_argument("settings", nargs="*", help="of facesnap mini train, where they aren't the preset's: key=value")


def run_of(asked: argparse.Namespace, settings: dict[str, Any]) -> Run:
    """The run as it is asked for; ``settings`` hold where those of the command line don't say."""
    said = dict(each.split("=", 1) for each in asked.settings)
    config = mini_config(asked.preset, {**settings, "seed": asked.seed, **said})
    return Run(asked.run, config, choose_device(asked.device, mps=False))
