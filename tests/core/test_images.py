import errno
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from facesnap.core import images
from facesnap.core.errors import ImageError, InputError, OutputError
from facesnap.core.images import crop_matrix, load_image, save_png, similarity_crop, write_atomic


def photo(width: int = 48, height: int = 32) -> np.ndarray:
    """A smooth picture: red grows to the right, green downwards, blue is flat."""
    x, y = np.meshgrid(np.linspace(20, 230, width), np.linspace(20, 230, height))
    return np.stack([x, y, np.full_like(x, 90)], axis=-1).round().astype(np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def check_refusal(source, *words: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(source)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- good pictures of every kind ---


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff"])
def test_plain_files(tmp_path, name):
    Image.fromarray(photo()).save(tmp_path / name, **({"quality": 95} if name != "a.bmp" else {}))
    for source in (tmp_path / name, str(tmp_path / name), Image.open(tmp_path / name)):
        loaded = load_image(source)
        assert loaded.dtype == np.uint8
        assert np.abs(loaded.astype(int) - photo()).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = Image.fromarray(photo())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera would have stored it
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    assert (load_image(tmp_path / "turned.png") == photo()).all()


def test_a_broken_exif_block_costs_nothing(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert load_image(tmp_path / "a.png").shape == (32, 48, 3)


def test_grey(tmp_path):
    Image.fromarray(photo()[..., 0]).save(tmp_path / "grey.jpg", quality=98)
    loaded = load_image(tmp_path / "grey.jpg")
    assert loaded.shape == (32, 48, 3)
    assert (loaded[..., 0] == loaded[..., 2]).all()
    assert np.abs(loaded[..., 0].astype(int) - photo()[..., 0]).max() < 6


def test_cmyk_jpeg(tmp_path):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "print.jpg", quality=98)
    assert Image.open(tmp_path / "print.jpg").mode == "CMYK"
    assert np.abs(load_image(tmp_path / "print.jpg").astype(int) - photo()).max() < 12


def test_transparency_lies_over_white(tmp_path):
    alpha = np.zeros((32, 48, 1), dtype=np.uint8)
    alpha[:, 24:] = 255
    rgba = np.concatenate([photo(), alpha], axis=-1)
    Image.fromarray(rgba).save(tmp_path / "cut.png")
    for source in (tmp_path / "cut.png", rgba):
        loaded = load_image(source)
        assert (loaded[:, :24] == 255).all()
        assert (loaded[:, 24:] == photo()[:, 24:]).all()


def test_palette_with_a_transparent_colour(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 200, 30, 40])
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "p.png", transparency=0)
    loaded = load_image(tmp_path / "p.png")
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[4, 4].tolist() == [200, 30, 40]


def test_sixteen_bits(tmp_path):
    grey = photo()[..., 0].astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.fromarray(grey).save(tmp_path / "deep.tiff")
    for source in (tmp_path / "deep.png", tmp_path / "deep.tiff", grey):
        assert (load_image(source)[..., 1] == photo()[..., 0]).all()


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (load_image(tmp_path / "a.gif") == np.array([255, 0, 0])).all()


def test_arrays():
    assert load_image(photo()) is not None
    assert (load_image(photo() / 255.0) == photo()).all()
    assert (load_image(photo()[..., :1])[..., 2] == photo()[..., 0]).all()
    assert load_image(np.array([[True, False]]))[0, :, 0].tolist() == [255, 0]


# --- bad input ---


def test_paths_that_are_no_files(tmp_path):
    check_refusal(tmp_path / "gone.jpg", "gone.jpg", "does not exist")
    check_refusal(tmp_path, tmp_path.name, "folder")
    check_refusal("/dev/null", "/dev/null", "regular file")
    check_refusal("x" * 5000, "can't be read")
    check_refusal("a\0b", "a\\x00b")
    check_refusal(None, "NoneType")


def test_an_empty_file(tmp_path):
    (tmp_path / "zero.png").touch()
    check_refusal(tmp_path / "zero.png", "zero.png", "empty")


def test_a_text_file_named_jpg(tmp_path):
    (tmp_path / "note.jpg").write_text("this is not a picture\n" * 50)
    check_refusal(tmp_path / "note.jpg", "note.jpg", "not a picture")


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.webp", "cut.gif", "cut.tiff", "cut.bmp"])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_truncated_file(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    check_refusal(tmp_path / name, name)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (10_001, 10_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(tmp_path, monkeypatch, width, height):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    (tmp_path / "bomb.png").write_bytes(png_header(width, height))
    check_refusal(tmp_path / "bomb.png", "bomb.png", "100 megapixels")


def test_a_bomb_in_memory():
    check_refusal(np.broadcast_to(np.uint8(0), (30_000, 30_000, 3)), "30000 x 30000", "100 megapixels")


@pytest.mark.parametrize(
    "array", [np.zeros((0, 5, 3)), np.zeros((4, 4, 2)), np.zeros(5), np.full((4, 4), np.nan), np.full((4, 4), 7.0)]
)
def test_arrays_that_are_no_pictures(array):
    check_refusal(array)


def test_arrays_of_a_foreign_type():
    check_refusal(np.zeros((4, 4, 3), dtype=np.int64), "int64")


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path):
    check_refusal(tmp_path / "two\nlines.png", "two\\nlines.png")


# --- output ---


def test_png_metadata_comes_back(tmp_path):
    settings = {"prompt": "a café portrait", "note": "日本語 🙂", "seed": "7"}
    save_png(tmp_path / "out" / "a.png", photo(), settings)
    with Image.open(tmp_path / "out" / "a.png") as written:
        assert {key: written.info[key] for key in settings} == settings
    assert (load_image(tmp_path / "out" / "a.png") == photo()).all()
    assert os.listdir(tmp_path / "out") == ["a.png"]


def test_the_same_picture_is_the_same_file(tmp_path):
    save_png(tmp_path / "a.png", photo(), {"seed": "7"})
    save_png(tmp_path / "b.png", Image.fromarray(photo()), {"seed": "7"})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_old_file_is_replaced(tmp_path):
    write_atomic(tmp_path / "a", b"old")
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "kept.png").write_bytes(b"old")
    monkeypatch.setattr(images.os, call, full)
    for name in ("kept.png", "a.png"):
        with pytest.raises(OutputError, match=rf"{name}: No space left on device$"):
            save_png(tmp_path / name, photo())
    assert os.listdir(tmp_path) == ["kept.png"]
    assert (tmp_path / "kept.png").read_bytes() == b"old"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(images.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.png", b"data")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="Permission denied"):
        save_png(tmp_path / "a.png", photo())
    tmp_path.chmod(0o755)


def test_places_that_take_no_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path, "/dev/null", tmp_path / "file" / "a.png", "/proc/nowhere/a.png", "a\0b"):
        with pytest.raises(OutputError):
            write_atomic(place, b"data")


# --- crops ---


def test_crop_matrix_maps_the_square_onto_the_crop():
    matrix = crop_matrix(np.array([10, 20, 30, 60]), size=64, margin=1.5)
    assert np.allclose(matrix @ [20, 40, 1], [32, 32])
    assert np.allclose(matrix @ [20 - 30, 40 - 30, 1], [0, 0])


def test_the_identity_crop_is_exact():
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    assert (similarity_crop(noise, np.array([[1.0, 0, 0], [0, 1, 0]]), 40) == noise).all()
    assert (similarity_crop(noise, np.array([[1.0, 0, -3], [0, 1, -5]]), 20) == noise[5:25, 3:23]).all()


@pytest.mark.parametrize("zoom", [0.11, 0.31, 0.9, 2.5])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_crops_sample_where_the_matrix_says(zoom, angle):
    picture = photo(600, 400)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn
    matrix = np.column_stack([linear, np.array([10, 10]) - linear @ np.array([301.0, 199.0])])
    crop = similarity_crop(picture, matrix, 20)
    centres = np.stack(np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5), axis=-1)
    seen = (centres - matrix[:, 2]) @ np.linalg.inv(linear).T
    red = 20 + 210 * (seen[..., 0] - 0.5) / 599
    green = 20 + 210 * (seen[..., 1] - 0.5) / 399
    assert np.abs(crop[..., 0] - red).max() < 1.2
    assert np.abs(crop[..., 1] - green).max() < 1.2


def test_shrinking_does_not_alias():
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = similarity_crop(stripes, np.array([[0.1, 0, 0], [0, 0.1, 0]]), 40)
    assert np.abs(crop.astype(int) - 127).max() < 3


def test_a_crop_beside_the_picture_is_black():
    assert not similarity_crop(photo(), np.array([[1.0, 0, -500], [0, 1, -500]]), 16).any()


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf])
def test_a_matrix_that_cuts_nothing_is_refused(scale):
    with pytest.raises(InputError, match="matrix"):
        similarity_crop(photo(), np.array([[scale, 0, 0], [0, scale, 0]]), 16)


@pytest.mark.parametrize("scale", [1e-7, 1e7])
def test_extreme_scales_are_no_exception(scale):
    assert similarity_crop(photo(), np.array([[scale, 0, 8], [0, scale, 8]]), 16).shape == (16, 16, 3)
