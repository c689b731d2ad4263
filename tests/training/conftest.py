"""A miniature of the world (drawn, not rendered, so no GL is needed) and a run of mini on it with tiny networks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from facesnap.core.types import Camera, rotation_matrix
from facesnap.core.weights import mini_folder
from facesnap.landmarks.draw import overlay
from facesnap.landmarks.morphable import MORPHABLE_NAME, MorphableLandmarks
from facesnap.training.config import MiniConfig, mini_config
from facesnap.training.mini.data import Split
from facesnap.world.datasets.reading import WorldData

SIZE, PEOPLE, PICTURES = 64, 3, 4


def drawn_world() -> WorldData:
    """People as coloured pictures with their landmarks on them; labels as the renderer's."""
    rng = np.random.default_rng(0)
    model = MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)
    count = PEOPLE * PICTURES
    identity = np.repeat(rng.normal(0, 1, (PEOPLE, 100)), PICTURES, axis=0).astype(np.float32)
    expression = rng.uniform(0, 0.2, (count, 53)).astype(np.float32)
    points3d = model.landmarks3d(model.shape_from_full(identity), expression)
    pose = rng.normal(0, 8, (count, 3)).astype(np.float32)
    camera = np.tile([SIZE / 27.0, SIZE / 2, SIZE / 2, 1 / 90], (count, 1)).astype(np.float32)
    points = np.stack(
        [Camera(*c).project(p @ rotation_matrix(*a).T) for c, p, a in zip(camera, points3d, pose, strict=True)]
    ).astype(np.float32)
    colours = np.repeat(rng.integers(60, 200, (PEOPLE, 3)), PICTURES, axis=0)
    images = [overlay(np.full((SIZE, SIZE, 3), c, np.uint8), p) for c, p in zip(colours, points, strict=True)]
    captions = [[f"a portrait of person {i}", f"a person on a grey wall, number {i}"] for i in range(count)]
    return WorldData(
        images=np.stack(images),
        person=np.repeat(np.arange(PEOPLE), PICTURES),
        identity=identity,
        pose=pose,
        camera=camera,
        expression=expression,
        landmarks2d=points,
        landmarks3d=points3d.astype(np.float32),
        visible=np.ones((count, 72), bool),
        captions=captions,
        attributes=[{} for _ in range(count)],
        style=["photo"] * count,
    )


@dataclass(frozen=True)
class TinyRun:
    """What :class:`facesnap.training.mini.run.Run` offers, without a folder of shards."""

    folder: Path
    config: MiniConfig
    train: Split
    device: torch.device

    @property
    def weights(self) -> Path:
        return self.folder / "mini"

    @property
    def learnt(self) -> tuple[Split, Split]:
        return self.train, self.train

    @property
    def world(self) -> "TinyRun":
        return self

    judged, both_worlds, encoder_world = learnt, learnt, world


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """All stages before the adapter, trained for one step."""
    from facesnap.training.loop import train
    from facesnap.training.mini.landmarks import LandmarkStage
    from facesnap.training.mini.run import STAGES

    names = ("vae", "clip", "face", "landmarks", "unet", "adapter")
    settings = {f"{n}.steps": 1 for n in names} | {f"{n}.batch_size": 4 for n in names}
    settings |= {f"{n}.bf16": False for n in names}
    settings |= {"vae.crop": 32, "clip.text_layers": 1, "clip.image_layers": 1, "adapter.views": 1}
    settings |= {
        "unet.block_out_channels": (32, 32),
        "unet.attention": (False, True),
        "adapter.attention": (True, True),
    }
    run = TinyRun(
        tmp_path_factory.mktemp("tiny"), mini_config("cpu", settings), Split(drawn_world()), torch.device("cpu")
    )
    morphable = MorphableLandmarks.load(mini_folder() / "landmarks" / MORPHABLE_NAME)
    morphable.save(run.weights / "landmarks" / MORPHABLE_NAME)
    torch.manual_seed(0)
    for name in ("vae", "clip", "face", "landmarks", "unet"):
        if name == "landmarks":
            stage = LandmarkStage(run.config.landmarks, *run.learnt, morphable, run.weights, run.device)
        else:
            stage = STAGES[name](run)  # type: ignore[arg-type]
        config = getattr(run.config, name)
        train(name, stage, config, run.folder, seed=0, minutes=None, device=run.device, say=lambda _: None)
    return run
