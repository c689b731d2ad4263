"""``facesnap mini measure``: every frozen part on people that no network has seen, for the model card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import AdapterError
from facesnap.core.machine import choose_device, machine, today
from facesnap.core.weights import read_json, write_json
from facesnap.evaluation.parts.base import base_figures
from facesnap.evaluation.parts.frozen import face_figures, landmark_figures, vae_figures
from facesnap.faces.attributes import AttributeJudge
from facesnap.faces.encode import FaceEncoder
from facesnap.training.heldout import held_out
from facesnap.training.mini.adapter import DEFAULTS
from facesnap.training.mini.card import QUALITY_NAME, TRAINING_NAME, write_card
from facesnap.training.mini.data import Split

#: Pictures per person: one alone could not be verified against another.
RENDERS: Final = 10
SHEET_NAME: Final = "base.png"


def measure_parts(
    run: Path,
    people: int = 200,
    device: str = "auto",
    seed: int = 0,
    prompts: int = 40,
    seeds: int = 4,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure what ``run/mini`` holds; write ``quality.json`` there, the card anew, and a sheet of the base's pictures.

    Test people are rendered below ``run/encoder_world`` (as widely varied as what the encoders learnt from).

    Args:
        run: folder of :func:`facesnap.training.mini.run.train_mini`.
        people: how many test people.
        device: auto, cpu or cuda.
        seed: of the people and of the pairs drawn.
        prompts: of the base.
        seeds: pictures of each prompt.
        say: takes one line of progress.

    Raises:
        AdapterError: nothing was trained there.
    """
    mini, where = run / "mini", choose_device(device, mps=False)
    training = read_json(mini / TRAINING_NAME)
    world = training["encoder_world"]
    split = Split(held_out(run / "encoder_world", "test", people, RENDERS, seed, world["preset"], world["size"]))
    judge = _judge(mini, str(where))
    likeness = FaceEncoder.from_pretrained(mini / "judge_face", where) if _there(mini, "judge_face") else None
    found: dict[str, Any] = {"people": split.people, "pictures": len(split), "seed": seed, "preset": world["preset"]}
    measures: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
        "vae": (("base/vae",), lambda: vae_figures(mini, split, where, judge.network if judge else None, likeness)),
        "face_encoder": (("face_encoder",), lambda: face_figures(mini, split, where, seed)),
        "landmarks": (("landmarks",), lambda: landmark_figures(mini, split)),
    }
    if judge is not None:
        asked = judge
        measures["base"] = (
            ("base/unet", "base/vae", "base/text_encoder"),
            lambda: base_figures(mini, split, asked, DEFAULTS, run / SHEET_NAME, prompts, seeds),
        )
    if not any(_there(mini, *parts) for parts, _ in measures.values()):
        raise AdapterError(f"no trained part in {mini}")
    for name, (parts, measure) in measures.items():
        if _there(mini, *parts):
            found[name] = measure()
            say(f"{name}: {json.dumps(found[name])[:300]}")
    found |= {"machine": machine(str(where)), "date": today()}
    write_json(mini / QUALITY_NAME, found)
    write_card(mini, training)
    return found


def _judge(mini: Path, device: str) -> AttributeJudge | None:
    folder = mini / "judge_attributes"
    return AttributeJudge.from_pretrained(folder, device) if folder.is_dir() else None


def _there(mini: Path, *parts: str) -> bool:
    return all(any((mini / part).glob("*.safetensors")) for part in parts)
