"""Which learning rate suits each contestant of the arena: the same small search for all of them.

    python benchmarks/arena_search.py RUN --steps 300 --rates 1e-3 2e-3 4e-3

RUN is a folder of ``facesnap mini train``, finished up to the UNet. Every contestant is trained for so many steps with
every rate, from the same seed, and judged on people that nothing was trained on: by the loss, and by E_f's cosine of
unguided portraits and references (E_f conditions most of them: it compares a method's rates, never methods). Prints
the table and keeps it in RUN/arena/search.md; trainings that are there already are only read.
"""

from __future__ import annotations

import argparse
from typing import Any

from on_run import parser_of

from facesnap.core.errors import UsageError
from facesnap.core.images import write_atomic
from facesnap.core.machine import machine, today
from facesnap.core.weights import read_json, write_json
from facesnap.evaluation.arena.training import folder_of, parts_of, run_of, train_contestant
from facesnap.evaluation.baselines import CONTESTANTS

#: Figures of a training that are told.
TOLD = ("val_diff", "val_noisiest_quarter", "val_portrait_cosine", "val_portrait_rank1", "val_portrait_nme")


def main() -> None:
    """Search, print and keep the table."""
    parser = parser_of(__doc__, steps=300)
    parser.add_argument("methods", nargs="*", help="default: all")
    parser.add_argument("--rates", nargs="+", default=["1e-3", "2e-3", "4e-3"])
    asked = parser.parse_intermixed_args()
    run = run_of(asked.run, asked.preset, asked.device)
    about = f"{asked.steps} steps of each rate, seed {asked.seed}, {machine(str(run.device))}, {today()}"
    head = [about, "", f"| method | rate | {' | '.join(TOLD)} |", "|---" * (2 + len(TOLD)) + "|"]
    rows: list[str] = []
    for name in CONTESTANTS:
        for rate in asked.rates:
            found = _trained(run, name, rate, asked, only_read=bool(asked.methods) and name not in asked.methods)
            if found:
                rows.append(f"| {name} | {rate} | {' | '.join(f'{found[key]:g}' for key in TOLD)} |")
                print(rows[-1], flush=True)
        write_atomic(asked.run / "arena" / "search.md", ("\n".join([*head, *rows]) + "\n").encode())


def _trained(run: Any, name: str, rate: str, asked: argparse.Namespace, only_read: bool) -> dict[str, float]:
    """Figures of one training, kept beside its state; none if there are none and ``only_read``."""
    folder = run.folder / "arena" / "search" / f"{folder_of(run.folder, name, asked.seed).name}-{asked.steps}-{rate}"
    kept = folder / "figures.json"
    if not kept.is_file() and not only_read:
        report = train_contestant(
            run, name, steps=asked.steps, seed=asked.seed, settings={"learning_rate": rate}, folder=folder
        )
        if report is None:
            raise UsageError(f"{folder} is finished, but its figures are missing: remove it to begin anew")
        if report.stopped:
            raise KeyboardInterrupt
        write_json(kept, {"parts": parts_of(run.weights), "figures": report.figures})
    there = read_json(kept) if kept.is_file() else {}
    if there and there["parts"] != parts_of(run.weights):
        raise UsageError(f"{folder} was trained with other parts: remove it to begin anew")
    found: dict[str, float] = there.get("figures", {})
    return found


if __name__ == "__main__":
    main()
