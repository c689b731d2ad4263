"""A tiny model, and a tiny data set in the layout of ``facesnap data prepare`` that its encoders could have made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.models import tiny

from facesnap.core.types import Camera, rotation_matrix
from facesnap.data.layout import DESCRIPTION, DatasetInfo, Example, SplitInfo, encode, key_of, picture_bytes, shard_name
from facesnap.data.shards import write_shard
from facesnap.landmarks.layout import five_points
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks
from facesnap.pipelines.analyser import Analyser

torch.set_num_threads(1)

SIZE, VIEWS = 32, 2


def write_dataset(
    folder: Path, mini: Path, *, people: int = 6, unseen: int = 2, photos: int = 3, per_shard: int = 2
) -> Path:
    """``people`` to train on and ``unseen`` ones, ``photos`` of each, ``per_shard`` people in a shard."""
    encoders = Analyser.from_pretrained(mini).encoders
    morphable = MorphableLandmarks.load(mini / "landmarks" / MORPHABLE_NAME)
    rng = np.random.default_rng(5)
    splits = {}
    for split, first, count in (("train", 0, people), ("val", people, unseen)):
        groups = [range(first, first + count)[i : i + per_shard] for i in range(0, count, per_shard)]
        for number, group in enumerate(groups):
            samples = [(e.key, encode(e)) for person in group for e in _photos(person, photos, morphable, rng)]
            write_shard(folder / shard_name(split, number), samples)
        splits[split] = SplitInfo(count, count * photos, len(groups))
    info = DatasetInfo(SIZE, VIEWS, splits, {**encoders, "landmarks": "landmarks@0"}, licences={"CC0": people * photos})
    (folder / DESCRIPTION).write_bytes(info.to_json())
    return folder


def _photos(person: int, count: int, morphable: MorphableLandmarks, rng: np.random.Generator) -> list[Example]:
    who = np.random.default_rng([9, person])
    face, shape = who.normal(size=8), who.normal(size=morphable.components).astype(np.float32)
    return [_photo(person, index, face, shape, morphable, rng) for index in range(count)]


def _photo(
    person: int,
    index: int,
    face: np.ndarray,
    shape: np.ndarray,
    morphable: MorphableLandmarks,
    rng: np.random.Generator,
) -> Example:
    pose = rng.normal(0, 8, 3).astype(np.float32)
    expression = rng.uniform(0, 0.2, 53).astype(np.float32)
    camera = Camera(SIZE / 27.0, SIZE / 2, SIZE / 2, 1 / 90)
    head = morphable.landmarks3d(shape, expression) @ rotation_matrix(*(float(a) for a in pose)).T
    points = camera.project(head).astype(np.float32)
    views = face + rng.normal(0, 0.1, (VIEWS, 8))
    image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    return Example(
        key=key_of(person, index),
        picture=picture_bytes(image, "png"),
        person=f"person {person}",
        captions=(f"a photo of {person}", "a photo of a person"),
        landmarks=points,
        points5=five_points(points),
        pose=pose,
        camera=camera,
        expression=expression,
        f_id=(views / np.linalg.norm(views, axis=1, keepdims=True)).astype(np.float16),
        f_clip=rng.normal(size=(VIEWS, 5, 12)).astype(np.float16),
        shape=shape,
        licence="CC0",
    )


def write_xl(folder: Path) -> Path:
    """A tiny SDXL base."""
    from diffusers import StableDiffusionXLPipeline

    StableDiffusionXLPipeline(**tiny.sdxl_parts(folder / "tokens")).save_pretrained(folder / "base")
    return folder / "base"


def settings(mini: Path, data: Path, output: Path, /, **changes: Any) -> dict[str, Any]:
    """Plain settings of a run of a few tiny steps; ``changes``: section -> its settings."""
    tree: dict[str, Any] = {
        "output": str(output),
        "base": str(mini / "base"),
        "data": {"folder": str(data), "lanes": 4, "buffer_people": 2, "workers": 0},
        "nets": {"tokens": 3, "id_tokens": 2, "heads": 2, "decoder_layers": 1, "zero_init": False, "export": "float32"},
        "objective": {"lambda_id": 0.5, "id_window": [0.0, 1.0], "id_batch": 3, "reference_shape": 0.5},
        "optim": {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "warmup": 2, "ema_decay": 0.9},
        "compute": {"device": "cpu", "precision": "no"},
        "watch": {
            "log_every": 1,
            "checkpoint_every": 0,
            "validate_every": 0,
            "num_inference_steps": 2,
            "tensorboard": False,
        },
    }
    for section, values in changes.items():
        tree[section] = {**tree[section], **values} if isinstance(values, dict) else values
    return tree


def quiet(lines: list[str] | None = None) -> Any:
    """Where progress goes."""
    return (lines if lines is not None else []).append


def names(paths: Sequence[Path]) -> list[str]:
    """Of files."""
    return sorted(path.name for path in paths)
