from __future__ import annotations

import numpy as np
import pytest

from facesnap.data import similar
from facesnap.data.identities import STRANGER, UNSURE, find_people, how_sure
from facesnap.data.similar import components, equal_files, mutual_neighbours, near_pictures


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)


def _faces(people, photos, spread, seed=0, dim=64):
    """Embeddings of people who are random directions; the cosine of two photos of one is about 1 / (1 + spread^2)."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(_unit(rng.normal(size=(people, dim))).astype(float), photos, axis=0)
    return _unit(centres + spread * rng.normal(size=centres.shape) / dim**0.5), np.repeat(np.arange(people), photos)


def _marks(count):
    return np.array([index.to_bytes(32, "big") for index in range(count)], object)


def test_equal_files_are_paired_with_the_first():
    assert equal_files(np.array([b"b", b"a", b"b", b"c", b"a", b"b"])).tolist() == [[0, 2], [1, 4], [0, 5]]


@pytest.mark.parametrize("pairs_at_a_time", [7, 1 << 20])
def test_near_pictures_are_those_that_all_pairs_would_find(monkeypatch, pairs_at_a_time):
    monkeypatch.setattr(similar, "PAIRS", pairs_at_a_time)
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for place in range(150, 300):  # copies with 0 to 7 bits changed
        flipped = rng.choice(64, place % 8, replace=False)
        hashes[place] = hashes[place - 150] ^ np.bitwise_or.reduce(np.uint64(1) << flipped.astype(np.uint64), initial=0)
    f_id = _unit(rng.normal(size=(300, 8)))
    f_id[150:250] = f_id[:100]
    wanted = [
        [a, b]
        for a in range(300)
        for b in range(a + 1, 300)
        if bin(int(hashes[a] ^ hashes[b])).count("1") <= 4 and f_id[a].astype(float) @ f_id[b].astype(float) > 0.95
    ]
    assert len(wanted) > 50
    assert near_pictures(hashes, f_id).tolist() == wanted


def test_neighbours_do_not_depend_on_the_blocks(monkeypatch):
    f_id, _ = _faces(20, 5, 0.8)
    whole = mutual_neighbours(f_id, 0.4, neighbours=3)
    monkeypatch.setattr(similar, "BLOCK", 17)
    assert mutual_neighbours(f_id, 0.4, neighbours=3).tolist() == whole.tolist()
    cosine = f_id.astype(np.float32) @ f_id.astype(np.float32).T
    np.fill_diagonal(cosine, -2)
    nearest = [set(np.argsort(-row)[:3][np.sort(-row)[:3] < -0.4].tolist()) for row in cosine]
    wanted = [[a, b] for a in range(100) for b in range(a + 1, 100) if b in nearest[a] and a in nearest[b]]
    assert sorted(whole.tolist()) == wanted


def test_components_of_nothing_are_everybody_alone():
    assert len(set(components(4, np.empty((0, 2), np.int64)).tolist())) == 4


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_faces_have_few_neighbours(count):
    assert len(mutual_neighbours(np.ones((count, 4), np.float16) / 2, 0.5)) == (count == 2)


def test_people_are_found_by_their_faces():
    f_id, truth = _faces(40, 6, 0.8)
    order = np.random.default_rng(2).permutation(len(f_id))
    found = find_people(f_id[order], np.full(240, -1), [], _marks(240), 0.45)
    assert len(found.names) == 40
    assert not found.refused
    for person in range(40):
        assert len(set(truth[order][found.person == person])) == 1
    assert found.names[found.person[0]] == f"person-{'0' * 12}"
    assert found.sure["doubtful"] == 0
    assert found.sure["twins"] == 0
    assert found.sure["own"] > 0.7 > 0.4 > found.sure["next"]


def test_a_photo_like_two_people_does_not_make_them_one():
    f_id, truth = _faces(2, 8, 0.7)
    between = _unit(f_id[truth == 0].mean(0) + f_id[truth == 1].mean(0))
    found = find_people(np.concatenate([f_id, between[None]]), np.full(17, -1), [], _marks(17), 0.5)
    of_first, of_second = found.person[:8], found.person[8:16]
    assert len(set(of_first)) == len(set(of_second)) == 1
    assert of_first[0] != of_second[0]


def test_a_photo_that_is_like_few_of_a_person_is_unsure():
    f_id, _ = _faces(1, 12, 0.5)
    odd = _unit(f_id[0].astype(float) + 1.25 * _unit(np.random.default_rng(5).normal(size=64)).astype(float))
    found = find_people(np.concatenate([f_id, odd[None]]), np.full(13, -1), [], _marks(13), 0.6)
    assert {place: why[0] for place, why in found.refused.items()} in ({12: UNSURE}, {})
    assert set(found.person[:12]) == {0}
    assert found.person[12] != 0


def test_a_stranger_in_a_named_folder_is_refused():
    f_id, truth = _faces(3, 6, 0.7)
    named = truth.copy()
    named[truth == 2] = 0
    named[truth == 2] = [0, 0, -1, -1, -1, -1]  # two of the third person's photos lie in the first one's folder
    found = find_people(f_id, named, ["ada", "bob"], _marks(18), 0.5)
    assert {place: why[0] for place, why in found.refused.items()} == {12: STRANGER, 13: STRANGER}
    assert found.refused[12][1] == "it looks like none of most other photos of ada"
    assert found.names[:2] == ["ada", "bob"]
    assert found.person.tolist() == [0] * 6 + [1] * 6 + [-1, -1] + [2] * 4


def test_names_are_trusted_where_nothing_can_be_said():
    f_id = np.eye(4, dtype=np.float16)
    found = find_people(f_id, np.array([0, 0, 1, 1]), ["a", "b"], _marks(4), 0.6)
    assert found.person.tolist() == [0, 0, 1, 1]
    assert how_sure(f_id, np.array([0, 0, 0, 0]), 0.6) == {}


def test_people_who_are_one_are_called_twins():
    f_id, _ = _faces(1, 8, 0.3)
    assert how_sure(f_id, np.array([0] * 4 + [1] * 4), 0.6)["twins"] == 2
