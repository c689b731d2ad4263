"""mini's model card: what was trained, from what, how long, with which losses; written from the runs' own reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from facesnap.core.images import write_atomic
from facesnap.core.weights import WEIGHTS, read_json
from facesnap.training.mini.quality import quality_section

#: Beside the card: what the stages reported, and what ``facesnap mini measure`` found.
TRAINING_NAME: Final = "training.json"
QUALITY_NAME: Final = "quality.json"

_HEADER = """\
# mini: FaceSnap's embedded model

Made from scratch on a synthetic portrait world: no photograph of a real person took part in its training. It draws
synthetic people. From a real photograph it makes an avatar-like portrait; it is meant for trying FaceSnap, for tests
and for measurements, not for likenesses of real people.

Licence of the weights: Apache-2.0. The world's head shapes come from ICT-FaceKit (MIT, USC ICT Vision and Graphics
Lab).

Made by `facesnap mini train --preset {preset} --seed {seed}`, every stage resumable. UNet and adapter learnt from
{drawn}; VAE, text and image encoder from {read}; face encoder, E_3d and the
reader of hair and beard from the people of both; the judges from {judge_people} other people.
People of the splits train, judge, val and test never overlap.

The settings of every stage are in [training.json](training.json).

| stage | steps | batch | minutes | losses (end of the last piece) | on people never trained on | ended, on |
|---|---|---|---|---|---|---|
"""


def write_card(folder: Path, training: Mapping[str, Any]) -> None:
    """Write ``MODEL_CARD.md`` into a mini folder from the content of its ``training.json``, and its ``quality.json``.

    A ``note`` there, of a stage or of the whole, put in by hand, says what settings can't: that they were changed on
    the way, for one.
    """
    drawn, read = training["world"], training["encoder_world"]
    text = _HEADER.format(
        preset=training["preset"],
        seed=training["seed"],
        drawn=_people(drawn),
        read=_people(read),
        judge_people=read["judge_people"],
    )
    rows = [_row(report) for report in training["stages"].values()]
    notes = [f"{name}: {report['note']}" for name, report in training["stages"].items() if "note" in report]
    parts = [f"- **{w.name}** (`{w.folder}`): {w.what}. {_megabytes(folder / w.folder)}" for w in WEIGHTS]
    whole = [training["note"]] if "note" in training else []
    quality = folder / QUALITY_NAME
    measured = [quality_section(read_json(quality))] if quality.is_file() else []
    sections = [text + "\n".join(rows), *whole, *notes, *measured, "## Weights\n\n" + "\n".join(parts) + "\n"]
    write_atomic(folder / "MODEL_CARD.md", "\n\n".join(sections).encode())


def _people(world: Mapping[str, Any]) -> str:
    """Whom and what a set of renders shows, in words."""
    pictures = f"{world['images_per_person']} pictures each, {world['size']} px"
    return f"{world['train_people']} people ({pictures}, world preset {world['preset']}, seed {world['seed']})"


def _row(report: Mapping[str, Any]) -> str:
    losses, figures = (", ".join(f"{k} {v:g}" for k, v in report[part].items()) for part in ("losses", "figures"))
    steps = f"{report['step']} of {report['steps']}"
    size, minutes = report["config"]["batch_size"], f"{report['seconds'] / 60:.1f}"
    when = f"{report['date']}, {report['machine']}"
    return f"| {report['stage']} | {steps} | {size} | {minutes} | {losses} | {figures} | {when} |"


def _megabytes(folder: Path) -> str:
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    return f"{size / 1e6:.2f} MB."
