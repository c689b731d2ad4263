"""Streams, pairs and batches: what a step sees follows from seed and step, whoever reads it."""

from __future__ import annotations

import dataclasses
import shutil
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.adapter.prepared import settings, write_xl

from facesnap.core.errors import InputError, UsageError
from facesnap.data.layout import decode, shards
from facesnap.data.shards import read_shard
from facesnap.training.adapter.base import Base, find_base, read_base
from facesnap.training.adapter.config import TrainConfig, checked
from facesnap.training.adapter.drawing import KEYS, Drawer, joined
from facesnap.training.adapter.lanes import Lanes, Target, person_of
from facesnap.training.adapter.nets import morphable
from facesnap.training.adapter.precompute import Maker, Precomputed, precompute
from facesnap.training.adapter.reader import Reader

CPU = torch.device("cpu")


@dataclasses.dataclass
class Parts:
    config: TrainConfig
    base: Base
    made: Precomputed
    reader: Reader

    def batch(self, step: int, **changes: Any) -> dict[str, Any]:
        return next(dataclasses.replace(self.reader, **changes).batches(step))


def parts_of(mini: Path, data: Path, out: Path, /, base: str | None = None, **changes: Any) -> Parts:
    from contextlib import nullcontext

    from facesnap.data.layout import read_dataset

    config = checked(settings(mini, data, out, **changes) | ({"base": base} if base else {}))
    info = read_dataset(data)
    read = read_base(config.base, find_base(config.base))
    made = precompute(data, out / "made", Maker(read, config.data.captions, CPU, nullcontext))
    shapes = morphable(config.objective, info)
    drawer = Drawer(config.data, config.objective, info.size, read.scaling, read.shift, made.empty, shapes, read.xl)
    lanes = Lanes(data, made, "train", config.seed, config.data.lanes, config.data.buffer_people)
    return Parts(config, read, made, Reader(lanes, drawer, len(read.schedule), config.optim.batch_size))


@pytest.fixture(scope="module")
def shared(built: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACESNAP_MINI", str(built))
        return parts_of(built, data, tmp_path_factory.mktemp("reading"))


def keys(targets: list[Target]) -> list[str]:
    return [target.photo.key for target in targets]


def taken(lanes: Lanes, lane: int, first: int, count: int) -> list[Target]:
    return list(islice(lanes.stream(lane, first), count))


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert one[KEYS] == other[KEYS]
    for name in one:
        if name != KEYS:
            assert torch.equal(one[name], other[name]), name


def test_an_epoch_has_every_photo_once_and_the_next_another_order(shared: Parts) -> None:
    lanes = dataclasses.replace(shared.reader.lanes, count=1)
    epochs = keys(taken(lanes, 0, 0, 36))
    assert len(set(epochs[:18])) == len(set(epochs[18:])) == 18
    assert epochs[:18] != epochs[18:]
    assert keys(taken(dataclasses.replace(lanes, seed=1), 0, 0, 18)) != epochs[:18]


@pytest.mark.parametrize("first", [1, 5, 6, 7, 18, 25, 40])
def test_a_stream_goes_on_anywhere(shared: Parts, first: int) -> None:
    for lane in range(2):
        lanes = dataclasses.replace(shared.reader.lanes, count=2, buffer_people=1)
        whole = taken(lanes, lane, 0, 50)
        assert keys(taken(lanes, lane, first, 50 - first)) == keys(whole)[first:]


def test_others_are_of_the_same_person_and_not_the_photo_itself(shared: Parts) -> None:
    for target in taken(shared.reader.lanes, 0, 0, 12):
        assert len(target.others) == 2
        for other in target.others:
            assert person_of(other.key) == person_of(target.photo.key)
            assert other.key != target.photo.key


def test_what_was_made_belongs_to_its_photo(shared: Parts, data: Path) -> None:
    photos = {str(s["__key__"]): decode(s) for shard in shards(data, "train") for s in read_shard(shard)}
    vae = shared.base.load_vae()
    for target in taken(shared.reader.lanes, 1, 0, 3):
        pixels = torch.from_numpy(photos[target.photo.key].image).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            found = vae.encode(pixels).latent_dist
        mean, deviation = target.photo.made["latents"]
        np.testing.assert_allclose(mean, found.mean[0], atol=2e-3)
        np.testing.assert_allclose(deviation, found.std[0], atol=2e-3)
        assert target.photo.made["text"].shape == (2, 16, 16)


def test_rows_of_processes_and_workers_make_the_batch_of_one(shared: Parts) -> None:
    whole = shared.batch(5)
    halves = [shared.batch(5, rank=rank, processes=2) for rank in range(2)]
    same(whole, joined(halves))
    same(whole, shared.batch(5, workers=2))
    same(whole, shared.batch(5, workers=3))
    same(whole, next(islice(shared.reader.batches(3), 2, None)))
    assert shared.batch(6)[KEYS] != whole[KEYS]


def test_references_are_other_photos_unless_pairs_are_off(shared: Parts) -> None:
    for target, reference in shared.batch(0)[KEYS]:
        assert target != reference
        assert person_of(target) == person_of(reference)
    drawer = shared.reader.drawer
    alone = dataclasses.replace(drawer, data=drawer.data.model_copy(update={"pairs": False}))
    assert all(target == reference for target, reference in shared.batch(0, drawer=alone)[KEYS])


def test_what_a_row_goes_without_is_empty(shared: Parts) -> None:
    drawer = shared.reader.drawer
    without = {f"{name}_dropout": 1.0 for name in ("text", "landmark")}
    bare = dataclasses.replace(drawer, settings=drawer.settings.model_copy(update=without))
    batch = shared.batch(0, drawer=bare)
    assert not batch["maps"].any()
    empty = shared.made.empty["text"][0]
    assert all(torch.equal(states, empty) for states in batch["encoder_hidden_states"])
    usual = shared.batch(0)
    assert usual["maps"].any()


def test_maps_take_the_references_shape_where_asked(shared: Parts) -> None:
    def maps(share: float, jitter: float = 0.0) -> torch.Tensor:
        changes = {"reference_shape": share, "landmark_jitter": jitter, "landmark_dropout": 0.0, "all_dropout": 0.0}
        drawer = shared.reader.drawer
        return shared.batch(0, drawer=dataclasses.replace(drawer, settings=drawer.settings.model_copy(update=changes)))[
            "maps"
        ]

    # Photos of a person have one shape in this data set: the reference's is the target's own, up to rounding.
    assert (maps(0.0).float() - maps(1.0).float()).abs().mean() < 8
    assert (maps(0.0).float() - maps(0.0, jitter=0.2).float()).abs().mean() > 8


def test_lanes_that_can_not_be_dealt_are_refused(shared: Parts) -> None:
    with pytest.raises(UsageError, match=r"data\.lanes=4 must be a multiple of the 3 processes"):
        shared.batch(0, processes=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_is_named(shared: Parts, data: Path, tmp_path: Path, workers: int) -> None:
    shutil.copytree(data, tmp_path / "data")
    for shard in shards(tmp_path / "data", "train"):
        content = bytearray(shard.read_bytes())
        content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
        shard.write_bytes(bytes(content))
    lanes = dataclasses.replace(shared.reader.lanes, data=tmp_path / "data")
    with pytest.raises(InputError, match=r"train-00000\d.tar") as caught:
        for _ in islice(dataclasses.replace(shared.reader, lanes=lanes, workers=workers).batches(0), 4):
            pass
    assert "\n" not in str(caught.value)


def test_a_set_of_other_samples_is_refused(shared: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    shutil.copytree(shared.made.folder, folder)
    shutil.copy(folder / "train-000001.tar", folder / "train-000000.tar")
    wrong = dataclasses.replace(shared.reader.lanes, precomputed=dataclasses.replace(shared.made, folder=folder))
    with pytest.raises(InputError, match="doesn't belong to"):
        list(chain.from_iterable(taken(wrong, lane, 0, 4) for lane in range(4)))


def test_precomputing_is_done_once_and_goes_on_where_it_was_cut(
    mini: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = parts_of(mini, data, tmp_path / "a").made
    contents = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(Maker, "samples", lambda *_: pytest.fail("made again"))
        parts_of(mini, data, tmp_path / "a")
    (first.folder / "info.json").unlink()
    (first.folder / "train-000001.tar").unlink()
    again = parts_of(mini, data, tmp_path / "a").made
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == contents
    assert again.people["train"][1] == [("0000002", 3), ("0000003", 3)]
    fewer = parts_of(mini, data, tmp_path / "a", data={"captions": 1}).made
    assert fewer.folder != first.folder


def test_processes_share_the_precomputing(mini: Path, data: Path, tmp_path: Path) -> None:
    parts = parts_of(mini, data, tmp_path / "a")
    from contextlib import nullcontext

    for rank in (1, 0):  # the main one writes the list, after all others are done
        maker = Maker(parts.base, parts.config.data.captions, CPU, nullcontext)
        if rank:
            with pytest.raises(AssertionError):  # nobody has written the list yet
                precompute(data, tmp_path / "b", maker, rank=1, processes=2)
        else:
            made = precompute(data, tmp_path / "b", maker, rank=0, processes=2)
    for path in parts.made.folder.iterdir():
        assert path.read_bytes() == (made.folder / path.name).read_bytes(), path.name


def test_sdxl_has_pooled_texts_and_sizes_and_zeros_for_no_prompt(mini: Path, data: Path, tmp_path: Path) -> None:
    parts = parts_of(mini, data, tmp_path, base=str(write_xl(tmp_path)))
    batch = parts.batch(0)
    assert batch["encoder_hidden_states"].shape == (8, 16, 32)
    assert batch["text_embeds"].shape == (8, 16)
    assert batch["time_ids"][0].tolist() == [32, 32, 0, 0, 32, 32]
    assert not parts.made.empty["text"].any()  # as SDXL's pipelines have it (force_zeros_for_empty_prompt)
