from __future__ import annotations

import json
import tarfile
from io import BytesIO

import numpy as np
import pytest

from facesnap.core.errors import ImageError, InputError, UsageError
from facesnap.core.images import png_bytes
from facesnap.data.photos import Words, decoded, digest, photos_of

PNG = png_bytes(np.full((8, 6, 3), 90, np.uint8))

NOISE = png_bytes(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))


def _write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))


def test_a_folder_is_searched_in_the_order_of_names(tmp_path):
    _write(tmp_path, b__2_dot_png=PNG, b__1_dot_JPG=PNG, a__x__1_dot_webp=PNG, z_dot_png=PNG, a__note_dot_md="no")
    (tmp_path / "a" / ".hidden.png").write_bytes(PNG)
    (tmp_path / "loop").symlink_to(tmp_path)
    photos = list(photos_of(tmp_path, Words("CC0", "yes")))
    assert [photo.key for photo in photos] == ["z.png", "a/x/1.webp", "b/1.JPG", "b/2.png"]
    assert {(photo.person, photo.licence, photo.consent) for photo in photos} == {("", "CC0", "yes")}
    assert photos[0].read() == PNG
    named = photos_of(tmp_path, Words(folders=True))
    assert [photo.person for photo in named] == ["", "a", "b", "b"]


def test_sidecars_say_more_than_the_source(tmp_path):
    said = {"person": "Ada", "licence": "mine", "consent": True}
    _write(tmp_path, p__1_dot_png=PNG, p__1_dot_txt=" two\n lines ", p__1_dot_json=json.dumps(said))
    photo = next(photos_of(tmp_path, Words("CC0", "no", folders=True)))
    assert (photo.captions, photo.person, photo.licence, photo.consent) == (("two lines",), "Ada", "mine", "yes")


def test_renders_say_who_and_what_they_show(tmp_path):
    said = {"person_id": 12, "person": {"age": 3}, "captions": ["one\n", " ", "two"], "licence": None}
    _write(tmp_path, a_dot_png=PNG, a_dot_json=json.dumps(said), a_dot_txt="not this")
    photo = next(photos_of(tmp_path, Words("CC0")))
    assert (photo.person, photo.captions, photo.licence, photo.problem) == ("12", ("one", "two"), "CC0", "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "its sidecar can't be used: Expecting"),
        ("[1]", "its sidecar can't be used: it holds no JSON object"),
        ('{"caption": {"a": 1}}', "caption is no text"),
        ('{"person": {"a": 1}}', "person is no text"),
        ('{"consent": "maybe"}', "consent 'maybe', not yes, no, unknown"),
        (b"\xff\xfe", "its sidecar can't be used: "),
        (b"x" * 1_000_001, "it is too large"),
    ],
)
def test_a_sidecar_that_says_nothing_costs_its_photo_only(tmp_path, content, said):
    _write(tmp_path, a_dot_png=PNG, a_dot_json=content, b_dot_png=PNG)
    first, second = photos_of(tmp_path, Words())
    assert said in first.problem
    assert second.problem == ""


def test_a_list_names_files_captions_and_people(tmp_path):
    _write(tmp_path, sub__1_dot_png=PNG, sub__2_dot_png=PNG, sub__2_dot_txt="from its sidecar")
    (tmp_path / "list.txt").write_text("# a list\nsub/1.png\ta smile\tAda\n\nsub/2.png\nsub/1.png\ngone.png\n")
    photos = list(photos_of(tmp_path / "list.txt", Words()))
    assert [(p.key, p.captions, p.person) for p in photos] == [
        ("sub/1.png", ("a smile",), "Ada"),
        ("sub/2.png", ("from its sidecar",), ""),
        ("gone.png", (), ""),
    ]
    assert photos[2].problem == "can't be read: No such file or directory"
    (tmp_path / "list.txt").write_text("a\tb\tc\td\n")
    with pytest.raises(UsageError, match="line 1: write a path"):
        list(photos_of(tmp_path / "list.txt", Words()))
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="it is not text in UTF-8"):
        list(photos_of(tmp_path / "list.txt", Words()))
    with pytest.raises(InputError, match="no such folder, list or tar"):
        photos_of(tmp_path / "gone", Words())


def test_a_tar_is_a_webdataset(tmp_path):
    members = [("x/1.png", PNG), ("x/1.json", b'{"person": "Bo"}'), ("x/2.jpg", PNG + b"2"), ("x/2.txt", b"hi")]
    _tar(tmp_path / "data.tar", members)
    first, second = photos_of(tmp_path / "data.tar", Words("CC0"))
    assert (first.key, first.person, first.read()) == ("x/1.png", "Bo", PNG)
    assert (second.key, second.captions, second.read()) == ("x/2.jpg", ("hi",), PNG + b"2")
    assert [photo.key for photo in photos_of(tmp_path, Words())] == ["data.tar:x/1.png", "data.tar:x/2.jpg"]


def test_a_damaged_tar_gives_what_lies_before_the_damage(tmp_path):
    path = tmp_path / "data.tar"
    _tar(path, [(f"{index}.png", PNG * 20) for index in range(3)])
    content = path.read_bytes()
    path.write_bytes(content[: 2 * (512 + -(-len(PNG) * 20 // 512) * 512) + 600])
    photos = list(photos_of(path, Words()))
    assert [photo.key for photo in photos] == ["0.png", "1.png", "2.png", "data.tar"]
    assert photos[-1].problem.startswith("the tar is damaged: ")


def test_what_changes_a_chunk_changes_its_digest(tmp_path):
    _write(tmp_path, a_dot_png=PNG)
    before = digest(list(photos_of(tmp_path, Words())))
    assert before == digest(list(photos_of(tmp_path, Words())))
    assert before != digest(list(photos_of(tmp_path, Words("CC0"))))
    (tmp_path / "a.png").write_bytes(PNG + b"!")
    assert before != digest(list(photos_of(tmp_path, Words())))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"^empty \(0 bytes\)$"),
        (b"text", "^not a picture that can be read$"),
        (NOISE[: len(NOISE) // 2], "^damaged or cut short: "),
    ],
)
def test_what_is_no_picture_says_why(content, said):
    with pytest.raises(ImageError, match=said):
        decoded(content)


def test_a_photo_that_is_gone_says_so(tmp_path):
    _write(tmp_path, a_dot_png=PNG)
    photo = next(photos_of(tmp_path, Words()))
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match="can't be read: No such file"):
        photo.read()
