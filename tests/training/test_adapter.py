"""L_total on a tiny but complete mini: its gradients, its pairs, and that every part takes part."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facesnap.evaluation.subjects import pose_of
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.training.jitter import jittered
from facesnap.training.losses import NoiseSchedule
from facesnap.training.mini.adapter import AdapterStage
from facesnap.training.mini.data import aligned_crop
from facesnap.training.mini.paired import _texts
from facesnap.training.mini.pairs import Pairs


@pytest.fixture
def stage(tiny_run: Any) -> AdapterStage:
    torch.manual_seed(0)
    config = tiny_run.config.adapter.model_copy(update={"id_window": (0.0, 1.0), "token_dropout": 0.0})
    return AdapterStage(config, tiny_run.train, tiny_run.train, tiny_run.weights, tiny_run.device, seed=0)


def gradients(module: nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("part", ["diff", "id", "loss"])
def test_gradients_of_both_losses_reach_mixer_and_ffrnet(stage: AdapterStage, part: str) -> None:
    losses = stage.loss(stage.draw(np.random.default_rng(0)))
    losses[part].backward()
    assert gradients(stage.mixer) > 0
    assert gradients(stage.ffrnet) > 0
    for frozen in (stage.unet, stage.vae, stage.face.network):
        assert gradients(frozen) == 0


def test_total_is_the_weighted_sum(stage: AdapterStage) -> None:
    losses = stage.loss(stage.draw(np.random.default_rng(0)))
    expected = losses["diff"] + stage.config.lambda_id * losses["id"]
    torch.testing.assert_close(losses["loss"], expected)


def test_a_closed_gate_leaves_the_diffusion_loss_alone(stage: AdapterStage) -> None:
    stage.config = stage.config.model_copy(update={"id_window": (0.0, 0.0)})
    losses = stage.loss(stage.draw(np.random.default_rng(0)))
    assert "id" not in losses
    assert torch.equal(losses["loss"], losses["diff"])


def test_the_noisiest_timesteps_are_trained_for_sampling_starts_there(stage: AdapterStage) -> None:
    stage.config = stage.config.model_copy(update={"lambda_id": 0.0})
    stage.schedule = NoiseSchedule(stage.schedule.alpha[-1:], stage.schedule.sigma[-1:])  # pure noise only
    stage.loss(stage.draw(np.random.default_rng(0)))["loss"].backward()
    assert gradients(stage.ffrnet) > 0


def test_a_dropped_face_often_comes_without_text_too(stage: AdapterStage) -> None:
    rows = np.zeros(400, dtype=np.int64)
    drop = torch.arange(400) < 200
    empty = _texts(stage.pairs, rows, drop, np.random.default_rng(0), dropout=0.0) == stage.pairs.texts.empty
    assert 0.4 < float(empty[:200].float().mean()) < 0.6
    assert not empty[200:].any()


def test_crops_beyond_the_render_are_black_or_texture(tiny_run: Any) -> None:
    def edge(textured: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        return aligned_crop(tiny_run.train, 0, rng, zoom=0.3, textured=textured, jitter=0.0)[:4]

    assert edge(0.0).std() < 20 < edge(1.0).std()


def test_blank_maps_and_a_silenced_mixer_change_the_outcome(stage: AdapterStage) -> None:
    with torch.no_grad():
        usual = float(stage.loss(stage.draw(np.random.default_rng(0)))["diff"])
        stage.mixer.cross_attention.out_proj.weight.zero_()
        silenced = float(stage.loss(stage.draw(np.random.default_rng(0)))["diff"])
        stage.config = stage.config.model_copy(update={"landmark_dropout": 1.0})
        blank = float(stage.loss(stage.draw(np.random.default_rng(0)))["diff"])
    assert len({usual, silenced, blank}) == 3


def test_pairs_are_other_pictures_of_the_same_person(stage: AdapterStage) -> None:
    rows = np.arange(len(stage.pairs.split))
    others = stage.pairs.references(rows, np.random.default_rng(0))
    assert (others != rows).all()
    assert (stage.pairs.split.person_index[others] == stage.pairs.split.person_index[rows]).all()


def test_a_share_of_references_may_be_the_targets_themselves(stage: AdapterStage) -> None:
    rows = np.arange(len(stage.pairs.split))
    drawn = {}
    for share in (0.0, 0.5, 1.0):
        config = stage.config.model_copy(update={"pair_share": share})
        drawn[share] = stage._drawn(stage.pairs, config, rows, np.random.default_rng(0))
    own = stage.pairs.features.truth[rows]
    same = {share: (batch["truth"] == own).all(dim=1).float().mean() for share, batch in drawn.items()}
    assert same[0.0] == 1
    assert same[1.0] == 0
    assert 0 < same[0.5] < 1


def test_maps_may_have_the_references_shape_in_the_targets_pose(stage: AdapterStage) -> None:
    pairs, targets, references = stage.check, np.array([0, 5]), np.array([1, 6])
    assert len(stage.pairs.features.shape) == len(stage.pairs.split)
    world = pairs.split.world
    exact = pairs.landmarks(targets, references, np.array([False, False]))
    np.testing.assert_array_equal(exact, world.landmarks2d[targets])
    read = pairs.landmarks(targets, references, np.array([False, True]))
    np.testing.assert_array_equal(read[0], exact[0])
    pose = pose_of(world.pose[5], world.expression[5], world.camera[5], world.images.shape[1])
    shape = pairs.features.shape[6].float().numpy()
    size = (world.images.shape[2], world.images.shape[1])
    np.testing.assert_allclose(read[1], LandmarkPredictor(stage.fitter).predict(shape, pose, size), atol=0.01)


def test_jitter_is_small_and_leaves_its_input_alone() -> None:
    points = np.random.default_rng(0).uniform(20, 100, (72, 2))
    before = points.copy()
    moved = jittered(points, 0.5, np.random.default_rng(1))
    assert np.array_equal(points, before)
    assert 0.1 < np.abs(moved - points).mean() < 5


def test_exported_adapter_names_its_encoders(stage: AdapterStage, tiny_run: Any) -> None:
    from facesnap.models.checkpoint import load_adapter

    figures = stage.export({"stage": "adapter"})
    assert {"val_diff", "val_id"} <= set(figures)
    assert -1 <= figures["val_portrait_cosine"] <= 1
    assert figures["val_portrait_nme"] > 0
    assert figures["val_portrait_rank1"] * 3 == pytest.approx(round(figures["val_portrait_rank1"] * 3), abs=1e-3)
    adapter = load_adapter(tiny_run.weights / "adapter")
    assert adapter.config.encoders["face"] == stage.face.identifier
    assert set(adapter.config.encoders) >= {"face", "appearance", "landmarks"}


def test_features_are_kept_and_belong_to_their_encoders(
    stage: AdapterStage, tiny_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = (tiny_run.weights, stage.face, stage.appearance, stage.fitter)
    cache = tiny_run.folder / "state"
    assert (cache / "adapter-features.safetensors").exists()
    with monkeypatch.context() as patch:
        patch.setattr(stage.face, "encode", lambda crops: pytest.fail("computed again"))
        again = Pairs.of(tiny_run.train, *frozen, views=1, seed=0, cache=cache)
        assert torch.equal(again.features.f_clip, stage.pairs.features.f_clip)
    monkeypatch.setattr(stage.face, "identifier", "another@encoder")
    other = Pairs.of(tiny_run.train, *frozen, views=1, seed=1, cache=cache)
    assert not torch.equal(other.features.f_id, stage.pairs.features.f_id)
