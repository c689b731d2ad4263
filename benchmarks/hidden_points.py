"""Should landmarks that the head itself hides be drawn into the map (as the paper draws all 72), or left out?

    python benchmarks/hidden_points.py RUN --steps 400 world.train_people=600 world.size=128

RUN is a finished folder of ``facesnap mini train`` (RUN/mini is all that it needs to hold; renders are made); its
weights aren't changed. Its adapter is trained on for so many steps in two ways that differ in the map alone: all 72
points, or those only that the exact head doesn't hide. Both then draw the same turned people of the split val, whom
nobody trained on, with maps of their own kind. Told are, by yaw: NME of the points that can be seen (as E_3d reads
them), and the likeness to another picture of the person, by the judge, which took no part in the training. The table
is kept in RUN/hidden_points/table.md, beside a sheet of maps and portraits.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from on_run import add_settings, parser_of, run_of
from torch import nn

from facesnap.core.images import save_png, write_atomic
from facesnap.core.machine import machine, today
from facesnap.evaluation.judges import FaceJudge
from facesnap.evaluation.metrics import bootstrap_mean, bootstrap_ratio
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.layout import five_points, inter_ocular
from facesnap.models.checkpoint import load_adapter
from facesnap.training.adapter.objective import FaceNets
from facesnap.training.loop import train
from facesnap.training.mini.adapter import AdapterStage
from facesnap.training.mini.base import plain_attention, sample
from facesnap.training.mini.pairs import Pairs
from facesnap.training.mini.run import Run

#: Yaw in degrees, from and to. Below the first, next to nothing is hidden.
BINS = ((10, 20), (20, 30), (30, 60))
#: Portraits per bin at most, drawn so many at once; rows of the sheet.
MOST, TOGETHER, SHOWN = 150, 25, 8


class SeenPairs(Pairs):
    """Pairs whose landmarks are NaN, and so aren't drawn, where the head hides them."""

    def landmarks(self, targets: np.ndarray, references: np.ndarray, read: np.ndarray) -> np.ndarray:
        """As all others, but for those."""
        points = super().landmarks(targets, references, read)
        points[~self.split.world.visible[targets]] = np.nan
        return points


class GoingOn(AdapterStage):
    """The adapter of a finished mini, trained on; the check is this file's."""

    def __init__(self, run: Run, drawn: bool) -> None:
        super().__init__(run.config.adapter, *run.world.learnt, run.weights, run.device, run.config.seed)
        if not drawn:
            self.pairs, self.check = (SeenPairs(**vars(each)) for each in (self.pairs, self.check))
        adapter = load_adapter(run.weights / "adapter")
        self.ffrnet, self.mixer = adapter.ffrnet.requires_grad_(True), adapter.mixer.requires_grad_(True)
        plain_attention(self.ffrnet)
        self.modules = nn.ModuleDict({"ffrnet": self.ffrnet, "mixer": self.mixer}).to(run.device)
        self.nets = FaceNets(self.ffrnet, self.mixer)
        self.judge = FaceJudge.from_pretrained(run.weights / "judge_face")
        self.found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.sheet: list[np.ndarray] = []

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Draw turned people; keep NME and likeness of each."""
        yaw = np.abs(self.check.split.world.pose[:, 0])
        for low, high in BINS:
            rows = np.flatnonzero((yaw >= low) & (yaw < high))[:MOST]
            if not len(rows):  # not every preset of the world turns so far
                continue
            parts = [self._drawn_and_read(rows[i : i + TOGETHER], i) for i in range(0, len(rows), TOGETHER)]
            self.found[f"{low} to {high} degrees"] = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        return {}

    def _drawn_and_read(self, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """NME of visible points, and cosine to the reference, of a portrait per row."""
        world, rng = self.check.split.world, np.random.default_rng([seed, len(rows)])
        references = self.check.references(rows, rng)
        f_id, f_clip = (each.to(self.device) for each in self.check.drawn_features(references, rng))
        points = self.check.landmarks(rows, references, np.zeros(len(rows), bool))
        maps = self.check.maps(points, rng, jitter=0.0, dropout=0.0).to(self.device)
        texts = self.check.texts
        states = texts.states[texts.draw(rows, rng, 0.0)].float().to(self.device)
        shape = self.check.latents[: len(rows)].shape
        noise = torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).to(self.device)
        with self.ffrnet.attend_to(self.mixer(f_id, f_clip)):
            clean = sample(lambda noisy, timesteps: self.predict(noisy, timesteps, maps, states), noise)
            images = self.frozen.decoded(clean).float()
        pictures = (images.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
        exact, seen = world.landmarks2d[rows].astype(np.float64), world.visible[rows]
        faces = self.fitter.fit_all(pictures, [landmark_box(each) for each in exact])
        read = np.stack([face.landmarks2d for face in faces])
        error = np.linalg.norm(read - exact, axis=-1) / np.maximum(inter_ocular(exact), 1e-9)[:, None]
        known = five_points(world.landmarks2d[references].astype(np.float64))
        cosine = [
            float(self.judge.embed(picture, five_points(face)) @ self.judge.embed(world.images[reference], five))
            for picture, face, reference, five in zip(pictures, read, references, known, strict=True)
        ]
        if not seed:  # the first of a bin
            drawn = (maps.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
            trios = zip(world.images[references], drawn, pictures, strict=True)
            self.sheet += [np.concatenate(trio, axis=1) for trio in trios][:SHOWN]
        return np.where(seen, error, 0.0).sum(axis=1) / seen.sum(axis=1), np.array(cosine)


def main() -> None:
    """Train both ways, draw, print and keep the table."""
    parser = parser_of(__doc__, steps=400)
    add_settings(parser)
    asked = parser.parse_intermixed_args()  # settings may follow options
    stages = {}
    for name in ("drawn", "left out"):
        run = _run(asked, asked.run / "hidden_points" / name.replace(" ", "_"))
        torch.manual_seed(asked.seed)
        stage = stages[name] = GoingOn(run, drawn=name == "drawn")
        told: dict[str, Any] = {"seed": asked.seed, "minutes": None, "device": run.device, "say": print}
        train("adapter", stage, run.config.adapter, run.folder / "state", **told)
        if not stage.found:  # a finished training isn't checked again
            stage.export({})
    about = f"{asked.steps} steps from the finished adapter, seed {asked.seed}, {machine(asked.device)}, {today()}"
    text = "\n".join([about, "", *_table(stages, asked.seed), ""])
    folder = asked.run / "hidden_points"
    write_atomic(folder / "table.md", text.encode())
    both = zip(*(stage.sheet for stage in stages.values()), strict=True)
    save_png(folder / "sheet.png", np.concatenate([np.concatenate(pair, axis=1) for pair in both]))
    print(text)


def _run(asked: argparse.Namespace, folder: Path) -> Run:
    """A folder of its own for a way, with RUN's renders, a copy of its weights, and its own state."""
    whole = run_of(asked, {"adapter.steps": asked.steps, "adapter.learning_rate": 3e-4})
    run = replace(whole, folder=folder)
    run.__dict__.update(world=whole.world)
    if not run.weights.is_dir():
        shutil.copytree(whole.weights, run.weights)
    return run


#: Columns of each figure.
WAYS = ("drawn", "left out", "ratio")


def _table(stages: Mapping[str, GoingOn], seed: int) -> list[str]:
    """Both ways by yaw, and left out as a share of drawn, over the same portraits."""
    heads = ["yaw", "portraits", *(f"{what}, {way}" for what in ("NME", "likeness") for way in WAYS)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, drawn in stages["drawn"].found.items():
        cells = [name, str(len(drawn[0]))]
        for ours, other in zip(drawn, stages["left out"].found[name], strict=True):
            means = (bootstrap_mean(each, seed).value for each in (ours, other))
            ratio = bootstrap_ratio(other, ours, seed)
            cells += [*(f"{mean:.3f}" for mean in means), f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
