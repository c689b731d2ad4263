"""Bad input through the command line: a clear line, the right exit code, and nothing lost or left behind.

What has to do with a model runs on a tiny one with random weights, everywhere; what has to do with faces runs on the
embedded model too, where that is there.
"""

from __future__ import annotations

import json
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from facesnap.cli import app
from facesnap.core.identity import Identity

PHOTO = Path(__file__).resolve().parents[1] / "examples" / "eileen_collins.jpg"


class Said(NamedTuple):
    """What a command said. ``error``: the last line on stderr; ``notes``: the lines before it."""

    code: int
    out: str
    error: str
    notes: list[str]


Facesnap = Callable[..., Said]


@pytest.fixture
def facesnap(capsys: pytest.CaptureFixture[str]) -> Facesnap:
    """Run the command line here; checks that stderr holds notes and at most one error, a line each."""

    def run(*arguments: object) -> Said:
        code = app.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        errors = [line for line in lines if not line.startswith("note: ")]
        assert len(errors) == (0 if code == 0 else 1), captured.err
        assert all(line.startswith("error: ") for line in errors)
        return Said(code, captured.out, errors[0] if errors else "", [line for line in lines if line not in errors])

    return run


@pytest.fixture
def tiny(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as the embedded one. Its random E_3d can't tell faces from anything, so the cascades alone do."""
    from facesnap.faces.detect import HaarDetector
    from facesnap.pipelines import analyser

    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    monkeypatch.setattr(analyser, "HaarDetector", lambda refine: HaarDetector())
    return tiny_mini


@pytest.fixture
def no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No embedded model at all: a command that loads one too early fails with another error."""
    monkeypatch.setenv("FACESNAP_MINI", str(tmp_path / "no-model"))


@pytest.fixture(params=["tiny", pytest.param("mini", marks=pytest.mark.mini)])
def model(request: pytest.FixtureRequest) -> str:
    """Both models in turn; the real one finds and judges faces as a user's call does."""
    if request.param == "tiny":
        request.getfixturevalue("tiny")
    return str(request.param)


@pytest.fixture
def photo() -> Image.Image:
    return Image.open(PHOTO).convert("RGB")


def _enroll(facesnap: Facesnap, photo: Path, *more: object) -> tuple[Said, Path]:
    output = photo.parent / "made" / "me.identity.safetensors"
    return facesnap("enroll", photo, "--output", output, *more), output


def _refused(facesnap: Facesnap, photo: Path, *words: str) -> None:
    """Enrolling the photo fails as an unusable input, says the words, and leaves nothing behind."""
    said, output = _enroll(facesnap, photo)
    assert said.code == 3, said
    for word in words:
        assert word in said.error
    assert not output.parent.exists()


def _accepted(facesnap: Facesnap, photo: Path, *more: object) -> tuple[Said, Identity]:
    said, output = _enroll(facesnap, photo, *more)
    assert said.code == 0, said
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    return said, Identity.load(output)


# --- files that are no photographs ------------------------------------------------------------------------------


def test_missing_file(facesnap: Facesnap, tmp_path: Path) -> None:
    _refused(facesnap, tmp_path / "nobody.jpg", "nobody.jpg", "does not exist")


def test_folder_instead_of_a_file(facesnap: Facesnap, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    _refused(facesnap, tmp_path / "photos", "is a folder")


def test_empty_file(facesnap: Facesnap, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    _refused(facesnap, tmp_path / "empty.jpg", "is empty")


def test_truncated_file(facesnap: Facesnap, tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(PHOTO.read_bytes()[:40_000])
    _refused(facesnap, path, "half.jpg", "damaged or cut short")


def test_text_named_jpg(facesnap: Facesnap, tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("This is no picture.")
    _refused(facesnap, path, "notes.jpg", "not a picture")


def test_gigantic_picture_is_refused_before_it_is_decoded(facesnap: Facesnap, tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    pack = zlib.compressobj(1)
    rows = b"".join([*(pack.compress(bytes(3751 * 100)) for _ in range(300)), pack.flush()])
    path = tmp_path / "poster.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refused(facesnap, path, "poster.png", "100 megapixels")
    grown_megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_megabytes < 100


# --- photographs without a usable face ---------------------------------------------------------------------------


@pytest.mark.usefixtures("model")
def test_no_face(facesnap: Facesnap, tmp_path: Path) -> None:
    ramp = np.linspace(40, 200, 320, dtype=np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (240, 1))] * 3, axis=-1)).save(tmp_path / "sky.png")
    _refused(facesnap, tmp_path / "sky.png", "no face")


@pytest.mark.usefixtures("model")
def test_face_that_is_too_small(facesnap: Facesnap, tmp_path: Path, photo: Image.Image) -> None:
    photo.resize((184, 184), Image.Resampling.LANCZOS).save(tmp_path / "small.png")
    _refused(facesnap, tmp_path / "small.png", "48")


@pytest.mark.usefixtures("model")
def test_of_several_faces_the_largest_is_taken_and_said(facesnap: Facesnap, tmp_path: Path, photo: Image.Image) -> None:
    both = Image.new("RGB", (820, 512), (120, 120, 120))
    both.paste(photo.resize((300, 300)), (0, 100))
    both.paste(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (308, 0))
    both.save(tmp_path / "two.png")
    said, largest = _accepted(facesnap, tmp_path / "two.png")
    assert any("face" in line and "--face" in line for line in said.notes), said
    chosen_said, chosen = _accepted(facesnap, tmp_path / "two.png", "--face", 0)
    assert not chosen_said.notes
    assert np.allclose(largest.face_embedding, chosen.face_embedding, atol=1e-5)
    _, other = _accepted(facesnap, tmp_path / "two.png", "--face", 1)
    assert not np.array_equal(largest.face_embedding, other.face_embedding)


@pytest.mark.usefixtures("model")
def test_face_number_that_does_not_exist(facesnap: Facesnap, tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "one.png")
    said, output = _enroll(facesnap, tmp_path / "one.png", "--face", 7)
    assert said.code in (2, 3)
    assert "7" in said.error
    assert not output.exists()


# --- unusual photographs that are fine ----------------------------------------------------------------------------


def _rotated_by_exif(photo: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    photo.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".png"), exif=exif)


def _animated(photo: Image.Image, path: Path) -> None:
    frames = [Image.new("RGB", photo.size, colour) for colour in ("red", "blue")]
    photo.save(path.with_suffix(".gif"), save_all=True, append_images=frames)


def _with_alpha(photo: Image.Image, path: Path) -> None:
    photo.putalpha(255)
    photo.save(path.with_suffix(".png"))


VARIANTS: dict[str, tuple[Callable[[Image.Image, Path], None], float]] = {
    # name: how it is made, and how alike its embedding must be to the plain photo's (cosine)
    "exif": (_rotated_by_exif, 0.999),
    "grey": (lambda photo, path: photo.convert("L").save(path.with_suffix(".png")), 0.3),
    "cmyk": (lambda photo, path: photo.convert("CMYK").save(path.with_suffix(".jpg"), quality=95), 0.9),
    "rgba": (_with_alpha, 0.999),
    "gif": (_animated, 0.8),
}


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("kind", VARIANTS)
def test_unusual_photographs_are_read(kind: str, facesnap: Facesnap, tmp_path: Path, photo: Image.Image) -> None:
    make, likeness = VARIANTS[kind]
    folder = tmp_path / kind
    folder.mkdir()
    make(photo.copy(), folder / "photo")
    _, unusual = _accepted(facesnap, next(folder.iterdir()))
    photo.save(tmp_path / "plain.png")
    _, plain = _accepted(facesnap, tmp_path / "plain.png")
    assert float(unusual.face_embedding @ plain.face_embedding) > likeness


# --- prompts, adapters, identities -------------------------------------------------------------------------------


def _generate(facesnap: Facesnap, folder: Path, *more: object, prompt: str = "a portrait") -> Said:
    base = ("generate", "--prompt", prompt, "--output", folder / "out", "--steps", 2)
    who = () if "--identity" in more else ("--reference", PHOTO)
    return facesnap(*base, *who, *more)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_empty_prompt(facesnap: Facesnap, tmp_path: Path, prompt: str) -> None:
    said = _generate(facesnap, tmp_path, prompt=prompt)
    assert said.code == 2
    assert "prompt" in said.error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("tiny")
def test_prompt_that_is_too_long_is_not_cut_silently(facesnap: Facesnap, tmp_path: Path) -> None:
    said = _generate(facesnap, tmp_path, prompt="a portrait of a person in a red jacket, " * 40)
    assert said.code == 2
    assert "token" in said.error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("option", ["--adapter", "--base"])
def test_unknown_adapter_or_base(option: str, facesnap: Facesnap, tmp_path: Path) -> None:
    said = _generate(facesnap, tmp_path, option, tmp_path / "no-such-folder")
    assert said.code == 2
    assert "no-such-folder" in said.error
    assert not (tmp_path / "out").exists()


def test_identity_file_that_is_none(facesnap: Facesnap, tmp_path: Path) -> None:
    path = tmp_path / "me.identity.safetensors"
    path.write_text("not tensors")
    said = _generate(facesnap, tmp_path, "--identity", path)
    assert said.code == 3
    assert path.name in said.error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("tiny")
def test_identity_made_with_other_encoders_is_refused_with_both_names(facesnap: Facesnap, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(PHOTO.read_bytes())
    _, mine = _accepted(facesnap, tmp_path / "photo.jpg")
    part = "face" if "face" in mine.encoders else next(iter(mine.encoders))
    foreign = {**mine.encoders, part: "another-net@0123456789ab"}
    other = Identity(mine.face_embedding, mine.appearance, mine.shape, foreign)
    other.save(tmp_path / "other.identity.safetensors")
    said = _generate(facesnap, tmp_path, "--identity", tmp_path / "other.identity.safetensors")
    assert said.code == 3
    assert "another-net@0123456789ab" in said.error
    assert mine.encoders[part] in said.error
    assert not (tmp_path / "out").exists()


# --- outputs that can't be written -------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((command, "--output") for command in ("generate", "enroll", "landmarks", "demo", "evaluate")),
        *(("evaluate", option) for option in ("--work", "--renders")),
    ],
)
def test_unwritable_output_is_found_before_any_work(
    command: str, option: str, facesnap: Facesnap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the folders that aren't named would be made
    (tmp_path / "taken").write_text("a file where a folder should be")
    output = tmp_path / "taken" / "deep" / "me.png"
    arguments = {
        "generate": ("--prompt", "a portrait", "--reference", PHOTO),
        "enroll": (PHOTO,),
        "landmarks": (PHOTO,),
        "demo": ("--photo", PHOTO),
        "evaluate": (),
    }[command]
    said = facesnap(command, *arguments, option, output)
    assert said.code == 4, said
    assert "can't write" in said.error
    assert said.error.endswith(option)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.usefixtures("tiny")
def test_full_disk_leaves_no_partial_file(facesnap: Facesnap, tmp_path: Path) -> None:
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, kept[1]))  # as a disk with 1 KB left: writing more fails
    try:
        said = _generate(facesnap, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert said.code == 4, said
    assert "can't write" in said.error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("model")
def test_the_same_seed_gives_identical_files_with_their_settings(facesnap: Facesnap, tmp_path: Path) -> None:
    made = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        said = _generate(facesnap, tmp_path / folder, "--seed", 5, "--yaw", 10, "--json")
        assert said.code == 0, said
        made += [Path(path) for path in json.loads(said.out)["images"]]
    assert len(made) == 2
    assert made[0].read_bytes() == made[1].read_bytes()
    assert "a portrait" in json.dumps(Image.open(made[0]).text)  # type: ignore[attr-defined]
