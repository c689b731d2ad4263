from __future__ import annotations

import itertools
import json
import tarfile

import numpy as np
import pytest

from facesnap.core.errors import ImageError, InputError
from facesnap.world.datasets.reading import iterate_labels, iterate_shards, read_shards
from facesnap.world.datasets.shards import render_split
from facesnap.world.datasets.splits import SPLIT_SPAN, SPLITS, block_of, split_of


def test_splits_cannot_meet():
    starts = sorted(SPLITS.values())
    assert all(b - a >= SPLIT_SPAN for a, b in itertools.pairwise(starts))
    assert [split_of(person) for person in (0, 999_999, 1_000_000, 3_999_999, 4_000_000)] == [
        "train", "train", "judge", "test", None,
    ]  # fmt: skip


def test_a_shards_name_tells_its_people(painted, tmp_path):
    folder = render_split(tmp_path, "judge", 3, images_per_person=1, workers=1)
    blocks = [block_of(path) for path in sorted(folder.glob("*.tar"))]
    assert [(b.split, b.first, b.people) for b in blocks if b] == [("judge", 1_000_000, 2), ("judge", 1_000_002, 1)]
    assert block_of(folder / "exam-0000000-02.tar") is None


@pytest.mark.parametrize("counts", [(3, 4), (3, 7), (7, 3), (5, 2, 3)])
def test_only_the_people_asked_for_last_are_read(painted, tmp_path, counts):
    for people in counts:
        folder = render_split(tmp_path, "val", people, images_per_person=2, workers=1, size=8)
        read = [(labels["person_id"] - SPLITS["val"], labels["index"]) for _, labels in iterate_shards(folder)]
        assert read == list(itertools.product(range(people), range(2)))


def test_shards_without_a_description_are_all_read(painted, tmp_path):
    folder = render_split(tmp_path, "val", 3, images_per_person=1, workers=1, size=8)
    (folder / "dataset.json").unlink()
    assert len(list(iterate_shards(folder))) == 3
    assert len(read_shards(folder)) == 3


@pytest.mark.parametrize("text", ["{", "3", '{"split": "val"}', '{"split": "val", "images_per_person": "2"}'])
def test_a_damaged_description_is_named(painted, tmp_path, text):
    folder = render_split(tmp_path, "val", 1, images_per_person=1, workers=1, size=8)
    (folder / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset\.json"):
        next(iterate_shards(folder))


@pytest.mark.parametrize("described", [True, False])
def test_arrays_hold_what_the_shards_hold(painted, tmp_path, described):
    """Also more pictures than the arrays are first made for."""
    folder = render_split(tmp_path, "val", 50, images_per_person=2, workers=1, size=8)
    if not described:
        (folder / "dataset.json").unlink()
    data = read_shards(folder, segmentation=True)
    assert data.images.shape == (100, 8, 8, 3)
    assert data.images.dtype == np.uint8
    assert data.person.tolist() == [SPLITS["val"] + i // 2 for i in range(100)]
    for row, (picture, labels) in enumerate(iterate_shards(folder)):
        assert np.array_equal(picture, data.images[row])
        assert picture[4, 4].tolist() == [labels["person_id"] % 200, labels["index"], 0]
        assert np.allclose(data.landmarks2d[row], labels["landmarks2d"])
        assert data.pose[row].tolist() == pytest.approx([labels["pose"][k] for k in ("yaw", "pitch", "roll")])
        assert data.attributes[row] == labels["attributes"]
    assert data.visible.shape == (100, 72)
    assert data.segmentation is not None
    assert data.segmentation[:, :4].max() == 0
    assert data.segmentation[:, 4:].min() == 1
    assert data.style == ["photo"] * 100
    assert len(data.captions[0]) == 3


def test_a_limit_and_no_segmentation(painted, tmp_path):
    folder = render_split(tmp_path, "val", 3, images_per_person=2, workers=1, size=8)
    data = read_shards(folder, limit=5)
    assert len(data) == 5
    assert data.segmentation is None
    assert [labels["index"] for labels in iterate_labels(folder)] == [0, 1] * 3


def test_no_shards(tmp_path):
    with pytest.raises(InputError, match=r"no shards \(\*.tar\) in [^:]*$"):
        read_shards(tmp_path)


def test_a_folder_of_splits_names_them(painted, tmp_path):
    folder = render_split(tmp_path, "val", 2, images_per_person=1, workers=1, size=8)
    with pytest.raises(InputError, match=f"take one of {folder}"):
        read_shards(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_shards(tmp_path / "absent")


def _without(name, members):
    return [member for member in members if not member[0].endswith(name)]


def _emptied(name, members):
    return [(member, b"" if member.endswith(name) else content) for member, content in members]


def _unlabelled(key, members):
    labels = [{k: v for k, v in json.loads(m[1]).items() if k != key} for m in members if m[0].endswith(".json")]
    return [(n, json.dumps(labels.pop(0)).encode() if n.endswith(".json") else content) for n, content in members]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda members: _without(".json", members), "2000000_0000 has no .json"),
        (lambda members: _without("0.png", members), "2000000_0000 has no .png"),
        (lambda members: _without(".seg.png", members), "2000000_0000 has no .seg.png"),
        (lambda members: members[:-3], "it has 3 pictures, not 4"),
        (lambda members: [*members, members[-1]], "duplicate file name"),
        (lambda members: _emptied("0.png", members), "can't be decoded"),
        (lambda members: _emptied(".json", members), "Expecting value"),
        (lambda members: _unlabelled("pose", members), "'pose' is missing"),
        (lambda members: _unlabelled("style", members), "'style' is missing"),
    ],
)
def test_damage_names_the_shard_in_one_line(painted, tmp_path, change, said):
    folder = render_split(tmp_path, "val", 2, images_per_person=2, workers=1, size=8)
    path = next(folder.glob("*.tar"))
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]  # type: ignore[union-attr]
    _write(path, change(members))
    with pytest.raises(ImageError, match=said) as caught:
        read_shards(folder, segmentation=True)
    assert str(caught.value).startswith(f"shard {path} is damaged (")
    assert "\n" not in str(caught.value)
    assert "BufferedReader" not in str(caught.value)


def _write(path, members):
    import io

    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("kept", [0, 100, 700, 5000, 20_000])
def test_a_shard_cut_short_is_named(painted, tmp_path, kept):
    folder = render_split(tmp_path, "val", 2, images_per_person=2, workers=1, size=8)
    path = next(folder.glob("*.tar"))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ImageError, match=path.name):
        read_shards(folder)


def test_a_damaged_header_within_a_shard_is_noticed(painted, tmp_path):
    """A tar reader takes it for the archive's end."""
    folder = render_split(tmp_path, "val", 2, images_per_person=2, workers=1, size=8)
    path = next(folder.glob("*.tar"))
    content = bytearray(path.read_bytes())
    start = content.index(b"2000001_0000.json")
    content[start : start + 4] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(ImageError, match="it has 2 pictures, not 4"):
        read_shards(folder)
