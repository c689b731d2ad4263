"""The arena's report: ARENA.md, arena.json, a sheet and two plots, and a page with everybody's pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from facesnap.core.images import write_atomic
from facesnap.evaluation.arena import measures, plots
from facesnap.evaluation.arena.page import page
from facesnap.evaluation.arena.suite import CURVED, NOISES, VARIED, Outcome, guided
from facesnap.evaluation.arena.summary import NOISE, TRAINED, diversity_row, guidance_rows, over_trainings, summarise
from facesnap.evaluation.baselines import ABLATIONS, CONTESTANTS
from facesnap.evaluation.parts.frozen import feature_distance
from facesnap.evaluation.report import Strip, contact_sheet, row_to_json, table
from facesnap.evaluation.run import asked_facts, median_seconds
from facesnap.evaluation.summary import BASE, Row
from facesnap.faces.align import align
from facesnap.landmarks.layout import five_points
from facesnap.training.mini.data import to_tensor

TEXT, NUMBERS, SHEET, PAGE = "ARENA.md", "arena.json", "arena.jpg", "report.html"
#: People on the sheet.
SHOWN: Final = 10
#: Rows told of ablations; the whole table has the rest.
HEADLINE: Final = ("rank1", "facesim_other", "facesim_reference", "copy_paste", "nme", "yaw", "clip_t", "attributes")

HOW_TO_READ: Final = """\
All methods were trained on the same frozen base, pairs of pictures, order, steps, batch and optimiser (the list of
methods says where one's settings differ; what they share is FaceSnap's own recipe), and see the same features of the
reference; they are sampled by one loop from the same noise. Guidance acts on the face as their projects have it: by
half of it for FaceSnap, in full for the others (both ways are told below). Everybody is asked for as another test
person's picture has it: its caption is the prompt, its pose and expression are the driver's. Methods with a Landmark
Predictor get the reference's face, as read, in that pose; others that take landmarks get the driver's own. Those marked
*no map* are never told the pose: their landmark and angle errors are what comes of the prompt alone.

- **rank-1**, **FaceSim**, **CLIP-T**, **attributes**: as in [RESULTS.md](RESULTS.md). *Another real render* is one of
  the person's for likeness, the driver's for everything else. Intervals are over people, not over trainings.
- **landmark NME**: to the exact head of the person in the driver's pose, which no method is told. E_3d reads the
  portraits; FaceSnap's maps have a shape that E_3d read, too, so its own error stands below.
- **copy-paste**: (angle to other pictures - angle to the reference) / angle between those, after WithAnyone (arXiv
  2510.14975), by the face judge.
- **CLIP-I**: cosine of the CLIP judge's features with the base's own picture of the same prompt and noise. Whoever
  follows a map moves the head, and whoever ignores the face scores 1.
- **distance between seeds**: of one person's portraits from different noise, by the judge of attributes' features
  (after LPIPS).
- **KID**, **FID**: against the drivers' renders; where samples are enough.
"""


def write_report(outcome: Outcome, output: Path, command: str) -> Path:
    """Write everything; returns the path of ARENA.md, which is written last.

    The page with everybody's pictures goes into the work folder, where they are.
    """
    arena, protocol = outcome.arena, outcome.protocol
    texts = arena.observer.clip_judge.text_features([trial.prompt for trial in protocol.trials])
    names = [BASE, *(each.name for each in arena.contestants)]
    sharp = {name: _sharpness(outcome, name) for name in (*names, "target")}
    rows = summarise(outcome.records, texts, names, protocol.seed, sharp)
    if (reader := arena.observer.attribute_judge) is not None:
        distances = {name: _distances(outcome, name, reader.network) for name in names}
        rows.append(diversity_row(distances, protocol.seed))
    shares = guidance_rows(outcome.records, texts, _guided(outcome))
    facts = _facts(outcome, command)
    curves = plots.strength_curves(outcome.records, texts, [n for n in names if n != BASE and TRAINED not in n])
    drawings = {"arena-strength.png": plots.draw_strength(curves)}
    drawings["arena-yaw.png"] = plots.draw_yaw(outcome.records, names)
    for name, drawing in drawings.items():
        write_atomic(output / name, drawing)
    write_atomic(output / SHEET, _sheet(outcome, names))
    plain = {"facts": facts, "rows": [row_to_json(row) for row in [*rows, *shares]], "curves": curves}
    plain["protocol"] = protocol.to_json()
    write_atomic(output / NUMBERS, (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode())
    for name, drawing in drawings.items():
        write_atomic(outcome.work / name, drawing)
    write_atomic(outcome.work / PAGE, page(outcome, rows, facts, names, list(drawings)).encode())
    write_atomic(output / TEXT, markdown(facts, rows, shares, names, differences_of(outcome)).encode())
    return output / TEXT


def markdown(
    facts: Mapping[str, Any],
    rows: Sequence[Row],
    shares: Sequence[Row],
    names: Sequence[str],
    differences: Mapping[str, Sequence[str]],
) -> str:
    """The text of ARENA.md; ``shares``: see :func:`guidance_rows`; ``differences``: method -> how its settings differ
    from FaceSnap's, a line each.
    """
    plain = [name for name in names if TRAINED not in name]
    rivals = [name for name in plain if not _is_variant(name)]
    lines = ["# The arena", "", f"Written by `{facts['command']}`; edits are lost with its next run.", ""]
    lines += [
        *_where_others_win(rows, rivals),
        "## FaceSnap and its rivals",
        "",
        *table(_only(rows, rivals), _headings(rivals)),
    ]
    ours = [name for name in plain if _is_variant(name) or name == "facesnap"]
    if len(ours) > 1:
        lines += ["", "## FaceSnap without one of its parts, or with other settings", ""]
        lines += table(_only([row for row in rows if row.key in HEADLINE], ours))
    lines += _trainings(rows, plain)
    if shares:
        lines += ["", f"## The face guided by half, and in full ({CURVED} people at most)", ""]
        lines += table(_only(shares, rivals))
    lines += ["", f"![Everybody's portraits]({SHEET})", ""]
    lines += ["![Likeness against prompt-following](arena-strength.png) ![NME by yaw](arena-yaw.png)", ""]
    lines += ["## How to read this", "", HOW_TO_READ, "## Who takes part", ""]
    for name in plain:
        if name in CONTESTANTS and not _is_variant(name):
            kind = CONTESTANTS[name]
            said = [*kind.deviations, *differences.get(name, ())]
            lines += [f"- **{name}**: {kind.paper}.", *(f"  - {each}" for each in said)]
    lines += ["", "## How it was made", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in facts.items()]
    return "\n".join(lines) + "\n"


def _is_variant(name: str) -> bool:
    """Whether a column is of FaceSnap without something, or of any contestant with other settings."""
    return name != BASE and (name not in CONTESTANTS or CONTESTANTS[name] in ABLATIONS)


def _where_others_win(rows: Sequence[Row], rivals: Sequence[str]) -> list[str]:
    """Said first: every row in which a rival's value is better than FaceSnap's."""
    lines = []
    for row in rows:
        mine = row.cells.get("facesnap")
        if row.key.endswith("_found") or mine is None or not mine.count:
            continue
        sign = 1 if row.better == "higher" else -1
        better = [
            name
            for name in rivals
            if name not in (BASE, "facesnap") and name in row.cells and sign * (row.cells[name].value - mine.value) > 0
        ]
        if better:
            lines.append(f"- {row.title}: {', '.join(better)}")
    return ["Rivals are better than FaceSnap in:", "", *lines, ""] if lines else []


def _trainings(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Mean over training seeds, for those that were trained more than once."""
    lines: list[str] = []
    for name in names:
        means = over_trainings(rows, name)
        told = [row for row in rows if row.key in means and row.key in HEADLINE]
        if told:
            lines += ["", f"## {name}, over {means[told[0].key].count} trainings", ""]
            lines += table([Row(r.key, r.title, r.unit, r.better, {"mean": means[r.key]}) for r in told])
    return lines


def _only(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows with the columns of these names, and of the bounds."""
    kept = {*names, BASE, "real", "chance"}
    return [
        Row(row.key, row.title, row.unit, row.better, {n: c for n, c in row.cells.items() if n in kept}) for row in rows
    ]


def _facts(outcome: Outcome, command: str) -> dict[str, Any]:
    arena = outcome.arena
    seconds = median_seconds(outcome.records, [each.name for each in arena.contestants])
    return {
        **asked_facts(command, outcome.protocol, arena.device),
        **{f"{each.name}: trained": _training_of(each.name, outcome) for each in arena.contestants},
        **{f"{name}: seconds per portrait (median)": value for name, value in seconds.items()},
        **{f"judge: {name}": signature for name, signature in arena.judges.items()},
        **{f"part: {name}": signature for name, signature in arena.parts.items()},
    }


def _training_of(name: str, outcome: Outcome) -> str:
    trained = next(each for each in outcome.arena.contestants if each.name == name)
    config, millions = trained.settings, sum(parameter.numel() for parameter in trained.rival.parameters()) / 1e6
    how = f"{trained.step} of {config.steps} steps of {config.batch_size} pairs, rate {config.learning_rate:g}"
    return f"{how}, {millions:.2f} M parameters, {outcome.arena.weights[name]}"


def differences_of(outcome: Outcome) -> dict[str, list[str]]:
    """Method -> settings in which its training differs from FaceSnap's (from the first's, without it)."""
    several = {each.name: each.settings.model_dump() for each in outcome.arena.contestants}
    common = several.get("facesnap", next(iter(several.values())))
    return {
        name: [f"trained with {key} {value} ({common[key]})" for key, value in own.items() if value != common[key]]
        for name, own in several.items()
    }


def _guided(outcome: Outcome) -> dict[str, dict[float, str]]:
    """Method -> share of the guidance on the face -> its picture's name."""
    found = {}
    for each in outcome.arena.contestants:
        if TRAINED not in each.name:
            own = each.rival.identity_guidance
            shares = each.rival.guidances
            found[each.name] = {share: each.name if share == own else guided(each.name, share) for share in shares}
    return found


def _headings(names: Sequence[str]) -> dict[str, str]:
    """Columns of methods that see no landmarks say so."""
    return {name: f"{name} (no map)" for name in names if name in CONTESTANTS and not CONTESTANTS[name].wants_map}


def _sharpness(outcome: Outcome, name: str) -> np.ndarray:
    """(N,) of everybody's face in the picture of that name; NaN where none was found."""
    found = []
    for record, picture in zip(outcome.records, outcome.pictures(name), strict=True):
        seen = record.seen.get(name)
        if picture is None or seen is None or seen.landmarks is None:
            found.append(np.nan)
        else:
            found.append(measures.sharpness(align(picture, five_points(seen.landmarks))))
    return np.array(found)


@torch.no_grad()
def _distances(outcome: Outcome, name: str, network: Any) -> np.ndarray:
    """(N, pairs) of the first people's portraits from different noise."""
    series = [islice(outcome.pictures(each), VARIED) for each in (name, *(f"{name}{NOISE}{n}" for n in NOISES))]
    rows = []
    for several in zip(*series, strict=True):
        if all(picture is not None for picture in several):
            images = to_tensor([picture for picture in several if picture is not None])
            first, second = np.triu_indices(len(images), 1)
            rows.append(feature_distance(network.cpu(), images[first], images[second]).numpy())
    return np.array(rows)


def _sheet(outcome: Outcome, names: Sequence[str]) -> bytes:
    """The first people: reference, driver, and everybody's portrait of them."""
    columns = ["reference", "target", *(name for name in names if TRAINED not in name)]
    taken = [list(islice(outcome.pictures(name), SHOWN)) for name in columns]
    strips = [
        Strip([column[place] for column in taken], f"{record.trial.person}: {record.trial.prompt}")
        for place, record in enumerate(outcome.records[:SHOWN])
    ]
    buffer = io.BytesIO()
    headings = ["reference", "driver", *columns[2:]]
    Image.fromarray(contact_sheet(strips, headings)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
