from __future__ import annotations

import json

import numpy as np
import pytest
import webdataset
from tests.data.examples import example

from facesnap.core.errors import EncoderMismatchError, InputError, OutputError, UsageError
from facesnap.data.layout import (
    DESCRIPTION,
    DatasetInfo,
    SplitInfo,
    check_encoders,
    decode,
    encode,
    key_of,
    picture_bytes,
    read_dataset,
    shard_name,
    shards,
)
from facesnap.data.shards import read_shard, write_shard

INFO = DatasetInfo(
    size=32,
    views=2,
    splits={"train": SplitInfo(1, 2, 1), "val": SplitInfo(0, 0, 0)},
    encoders={"face": "f@1", "appearance": "a@2", "landmarks": "l@3", "shape": "s@4"},
    licences={"CC0": 2},
)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_example_comes_back_as_it_was(suffix):
    before = example(suffix=suffix)
    members = encode(before)
    assert list(members) == [suffix, "json", "npz"]
    after = decode({**members, "__key__": before.key})
    for name, value in vars(before).items():
        if name in ("landmarks", "points5", "pose", "expression"):
            np.testing.assert_allclose(getattr(after, name), value, atol=6e-4)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(after, name), value)
            assert getattr(after, name).dtype == value.dtype
        else:
            assert getattr(after, name) == value
    assert after.image.shape == (32, 32, 3)
    assert encode(after) == members


def test_a_png_keeps_its_pixels_in_the_order_rgb():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    np.testing.assert_array_equal(example(picture=picture_bytes(image, "png")).image, image)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"jpg": None}, "k has no .jpg"),
        ({"npz": None}, "k has no .npz"),
        ({"jpg": b"GIF89a"}, "neither JPEG nor PNG"),
        ({"json": b"{"}, "k is damaged: Expecting property name"),
        ({"json": b'{"person": "x"}'}, "'captions' is missing"),
        ({"npz": b"PK\x03\x04 cut"}, "k is damaged: "),
    ],
)
def test_damage_is_named(change, said):
    members = {**encode(example()), **change, "__key__": "k"}
    with pytest.raises(InputError, match=said):
        decode({name: value for name, value in members.items() if value is not None})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"landmarks": np.zeros((68, 2))}, r"landmarks has shape \(68, 2\), not \(72, 2\)"),
        ({"f_clip": np.zeros((3, 5, 12))}, "f_id has 2 views and f_clip 3"),
        ({"captions": ()}, "it has no caption"),
    ],
)
def test_arrays_of_other_shapes_are_refused(other, said):
    with pytest.raises(InputError, match=said):
        decode({**encode(example(**other)), "__key__": "k"})


def test_pickles_are_not_read():
    members = encode(example())
    import io

    evil = io.BytesIO()
    np.savez(evil, f_id=np.array([{}], object), f_clip=np.zeros((1, 1, 1)), shape=np.zeros(1))
    with pytest.raises(InputError, match="allow_pickle=False"):
        decode({**members, "npz": evil.getvalue(), "__key__": "k"})


def test_a_description_comes_back(tmp_path):
    (tmp_path / DESCRIPTION).write_bytes(INFO.to_json())
    assert read_dataset(tmp_path) == INFO
    with pytest.raises(InputError, match=r"train-000000\.tar is missing"):
        shards(tmp_path, "train")
    write_shard(tmp_path / shard_name("train", 0), [("a", {"json": b"{}"})])
    assert shards(tmp_path, "train") == [tmp_path / "train-000000.tar"]
    assert shards(tmp_path, "val") == []
    with pytest.raises(UsageError, match="unknown split 'test'"):
        shards(tmp_path, "test")


def test_a_description_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no prepared data set"):
        read_dataset(tmp_path)
    for content, said in (
        (b"{", "can't be used"),
        (b"[]", "can't be used"),
        (json.dumps({"format": "other"}).encode(), "its format is 'other'"),
        (json.dumps({**json.loads(INFO.to_json()), "version": 9}).encode(), "version 9, this FaceSnap reads 1"),
        (json.dumps({"format": "facesnap.dataset", "version": 1, "splits": {}}).encode(), "'train' is missing"),
    ):
        (tmp_path / DESCRIPTION).write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_dataset(tmp_path)


def test_other_encoders_are_refused():
    check_encoders(INFO, {"face": "f@1", "appearance": "a@2"})
    with pytest.raises(EncoderMismatchError, match="appearance encoder is a@2, but the model at hand uses other@9"):
        check_encoders(INFO, {"face": "f@1", "appearance": "other@9"})


def test_shards_are_webdataset_s_and_tell_nothing_of_the_machine(tmp_path):
    path = tmp_path / "train-000000.tar"
    samples = [(key_of(3, i), encode(example(i))) for i in range(3)]
    assert write_shard(path, samples) == 3
    before = path.read_bytes()
    write_shard(path, iter(samples))
    assert path.read_bytes() == before
    with open(path, "rb") as file:
        files = webdataset.tariterators.tar_file_expander([{"url": "x", "stream": file}])
        theirs = list(webdataset.tariterators.group_by_keys(files))
    ours = list(read_shard(path))
    assert [each["__key__"] for each in ours] == ["0000003-00000", "0000003-00001", "0000003-00002"]
    assert [{k: each[k] for k in ("__key__", "jpg", "json", "npz")} for each in theirs] == ours
    assert [path.name for path in tmp_path.iterdir()] == ["train-000000.tar"]


def test_a_cut_shard_is_named_with_the_last_sample(tmp_path):
    path = tmp_path / "train-000000.tar"
    write_shard(path, [(key_of(0, i), encode(example(i))) for i in range(3)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"train-000000\.tar is damaged after 0000000-0000\d: "):
        list(read_shard(path))
    with pytest.raises(InputError, match="is damaged: No such file"):
        list(read_shard(tmp_path / "none.tar"))


def test_a_failing_writer_leaves_nothing(tmp_path):
    def failing():
        yield "a", {"json": b"{}"}
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_shard(tmp_path / "x.tar", failing())
    assert list(tmp_path.iterdir()) == []
