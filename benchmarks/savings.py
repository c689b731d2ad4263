"""What each shortcut of a call saves, and what it costs in likeness: the figures behind `--speed`.

    OMP_NUM_THREADS=1 python benchmarks/savings.py RUN [--people 60] [--seed 0] [--only NAME ...] [--plot FILE.png]

Every variant makes the same portraits of mini's test people (same prompts, poses and seeds), a batch of people at a
time. Measured are: FaceSim to the reference by a judge that took no part in making or training (see docs/RESULTS.md),
CLIP-T, the landmarks' error against the requested map, sharpness (variance of the picture's Laplacian), all as ratios
to `exact` over the same people, with 95% intervals; arithmetic (multiplications of matrices and convolutions, counted)
and processor time, as ratios to the base's stock pipeline without identity. Pictures and figures are kept in RUN, so
that a run goes on where it stopped. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from counting import arithmetic

from facesnap import Identity, Portrait
from facesnap.core.errors import InputError
from facesnap.core.images import write_atomic
from facesnap.core.machine import machine, today
from facesnap.evaluation.bench import Bench, assemble
from facesnap.evaluation.metrics import bootstrap_ratio
from facesnap.evaluation.protocol import Trial
from facesnap.evaluation.run import SUITES
from facesnap.evaluation.subjects import Subject, load_subjects, make_trials
from facesnap.landmarks.layout import nme
from facesnap.models.savings import SPEEDS, Savings

BATCH: Final = 4
DEEP: Final = Savings(deep_every=2)
#: What is compared: savings, and steps where they aren't the model's own.
VARIANTS: Final[dict[str, tuple[Savings, int | None]]] = {
    **{name: (savings, None) for name, savings in SPEEDS.items()},
    "shared residuals": (Savings(share_residuals=True), None),
    **{f"residuals every {k}": (Savings(residuals_every=k), None) for k in (2, 3)},
    "residuals until 50%": (Savings(residuals_until=0.5), None),
    **{f"guidance until {share:.0%}": (Savings(guidance_until=share), None) for share in (0.8, 0.6)},
    **{
        f"deep every {k}, {kept} kept": (Savings(deep_every=k, deep_kept=kept), None)
        for k, kept in ((2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2))
    },
    **{
        f"deep every {k}, 1 kept, guidance until 80%": (Savings(deep_every=k, deep_kept=1, guidance_until=0.8), None)
        for k in (3, 4)
    },
    "10 steps, deep every 2, 1 kept": (Savings(deep_every=2, deep_kept=1), 10),
    "deep every 3 after 30%": (Savings(deep_every=3, deep_window=(0.3, 1.0)), None),
    **{f"{steps} steps": (Savings(), steps) for steps in (14, 10)},
    "10 steps, deep every 2": (DEEP, 10),
    **{
        f"residuals every {k}, guidance until 80%": (Savings(residuals_every=k, guidance_until=0.8), None)
        for k in (2, 3)
    },
    **{
        f"deep every {k}, guidance until {share:.0%}": (Savings(deep_every=k, guidance_until=share), None)
        for k, share in ((2, 0.8), (2, 0.6), (2, 0.5), (3, 0.8), (3, 0.6), (4, 0.8))
    },
}
LABELLED: Final = ("shared residuals", "guidance until 60%", "residuals every 3", "10 steps", "14 steps")
FIGURES: Final = ("facesim", "clip_t", "nme", "sharpness")


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--plot", type=Path, help="where the picture of all variants goes")
    asked = parser.parse_args()
    bench = assemble(asked.device)
    tested = people_of(bench, asked)
    names = list(dict.fromkeys(["exact", *asked.only]))
    found = {name: figures_of(bench, tested, name, asked.run) for name in names}
    costs = costs_of(bench, tested[:BATCH], names, asked.run)
    rows = [row_of(name, found[name], found["exact"], costs, asked.seed) for name in names]
    print(f"{len(tested)} people, {bench.default_steps} steps, seed {asked.seed}, {machine(asked.device)}, {today()}\n")
    print("\n".join(table(rows)))
    if asked.plot:
        plot(rows, asked.plot)


@dataclass(frozen=True)
class Tested:
    """A person, what is asked of them, and where their face should be: ``asked`` (72, 2) pixels."""

    trial: Trial
    identity: Identity
    asked: np.ndarray
    reference: np.ndarray


def people_of(bench: Bench, asked: argparse.Namespace) -> list[Tested]:
    """Test people who can be enrolled, with one trial each."""
    suite = SUITES["mini"]
    subjects = load_subjects(
        asked.run / "renders", suite.split, asked.people, suite.renders, asked.seed, suite.preset, bench.size
    )
    trials = make_trials(subjects, asked.seed, bench.fits)
    return [each for pair in zip(subjects, trials, strict=True) if (each := tested_of(bench, *pair)) is not None]


def tested_of(bench: Bench, subject: Subject, trial: Trial) -> Tested | None:
    """None for somebody whose reference shows no face that is found."""
    image = subject.shots[trial.reference].image
    try:
        identity = bench.snap.enroll(image)
    except InputError:
        return None
    asked = bench.predictor.predict(identity.shape, trial.pose, (bench.size, bench.size))
    embedding = bench.observer.look(image).embedding
    return None if embedding is None else Tested(trial, identity, asked, embedding)


def figures_of(bench: Bench, tested: Sequence[Tested], name: str, run: Path) -> dict[str, np.ndarray]:
    """Figure -> (people,) of a variant: read where they are kept, otherwise made; NaN where no face was found."""
    savings, steps = VARIANTS[name]
    what = json.dumps([vars(savings), steps or bench.default_steps, dict(bench.weights)], sort_keys=True)
    path = run / "figures" / f"{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"
    known = json.loads(path.read_text())["people"] if path.is_file() else {}
    missing = [each for each in tested if str(each.trial.person) not in known]
    for first in range(0, len(missing), BATCH):
        batch = missing[first : first + BATCH]
        pictures = portraits(bench, batch, *VARIANTS[name])
        for each, picture in zip(batch, pictures, strict=True):
            known[str(each.trial.person)] = measured(bench, each, picture)
        write_atomic(path, json.dumps({"what": what, "people": known}).encode())
        print(f"{name}: {first + len(batch)} of {len(missing)}", flush=True)
    found = [known[str(each.trial.person)] for each in tested]
    return {figure: np.array([one[figure] for one in found], float) for figure in FIGURES}


def portraits(bench: Bench, batch: Sequence[Tested], savings: Savings, steps: int | None) -> list[np.ndarray]:
    """A portrait of each, (size, size, 3) uint8."""
    asked = [Portrait(each.trial.prompt, each.identity, each.trial.pose, seeds=each.trial.seed) for each in batch]
    made = bench.snap.many(asked, speed=savings, num_inference_steps=steps, carry=())
    return [np.asarray(result.images[0].convert("RGB")) for result in made]


def measured(bench: Bench, tested: Tested, picture: np.ndarray) -> dict[str, float]:
    """The figures of one portrait."""
    seen, nothing = bench.observer.look(picture), float("nan")
    text = bench.observer.clip_judge.text_features([tested.trial.prompt])[0]
    found = seen.embedding is not None and seen.landmarks is not None
    return {
        "facesim": float(seen.embedding @ tested.reference) if found else nothing,
        "clip_t": float(seen.clip @ text),
        "nme": float(nme(seen.landmarks, tested.asked)) if found else nothing,
        "sharpness": float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()),
    }


def costs_of(bench: Bench, batch: Sequence[Tested], names: Sequence[str], run: Path) -> dict[str, tuple[float, float]]:
    """Arithmetic and processor time of each variant as ratios to the base's stock pipeline, one picture at a time."""
    plain = bench.methods[1].pipeline  # type: ignore[attr-defined]
    one = batch[:1]

    def stock() -> None:
        noise = torch.Generator("cpu").manual_seed(one[0].trial.seed)
        plain(one[0].trial.prompt, generator=noise, num_inference_steps=bench.default_steps,
              guidance_scale=bench.default_guidance)  # fmt: skip

    calls: dict[str, Callable[[], Any]] = {"plain": stock}
    calls |= {name: lambda name=name: portraits(bench, one, *VARIANTS[name]) for name in names}  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(4):  # interleaved; the first turn warms up
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name] += [time.process_time() - start] if turn else []
    work = {name: arithmetic(call) for name, call in calls.items()}
    median = {name: float(np.median(each)) for name, each in seconds.items()}
    costs = {name: (work[name] / work["plain"], median[name] / median["plain"]) for name in names}
    write_atomic(run / "costs.json", json.dumps({"seconds": seconds, "operations": work}).encode())
    return costs


def row_of(
    name: str,
    found: dict[str, np.ndarray],
    exact: dict[str, np.ndarray],
    costs: dict[str, tuple[float, float]],
    seed: int,
) -> dict[str, Any]:
    """A line of the table: ratios to exact with their intervals, costs, and how many faces weren't found."""
    ratios = {figure: bootstrap_ratio(found[figure], exact[figure], seed) for figure in FIGURES}
    missed = int(np.isnan(found["facesim"]).sum() - np.isnan(exact["facesim"]).sum())
    return {"name": name, "arithmetic": costs[name][0], "time": costs[name][1], "missed": missed, **ratios}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown, the cheapest last."""
    lines = ["| variant | arithmetic | time | FaceSim | CLIP-T | NME | sharpness | faces lost |", "|" + "---|" * 8]
    for row in sorted(rows, key=lambda row: -row["arithmetic"]):
        ratios = " | ".join(f"{row[f].value:.3f} [{row[f].low:.3f}, {row[f].high:.3f}]" for f in FIGURES)
        lines.append(f"| {row['name']} | {row['arithmetic']:.2f} | {row['time']:.2f} | {ratios} | {row['missed']} |")
    return lines


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """FaceSim against arithmetic, both as ratios, the named speeds large."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5.5))
    for row in rows:
        named, ratio = row["name"] in SPEEDS, row["facesim"]
        style = {"color": "tab:blue" if named else "tab:gray", "fmt": "o" if named else "."}
        axes.errorbar(row["arithmetic"], ratio.value, [[ratio.value - ratio.low], [ratio.high - ratio.value]],
                      capsize=2, linewidth=0.8, **style)  # fmt: skip
        if named or row["name"] in LABELLED:  # all of them would cover each other; the table has them
            axes.annotate(row["name"], (row["arithmetic"], ratio.value), fontsize=8, xytext=(5, 4),
                          textcoords="offset points")  # fmt: skip
    axes.axvline(1.0, color="black", linewidth=0.6)
    axes.set_xlabel("arithmetic, as a ratio to the plain picture without identity")
    axes.set_ylabel("FaceSim, as a ratio to exact")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
