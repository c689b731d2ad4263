import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from facesnap.core.errors import EncoderMismatchError, InputError, UsageError
from facesnap.core.identity import Identity

ENCODERS = {"face": "small@0123456789ab", "appearance": "clip@ba9876543210"}


def identity(seed: int = 0, photos: int = 1, encoders: dict[str, str] = ENCODERS) -> Identity:
    draw = np.random.default_rng(seed)
    embedding = draw.normal(size=8)
    return Identity(
        embedding / np.linalg.norm(embedding), draw.normal(size=(5, 6)), draw.normal(size=4), encoders, photos
    )


def metadata(**changes: str) -> dict[str, str]:
    return {"format": "facesnap.identity", "version": "1", "encoders": "{}", "photos": "1", **changes}


def tensors(**changes: np.ndarray) -> dict[str, np.ndarray]:
    one = identity()
    return {"face_embedding": one.face_embedding, "appearance": one.appearance, "shape": one.shape, **changes}


def check_refusal(path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        Identity.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (path.name, *words)), message


def test_what_is_saved_is_loaded(tmp_path):
    saved = identity(photos=3)
    saved.save(tmp_path / "me.identity.safetensors")
    loaded = Identity.load(tmp_path / "me.identity.safetensors")
    for name in ("face_embedding", "appearance", "shape"):
        assert getattr(loaded, name).dtype == np.float32
        assert (getattr(loaded, name) == getattr(saved, name)).all()
    assert loaded.encoders == ENCODERS
    assert loaded.photos == 3
    assert os.listdir(tmp_path) == ["me.identity.safetensors"]


def test_the_file_holds_nothing_else(tmp_path):
    identity().save(tmp_path / "me")
    assert set(load_file(tmp_path / "me")) == {"face_embedding", "appearance", "shape"}


def test_other_encoders_are_refused_with_both_names():
    identity().check(ENCODERS)
    identity().check({"face": ENCODERS["face"]})
    with pytest.raises(EncoderMismatchError, match=r"small@0123456789ab.*other@000000000000"):
        identity().check({"face": "other@000000000000"})
    with pytest.raises(EncoderMismatchError, match="no such encoder"):
        identity().check({"landmarks": "fit@0"})


def test_the_mean_weighs_photos_and_stays_a_unit_vector():
    one, three = identity(0, photos=1), identity(1, photos=3)
    mean = Identity.mean([one, three])
    assert mean.photos == 4
    assert np.allclose(mean.shape, (one.shape + 3 * three.shape) / 4, atol=1e-6)
    direction = one.face_embedding + 3 * three.face_embedding
    assert np.allclose(mean.face_embedding, direction / np.linalg.norm(direction), atol=1e-6)


def test_means_that_make_no_sense():
    with pytest.raises(UsageError):
        Identity.mean([])
    with pytest.raises(EncoderMismatchError):
        Identity.mean([identity(), identity(encoders={"face": "other@1"})])
    with pytest.raises(EncoderMismatchError):
        Identity.mean([identity(), identity(encoders={**ENCODERS, "more": "other@1"})])
    one = identity()
    opposite = Identity(-one.face_embedding, one.appearance, one.shape, ENCODERS)
    with pytest.raises(InputError, match="one person"):
        Identity.mean([one, opposite])


@pytest.mark.parametrize(
    "change",
    [
        {"face_embedding": np.ones(8, np.float32)},
        {"face_embedding": np.ones((1, 1), np.float32)},
        {"shape": np.full(4, np.nan, np.float32)},
        {"appearance": np.empty((0, 3), np.float32)},
        {"appearance": np.ones((5, 6), np.int64) * 2**40, "shape": np.full(4, np.inf, np.float64)},
    ],
)
def test_values_that_make_no_identity(tmp_path, change):
    with pytest.raises(InputError):
        Identity(**tensors(**change), encoders={})
    save_file(tensors(**change), tmp_path / "bad.identity.safetensors", metadata())
    check_refusal(tmp_path / "bad.identity.safetensors", "damaged")


def test_files_that_are_not_there(tmp_path):
    check_refusal(tmp_path / "gone", "not a file")
    check_refusal(tmp_path, "not a file")


def test_a_truncated_file(tmp_path):
    identity().save(tmp_path / "me")
    whole = (tmp_path / "me").read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        check_refusal(tmp_path / "cut", "damaged")


def test_files_of_other_makers(tmp_path):
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0" * 100)
    check_refusal(tmp_path / "photo", "not an identity file")
    save_file({"weight": np.zeros(3)}, tmp_path / "model")
    check_refusal(tmp_path / "model", "not an identity file")


def test_a_future_version_is_named(tmp_path):
    save_file(tensors(), tmp_path / "me", metadata(version="2"))
    check_refusal(tmp_path / "me", "format 2", "update")


def test_foreign_and_missing_tensors(tmp_path):
    save_file(tensors(photo=np.zeros(9)), tmp_path / "more", metadata())
    check_refusal(tmp_path / "more", "photo")
    fewer = tensors()
    del fewer["shape"]
    save_file(fewer, tmp_path / "fewer", metadata())
    check_refusal(tmp_path / "fewer", "shape")


@pytest.mark.parametrize(
    "change", [{"encoders": "not json"}, {"encoders": "[1]"}, {"encoders": '{"face": 3}'}, {"photos": "many"}]
)
def test_damaged_metadata(tmp_path, change):
    save_file(tensors(), tmp_path / "me", metadata(**change))
    check_refusal(tmp_path / "me", "damaged")


def test_between_two_people():
    first, second = identity(0), identity(1, photos=4)
    assert np.allclose(Identity.blend(first, second, 0.0).appearance, first.appearance, atol=1e-6)
    assert np.allclose(Identity.blend(first, second, 1.0).face_embedding, second.face_embedding, atol=1e-6)
    middle = Identity.blend(first, second)
    assert np.allclose(middle.shape, (first.shape + second.shape) / 2, atol=1e-6), "photos don't count here"
    assert np.linalg.norm(middle.face_embedding) == pytest.approx(1.0, abs=1e-6)
    assert middle.face_embedding @ first.face_embedding == pytest.approx(
        middle.face_embedding @ second.face_embedding, abs=1e-6
    )
    with pytest.raises(UsageError, match="share=2"):
        Identity.blend(first, second, 2.0)
    with pytest.raises(EncoderMismatchError):
        Identity.blend(first, identity(1, encoders={**ENCODERS, "face": "else@0123456789ab"}))


def test_a_fingerprint_tells_identities_apart(tmp_path):
    me = identity()
    me.save(tmp_path / "me.identity.safetensors")
    assert Identity.load(tmp_path / "me.identity.safetensors").fingerprint == me.fingerprint
    assert identity(1).fingerprint != me.fingerprint
    assert len(me.fingerprint) == 12
