"""``facesnap evaluate --suite landmarks``: E_3d, detector and retargeting, measured; writes LANDMARKS.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.errors import InputError
from facesnap.core.images import write_atomic
from facesnap.core.machine import machine, own_command, today
from facesnap.core.weights import mini_folder, sha256_12
from facesnap.evaluation.landmarks.accuracy import by_yaw, shape_figures
from facesnap.evaluation.landmarks.photographs import draw_photographs
from facesnap.evaluation.landmarks.readings import read_all
from facesnap.evaluation.landmarks.report import SHEET, markdown
from facesnap.evaluation.landmarks.retarget import ratios_of, retargeting_errors
from facesnap.evaluation.landmarks.robustness import by_looks, detection, under_augmentation
from facesnap.evaluation.metrics import bootstrap_mean
from facesnap.faces.detect import HaarDetector
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.pipelines.analyser import refine_with
from facesnap.training.heldout import held_out
from facesnap.training.mini.data import Split

#: Pictures per person, and the world's preset: yaw to 60 degrees, everything before the face, all styles.
RENDERS: Final = 4
PRESET: Final = "full"
SIZE: Final = 256
#: People whose pictures are spoilt in each way, one each; and composites.
SPOILT, COMPOSITES = 100, 200

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def silent(_what: str, _total: int) -> AbstractContextManager[Callable[[], None]]:
    """No bar."""
    return nullcontext(lambda: None)


def evaluate_landmarks(
    output: Path,
    people: int,
    seed: int,
    renders: Path,
    say: Callable[[str], None],
    progress: Progress = silent,
    photos: Sequence[Path] = (),
) -> Path:
    """Measure on test people and write LANDMARKS.md and landmarks.json into ``output``.

    Args:
        output: folder of the report.
        people: how many test people.
        seed: of the people, pairs, augmentations and intervals.
        renders: folder of the test people's shards; made there if they are not.
        say: takes one line of progress.
        progress: makes a bar of a name and a number of steps; gives what to call after each.
        photos: real ones, drawn onto a sheet with what is read from them; nothing is measured on them.

    Returns:
        The path of LANDMARKS.md.

    Raises:
        AdapterError: weights that aren't there.
        InputError: no face is found in any picture, or in a photo.
        UsageError: shards of other people, or too few.
        OutputError: a folder that can't be written.
    """
    folder = mini_folder() / "landmarks"
    fitter = FaceFitter.from_pretrained(folder)
    detector = HaarDetector(refine_with(fitter))
    if photos:
        draw_photographs(output / SHEET, photos, detector, fitter)
    split = Split(held_out(renders, "test", people, RENDERS, seed, PRESET, SIZE))
    say(f"{split.people} people, {len(split)} pictures")
    with progress("pictures", len(split)) as step:
        readings = read_all(split.world.images, split.world.landmarks2d.astype(np.float64), detector, fitter, step)
    if not readings.found.any():
        raise InputError(f"no face found in any of the {len(split)} pictures in {renders}")
    say("read; now retargeting, spoilt pictures, composites")
    errors = retargeting_errors(split, readings, LandmarkPredictor(fitter), seed)
    firsts = np.array([rows[0] for rows in split.rows_of[:SPOILT]])
    figures: dict[str, Any] = {
        "by_yaw": by_yaw(split, readings, seed),
        "shape": shape_figures(split, readings, fitter.morphable, seed),
        "retargeting": {name: bootstrap_mean(values, seed) for name, values in errors.items()},
        "ratios": ratios_of(errors, seed),
        "augmentations": under_augmentation(split, firsts, detector, fitter, seed),
        "looks": by_looks(split, firsts, readings, fitter, seed),
        "detection": detection(split, detector, COMPOSITES, seed),
        "alarms": 100 * readings.alarms / len(split),
        "milliseconds": {"detector": 1000 * readings.detecting, "E_3d": 1000 * readings.reading},
    }  # fmt: skip
    facts = {
        "command": own_command(), "date": today(), "machine": machine("cpu"), "seed": seed,
        "people": f"{split.people} of the split 'test', {len(split)} pictures, preset {PRESET}",
        "weights": f"landmarks@{sha256_12(folder)}",
    }  # fmt: skip
    plain = json.dumps({"facts": facts, **figures}, default=asdict, indent=1)
    write_atomic(output / "landmarks.json", (plain + "\n").encode())
    write_atomic(output / "LANDMARKS.md", markdown(facts, figures, ", ".join(photo.name for photo in photos)).encode())
    return output / "LANDMARKS.md"
