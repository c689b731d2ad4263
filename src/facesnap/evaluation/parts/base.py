"""The base by itself: pictures of many prompts, each of several seeds, and whether they show what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from facesnap.core.images import png_bytes, write_atomic
from facesnap.evaluation.attributes import accuracies, agreement, asked_of
from facesnap.evaluation.bench import stock_pipeline
from facesnap.evaluation.metrics import derangement
from facesnap.faces.attributes import AttributeJudge
from facesnap.pipelines.call.prompts import fits
from facesnap.training.mini.data import Split

#: Side of a picture on the sheet, in pixels, and how many prompts stand beside each other.
CELL: Final = 128
ABREAST: Final = 2


def base_figures(
    mini: Path, split: Split, judge: AttributeJudge, settings: Mapping[str, Any], sheet: Path, prompts: int, seeds: int
) -> dict[str, Any]:
    """Agreement with the prompts, by attribute: of the base, of the real renders, and of pictures of other prompts.

    Args:
        mini: folder with ``base``.
        split: people; the first picture of each of the first ``prompts`` gives its fullest caption as the prompt.
        judge: of attributes.
        settings: of the pipeline: steps, guidance and so on.
        sheet: PNG file with all pictures, a row per prompt.
        prompts: how many.
        seeds: pictures per prompt.
    """
    pipeline = stock_pipeline(mini / "base", str(next(judge.network.parameters()).device))
    rows = [int(several[0]) for several in split.rows_of[:prompts]]
    texts = [_prompt(split.world.captions[row], pipeline) for row in rows]
    asked = [asked_of(text, split.world.attributes[row]) for text, row in zip(texts, rows, strict=True)]
    pictures = [_draw(pipeline, text, seeds, settings) for text in texts]
    write_atomic(sheet, png_bytes(_sheet(pictures), {}))
    read = [[judge.read(picture) for picture in several] for several in pictures]
    real = [judge.read(split.world.images[row]) for row in rows]
    other = [asked[i] for i in derangement(len(asked), 0)]
    of = {
        "base": [agreement(a, r) for a, several in zip(asked, read, strict=True) for r in several],
        "real renders": [agreement(a, r) for a, r in zip(asked, real, strict=True)],
        "base, asked for something else": [agreement(a, r) for a, several in zip(other, read, strict=True)
                                           for r in several],
    }  # fmt: skip
    shares = {name: accuracies(found) for name, found in of.items()}
    plain = {n: {a: [round(v.value, 3), v.count] for a, v in found.items()} for n, found in shares.items()}
    return {"prompts": prompts, "seeds": seeds, **settings, "agreement": plain, "asked": texts}


def _prompt(captions: Sequence[str], pipeline: Any) -> str:
    """The fullest caption that the text encoder takes whole; else the shortest."""
    return next((caption for caption in captions if fits(pipeline, caption)), min(captions, key=len))


def _draw(pipeline: Any, text: str, seeds: int, settings: Mapping[str, Any]) -> list[np.ndarray]:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in range(seeds)]
    drawn = pipeline(text, num_images_per_prompt=seeds, generator=generators, **settings).images
    return [np.asarray(picture.convert("RGB")) for picture in drawn]


def _sheet(pictures: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """All pictures, :data:`ABREAST` prompts per row."""
    cells = [np.hstack([_small(picture) for picture in several]) for several in pictures]
    gap = np.full_like(cells[0][:, :8], 255)
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % ABREAST)
    rows = [cells[i : i + ABREAST] for i in range(0, len(cells), ABREAST)]
    return np.vstack([np.hstack([part for cell in row for part in (cell, gap)][:-1]) for row in rows])


def _small(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((CELL, CELL), Image.Resampling.LANCZOS))
