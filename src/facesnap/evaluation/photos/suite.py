"""Portraits of photographed people by any base and adapter, judged by networks that the user brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from facesnap.core.machine import choose_device, machine, own_command, today
from facesnap.evaluation import report
from facesnap.evaluation.arena.summary import copy_paste_row, disturbance_row
from facesnap.evaluation.bench import Bench, beside, settings_for_base, versions
from facesnap.evaluation.judges import ClipJudge, FaceJudge, check_independent
from facesnap.evaluation.methods import BaseMethod, FaceSnapMethod, Method
from facesnap.evaluation.observe import Observer
from facesnap.evaluation.photos.people import PROMPTS, make_questions, photographed
from facesnap.evaluation.protocol import Protocol
from facesnap.evaluation.records import Ledger, Record
from facesnap.evaluation.run import collect, sheet_of
from facesnap.evaluation.summary import (
    BASE,
    REAL,
    Columns,
    Row,
    failure_rows,
    identity_rows,
    landmark_rows,
    pose_rows,
    prompt_row,
)
from facesnap.faces.encode import OnnxFaceEncoder
from facesnap.pipelines.facade import DEFAULTS, FaceSnap

NAME: Final = "PHOTOS"

HOW_TO_READ: Final = """\
Every number is a mean over people with its 95% interval. Reference, the photo to compare with (*another real photo*)
and gallery are different photographs of one person. Prompts and poses take turns, the same for all methods; the
landmark map is the reference's face, as read, in that pose. A face that is not found scores as a miss.

- **rank-1 identification**: share of portraits whose nearest face is the right person's, in a gallery of the mean
  embedding of each person's other photos.
- **FaceSim**: cosine of the likeness judge's embeddings. **copy-paste**: (angle to other photos - angle to the
  reference) / angle between those, after WithAnyone (arXiv 2510.14975).
- **landmark NME**, **yaw**, **pitch**, **roll**: what E_3d finds against what was requested; E_3d read the reference,
  too.
- **CLIP-T**: cosine of the prompt judge's features of picture and prompt. **CLIP-I**: of the picture and the base's own
  of the same prompt and noise.
"""


def evaluate_photos(
    photos: Path,
    output: Path,
    *,
    base: str,
    adapter: str | None,
    judge: Path,
    judge_licence: str,
    clip: Path,
    prompts: Sequence[str] | None,
    people: int,
    seed: int,
    device: str,
    work: Path,
    steps: int | None = None,
    guidance_scale: float | None = None,
    face_encoder: Path | None = None,
    image_encoder: Path | None = None,
    say: Callable[[str], None],
) -> Path:
    """Measure and write PHOTOS.md, photos.json and photos.png into ``output``; the path of the first.

    Args:
        photos: a subfolder per person, each with at least three photos.
        output: folder of the report.
        base: see :meth:`FaceSnap.from_pretrained`.
        adapter: the same.
        judge: an ArcFace-style ONNX file, another one than conditions the adapter.
        judge_licence: of that file, for the report.
        clip: folder of a CLIP, as transformers saves it.
        prompts: asked in turn; None: :data:`PROMPTS`.
        people: at most so many.
        seed: of the sampling and the intervals.
        device: auto, cpu or cuda.
        work: folder that keeps pictures and measurements, so that a run can go on.
        steps: denoising steps; None: the adapter's.
        guidance_scale: of the prompt; None: the adapter's.
        face_encoder: the adapter's E_f, where it isn't mini's.
        image_encoder: the adapter's E_c, the same.
        say: takes one line at a time.

    Raises:
        UsageError: fewer than two people, a prompt that is too long, or a judge that conditions the adapter.
        AdapterError: base, adapter or judge is missing, or they don't fit each other.
    """
    where = str(choose_device(device, mps=False))
    snap = FaceSnap.from_pretrained(base, adapter, where, face_encoder=face_encoder, image_encoder=image_encoder)
    snap.pipeline.set_progress_bar_config(disable=True)
    likeness, prompt_judge = FaceJudge(OnnxFaceEncoder(judge), judge), ClipJudge(clip, where)
    check_independent(likeness.signature, judge, snap.analyser.encoders, [])
    bench = _bench(snap, base, Observer(snap.analyser.detector, snap.analyser.fitter, likeness, prompt_judge), where)
    subjects, names = photographed(photos, snap.analyser, people, say)
    protocol = Protocol(
        suite="photos",
        seed=seed,
        split=photos.name,
        size=bench.size,
        steps=steps or bench.default_steps,
        guidance_scale=bench.default_guidance if guidance_scale is None else guidance_scale,
        trials=make_questions(subjects, prompts or PROMPTS, seed, bench.fits),
    )
    settings = protocol.hash_with(weights=bench.weights, judges=bench.judges, device=where, versions=versions())
    ledger = Ledger(work, settings)
    records = collect(protocol, subjects, bench, ledger, say)
    texts = prompt_judge.text_features([trial.prompt for trial in protocol.trials])
    rows = summarise(records, texts, [method.name for method in bench.methods], seed)
    facts = {
        **{"command": own_command(), "date": today(), "people": f"{len(names)} of {photos.name}", "seed": seed},
        **{"base": base, "adapter": adapter or "mini's", "steps": protocol.steps},
        **{"guidance scale": protocol.guidance_scale, "machine": machine(where)},
        **{f"judge: {name}": signature for name, signature in bench.judges.items()},
        "licence of the likeness judge": judge_licence,
        **{f"weights: {name}": signature for name, signature in bench.weights.items()},
        "versions": versions(),
    }
    about = report.About(NAME, "Photographs", HOW_TO_READ, {REAL: "another real photo (upper bound)"})
    return report.write_report(output, facts, rows, sheet_of(records, ledger, seed), protocol.to_json(), about)


def _bench(snap: FaceSnap, base: str, observer: Observer, device: str) -> Bench:
    defaults = {**DEFAULTS, **snap.adapter.defaults}
    methods: list[Method] = [FaceSnapMethod(snap)]
    if (plain := beside(snap.pipeline)) is not None:
        methods.append(BaseMethod(plain, **settings_for_base(defaults)))
    return Bench(
        snap=snap,
        predictor=snap.predictor,
        methods=methods,
        observer=observer,
        encoders=snap.analyser.encoders,
        weights={**snap.hashes, "base": base},
        device=device,
        size=snap.size()[0],
        default_steps=int(defaults["num_inference_steps"]),
        default_guidance=float(defaults["guidance_scale"]),
    )


def summarise(records: Sequence[Record], texts: np.ndarray, methods: Sequence[str], seed: int) -> list[Row]:
    """All rows; no real photo shows what was asked, so it stands beside likeness alone."""
    columns, made = Columns(records, seed), {name: name for name in methods}
    told: list[Any] = [row for row in landmark_rows(columns, made) if row.key in ("nme", "nme_found")]
    return [
        *identity_rows(columns, {**made, REAL: "target"}),
        copy_paste_row(columns, {**made, REAL: "target"}),
        *told,
        *pose_rows(columns, made),
        prompt_row(columns, made, texts),
        *([disturbance_row(columns, made)] if BASE in methods else []),
        *failure_rows(columns, made, methods),
    ]
