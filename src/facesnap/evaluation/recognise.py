"""Are the portrait world's identities really distinct, and really constant? Asked of a recogniser trained in it.

A face recogniser learns people of one split with an angular margin (the same stage as mini's E_f) and is then asked
about pictures of others: *verification* is whether two pictures show one person. Figures:

- accuracy over as many pairs of one person as of two, the threshold chosen on half the people and used on the other
  half, both ways (in the manner of LFW: Huang et al., 2007);
- TAR at FAR 1e-3: share of one person's pairs accepted where 1 in 1,000 pairs of two people is (ISO/IEC 19795-1);
- by condition: the share of pictures in it that most of the person's *clean* pictures (see :func:`clean`) accept at
  the same threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facesnap.core.errors import InputError, UsageError
from facesnap.core.machine import choose_device, machine, today
from facesnap.core.weights import load_module, write_json
from facesnap.evaluation.metrics import wilson
from facesnap.faces.networks import build_network
from facesnap.training.config import mini_config
from facesnap.training.loop import train
from facesnap.training.mini.data import Split
from facesnap.training.mini.face import FaceStage
from facesnap.training.mini.quality import condition_table

FAR = 1e-3
#: |yaw| bins of the report, degrees.
YAW_BINS = ((0, 15), (15, 30), (30, 45), (45, 61))
CLEAN_YAW = 20.0
#: Share of crops augmented as photographs: the question is about renders.
PHOTOGRAPHS = 0.3
#: Fewer people have too few pairs for 1 in 1,000.
FEWEST = 20
#: Pairs of two people that set the thresholds, drawn at random.
IMPOSTORS = 2_000_000


def recognise(
    train_folder: Path,
    test_folder: Path,
    out: Path,
    *,
    steps: int = 3000,
    minutes: float | None = None,
    device: str = "auto",
    seed: int = 0,
    start: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train on one folder of shards, ask about another's people; writes ``out/recognition.json`` and returns it.

    Resumes from ``out/state``. ``start``: a face encoder's folder to begin with instead of from scratch; it must not
    have seen the people asked about. The margin grows in over half of the ``steps``.

    Raises:
        InputError: no shards in a folder, too few people, or two sizes of pictures.
        UsageError: a person to ask about is among those to learn.
        AdapterError: ``start`` holds no face encoder.
    """
    network = load_module(start, build_network) if start is not None else None
    learnt, asked = Split.read(train_folder), Split.read(test_folder)
    _check(learnt, asked, train_folder, test_folder)
    settings = {"steps": steps, "ramp": max(1, steps // 2), "photographs": PHOTOGRAPHS}
    config = mini_config("cpu", {f"face.{name}": value for name, value in settings.items()}).face
    where = choose_device(device, mps=False)
    stage = FaceStage(config, learnt, asked, out, where, "recogniser")
    torch.manual_seed(seed)
    if network is not None:
        stage.start_from(network)
    report = train("recogniser", stage, config, out / "state", seed=seed, minutes=minutes, device=where, say=say)
    found = {
        "people_learnt": learnt.people, "pictures_learnt": len(learnt), "people_asked": asked.people,
        "pictures_asked": len(asked), "size": int(asked.world.images.shape[1]), "steps": report.step,
        "start": start.name if start else "scratch",
        "minutes": round(report.seconds / 60, 1), "seed": seed, "machine": machine(str(where)), "date": today(),
        **figures(stage.embed(asked), asked, seed),
    }  # fmt: skip
    write_json(out / "recognition.json", found)
    return found


def _check(learnt: Split, asked: Split, train_folder: Path, test_folder: Path) -> None:
    """Refuse what no figure could be made of."""
    if np.isin(asked.world.person, learnt.world.person).any():
        raise UsageError(f"{test_folder} holds people of {train_folder}: ask about people of another split")
    sizes = [split.world.images.shape[1] for split in (learnt, asked)]
    if sizes[0] != sizes[1]:
        raise InputError(f"pictures of {train_folder} are {sizes[0]} px, those of {test_folder} {sizes[1]}")
    several = min(len(rows) for rows in asked.rows_of)
    if asked.people < FEWEST or several < 2:
        counts = f"{asked.people} people with {several} or more pictures"
        raise InputError(f"{test_folder} holds {counts}: ask about at least {FEWEST} with 2")


def clean(split: Split) -> np.ndarray:
    """(N,) bool: photographs within 20 degrees of yaw with nothing before the face."""
    free = [a["style"] == "photo" and before_face(a) in ("nothing", "clear glasses") for a in split.world.attributes]
    return np.asarray(np.array(free) & (np.abs(split.world.pose[:, 0]) <= CLEAN_YAW))


def before_face(attributes: dict[str, Any]) -> str:
    """What is before the face, in a word or two; a scarf round the neck hides nothing."""
    hides, glasses = attributes["occluder_hides"], attributes["glasses"]
    if attributes["occluder"] != "none" and not hides.startswith("neck"):
        return str(attributes["occluder"])
    if glasses == "none":
        return "nothing"
    return "sunglasses" if glasses.endswith("sunglasses") else "clear glasses"


def conditions(split: Split) -> dict[str, np.ndarray]:
    """Name of a condition -> which pictures (N,) are in it; by yaw, style and what hides the face."""
    yaw, attributes = np.abs(split.world.pose[:, 0]), split.world.attributes
    style = np.array([a["style"] for a in attributes])
    before = np.array([before_face(a) for a in attributes])
    photo, free, near = style == "photo", np.isin(before, ("nothing", "clear glasses")), yaw <= CLEAN_YAW
    found = {f"yaw {low} to {min(high, 60)}": photo & free & (yaw >= low) & (yaw < high) for low, high in YAW_BINS}
    found |= {f"style: {name}": near & free & (style == name) for name in sorted(set(style))}
    found |= {f"before the face: {name}": near & photo & (before == name) for name in sorted(set(before))}
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def figures(vectors: np.ndarray, split: Split, seed: int = 0) -> dict[str, Any]:
    """Accuracy, TAR at FAR 1e-3, and TAR by condition, for unit vectors (N, D) of a split's pictures."""
    person, rng = split.person_index, np.random.default_rng(seed)
    first, second = _same_pairs(split)
    genuine = (vectors[first] * vectors[second]).sum(axis=1)
    a, b = rng.integers(0, len(person), (2, IMPOSTORS))
    a, b = a[person[a] != person[b]], b[person[a] != person[b]]
    impostor = (vectors[a] * vectors[b]).sum(axis=1)
    threshold = float(np.quantile(impostor, 1 - FAR))
    half = person < split.people // 2
    accuracy = _accuracy((genuine, half[first]), (impostor, half[a]), half[a] == half[b])
    return {
        "accuracy": round(accuracy, 4), "tar_at_far_1e-3": round(float((genuine > threshold).mean()), 4),
        "threshold": round(threshold, 4), "mean_cosine_same": round(float(genuine.mean()), 4),
        "mean_cosine_other": round(float(impostor.mean()), 4), "pairs_same": len(genuine), "pairs_other": len(impostor),
        "by_condition": _by_condition(vectors, split, threshold),
    }  # fmt: skip


def _same_pairs(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of different pictures of one person."""
    pairs = [np.stack(np.triu_indices(len(rows), 1)) for rows in split.rows_of]
    chosen = [rows[pair] for rows, pair in zip(split.rows_of, pairs, strict=True)]
    first, second = np.concatenate(chosen, axis=1)
    return first, second


def _accuracy(
    genuine: tuple[np.ndarray, np.ndarray], impostor: tuple[np.ndarray, np.ndarray], within: np.ndarray
) -> float:
    """Balanced accuracy with the threshold of the other half of the people; pairs across halves are left out."""
    scores = []
    for asked in (True, False):
        parts = [
            (genuine[0][genuine[1] == side], impostor[0][within & (impostor[1] == side)]) for side in (not asked, asked)
        ]
        (same, other), (same_asked, other_asked) = parts
        steps = np.linspace(-0.2, 1.0, 601)
        right = np.array([(same > t).mean() + (other <= t).mean() for t in steps])
        best = steps[right >= right.max() - 1e-9].mean()  # the middle of what does best
        scores.append(((same_asked > best).mean() + (other_asked <= best).mean()) / 2)
    return float(np.mean(scores))


def _by_condition(vectors: np.ndarray, split: Split, threshold: float) -> dict[str, Any]:
    """Share (with interval) of a condition's pictures that most of the same person's clean pictures accept."""
    usable, found = clean(split), {}
    for name, chosen in conditions(split).items():
        accepted, cosines = [], []
        for rows in split.rows_of:
            for row in rows[chosen[rows]]:
                others = rows[usable[rows] & (rows != row)]
                if len(others):
                    cosines.append(float((vectors[others] @ vectors[row]).mean()))
                    accepted.append(float((vectors[others] @ vectors[row] > threshold).mean() > 0.5))
        if accepted:
            share = wilson(np.array(accepted))
            found[name] = {
                "pictures": len(accepted), "tar": round(share.value, 4), "low": round(share.low, 4),
                "high": round(share.high, 4), "mean_cosine": round(float(np.mean(cosines)), 4),
            }  # fmt: skip
    return found


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{found['people_learnt']} people learnt ({found['pictures_learnt']} pictures), {found['people_asked']} others "
        f"asked ({found['pictures_asked']} pictures of {found['size']} px); {found['steps']} steps from "
        f"{found['start']}, seed {found['seed']}, {found['machine']}, {found['date']}.", "",
        f"Verification accuracy {found['accuracy']:.1%}; TAR at FAR 1e-3 {found['tar_at_far_1e-3']:.1%}; mean cosine "
        f"{found['mean_cosine_same']:.2f} for one person, {found['mean_cosine_other']:.2f} for two.", "",
    ]  # fmt: skip
    return "\n".join(lines + condition_table(found["by_condition"]))
