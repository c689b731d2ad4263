"""`facesnap generate` and `enroll` on a tiny model: every option reaches the picture, wrong ones never load a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
import typer
from diffusers import ControlNetModel
from safetensors.torch import save_file
from tests.models import tiny
from tests.pipelines import published_files
from tests.pipelines.conftest import FixedDetector

from facesnap.cli import app
from facesnap.cli.flatten import flattened, in_options
from facesnap.cli.picture import Start
from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import save_png
from facesnap.faces.detect import HaarDetector
from facesnap.pipelines.facade import FaceSnap

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _mini(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    fixed = FixedDetector((30, 30, 120, 120))
    for name in ("detect", "largest"):
        monkeypatch.setattr(HaarDetector, name, lambda self, image: fixed.detect(image))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    save_png(tmp_path / "me.png", np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8))
    return tmp_path / "me.png"


@pytest.fixture
def me(photo: Path, tmp_path: Path) -> Path:
    assert run("enroll", photo, "-o", tmp_path / "me.identity.safetensors") == 0
    return tmp_path / "me.identity.safetensors"


def run(*arguments: object) -> int:
    return app.run([*map(str, arguments)])


def made(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[bytes, dict[str, Any]]:
    """The first picture's pixels, and what the command says of all."""
    from facesnap.core.images import load_image

    capsys.readouterr()
    fixed = ("--seed", 1, "--steps", 3, "--device", "cpu", "--carry", "none", "--json")
    code = run("generate", "--prompt", "a face", *arguments, *fixed)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    said = json.loads(shown.out)
    return load_image(said["images"][0]).tobytes(), said


# --- wrong usage ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--identity-window", "0.9,0.2"], "--identity-window (0.9, 0.2) must lie between 0 and 1"),
        (["--landmark-window", "0"], "--landmark-window 0: write two numbers"),
        (["--identity-guidance", "3"], "--identity-guidance 3.0 must be from 0 to 1"),
        (["--abstract-scale", "0", "--detail-scale", "0"], "--abstract-scale and --detail-scale are both 0"),
        (["--level-scales", "1,much"], "--level-scales 1,much: write numbers"),
        (["--strength", "0.5"], "--strength says what becomes of a picture: give --image, too"),
        (["--mask", "face"], "--mask says what becomes of a picture: give --image, too"),
        (["--image", "me.png", "--strength", "1.5"], "--strength 1.5 must be over 0 and at most 1"),
        (["--scheduler", "Euler"], "unknown scheduler Euler: use one of DDIMScheduler, DDPMScheduler"),
        (["--lora", "none.safetensors=0.5"], "no LoRA at none.safetensors"),
        (["--lora", "me.png"], "the LoRA me.png is not a .safetensors file"),
        (["--lora", "x.safetensors=much"], "'much' is not a number"),
        (["--controlnet", "x"], "1 --controlnet and 0 --control-image"),
        (["--control-scale", "1"], "0 --controlnet and 1 --control-scale"),
        (["--person", "me.png@0,0,32,32"], "give either --reference PHOTO, --identity FILE, or --person"),
        (["--carry", "hat"], "--carry 'hat'"),
    ],
)
def test_wrong_options_are_named_before_a_model_is_loaded(
    photo: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(FaceSnap, "from_pretrained", load)
    monkeypatch.chdir(photo.parent)
    assert run("generate", "--prompt", "x", "-r", photo, *options) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", ["me.png", "me.png@1,2,3", "@0,0,9,9", "me.png@9,0,0,9", "me.png@a,b,c,d"])
def test_a_person_is_a_file_and_a_place(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--prompt", "x", "--person", words) == 2
    assert f"--person {words}: write FILE@LEFT,TOP,RIGHT,BOTTOM" in capsys.readouterr().err


def test_offloading_from_the_cpu_is_refused(me: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for how, words in (("model", "--offload model keeps weights on the CPU"), ("disk", "unknown offload 'disk'")):
        assert run("generate", "--prompt", "x", "--identity", me, "--device", "cpu", "--offload", how) == 2
        assert words in capsys.readouterr().err


# --- what reaches the picture ---


def lora(folder: Path) -> Path:
    name, draw = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", torch.Generator().manual_seed(0)
    shapes = {"lora_A": (4, 16), "lora_B": (16, 4)}
    tensors = {f"{name}.{end}.weight": torch.randn(shape, generator=draw) for end, shape in shapes.items()}
    save_file(tensors, folder / "style.safetensors")
    return folder / "style.safetensors"


def test_every_knob_changes_the_picture(me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--identity", me, "-o", tmp_path / "out", "--yaw", 0)
    before, _ = made(capsys, *common)
    for options, setting in (
        (("--identity-guidance", 0), ("identity_guidance", 0.0)),
        (("--level-scales", "1,0,0"), ("level_scales", [1.0, 0.0, 0.0])),
        (("--map-scale", 0), ("map_scale", 0.0)),
        (("--identity-window", "0,0.5"), ("identity_window", [0.0, 0.5])),
        (("--scheduler", "EulerAncestralDiscreteScheduler"), ("scheduler", "EulerAncestralDiscreteScheduler")),
    ):
        picture, said = made(capsys, *common, *options)
        assert picture != before, options
        assert said["settings"][setting[0]] == setting[1]


def test_loras_and_their_weights(me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="LoRA needs peft (extra: lora)")
    file, common = lora(tmp_path), ("--identity", me, "-o", tmp_path / "out", "--yaw", 0)
    plain, whole, half, none = (
        made(capsys, *common, *options)[0]
        for options in ((), ("--lora", file), ("--lora", f"{file}=0.5"), ("--lora", f"{file}=0"))
    )
    assert len({plain, whole, half}) == 3
    assert none == plain
    save_file({"unet.no_such.lora_A.weight": torch.zeros(4, 16)}, tmp_path / "other.safetensors")
    assert run("generate", "--prompt", "x", *common, "--lora", tmp_path / "other.safetensors", "--device", "cpu") == 2
    assert "other.safetensors" in capsys.readouterr().err


def test_another_controlnet(me: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(4)
    net = ControlNetModel.from_unet(tiny.unet(), conditioning_embedding_out_channels=(16, 32, 96))
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(conv.weight, std=0.5)
    net.save_pretrained(tmp_path / "depth")
    common = ("--identity", me, "-o", tmp_path / "out", "--yaw", 0)
    with_it = (*common, "--controlnet", tmp_path / "depth", "--control-image", photo)
    pictures = [made(capsys, *options)[0] for options in (common, with_it, (*with_it, "--control-scale", 0.3))]
    assert len(set(pictures)) == 3


def test_several_people(me: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ("--width", 128, "--height", 64, "-o", tmp_path / "out", "--yaw", 10)
    left = ("--person", f"{me}@0,0,64,64", "--person", f"{photo}@64,0,128,64")
    _, said = made(capsys, *left, *size)
    assert [each["subject"] for each in said["report"]] == [0, 1]
    assert [pose["yaw"] for pose in said["settings"]["pose"]] == [10, 10]
    assert run("generate", "--prompt", "x", *left, *size, "--steps", 1, "--count", 2, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(".png") for line in lines] == [True, False, False] * 2


# --- enrolment for other adapters ---


def test_an_identity_for_a_published_adapter(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arcface = published_files.write_arcface(tmp_path / "arcface.onnx")
    faceid = published_files.write_faceid(tmp_path)
    out, encoder = tmp_path / "me.identity.safetensors", ("--face-encoder", arcface)
    for options in (encoder, ("--adapter", faceid, *encoder)):
        assert run("enroll", photo, "-o", out, *options) == 0
        assert Identity.load(out).face_embedding.shape == (512,)
    common = ("--identity", out, "-o", tmp_path / "out")
    _, said = made(capsys, *common, "--adapter", faceid, *encoder)
    assert said["settings"]["guidance_scale"] == 7.5
    assert run("enroll", photo, "-o", out, "--adapter", faceid) == 3
    assert "name its ArcFace file as --face-encoder" in capsys.readouterr().err
    assert run("enroll", photo, "-o", out, "--image-encoder", tmp_path) == 2
    assert "--image-encoder needs --adapter" in capsys.readouterr().err


# --- options in groups ---


def test_groups_become_options() -> None:
    taken: list[object] = []

    @dataclass
    class Size:
        width: Annotated[int, typer.Option("--width")] = 8

    def draw(name: str, size: Size) -> None:
        taken.append((name, size))

    draw.__annotations__ = {"name": str, "size": Size, "return": None}
    flat = flattened(draw)
    assert list(signature(flat).parameters) == ["name", "width"]
    flat(name="x", width=3)
    assert taken == [("x", Size(3))]


def test_python_names_become_options() -> None:
    names = {"mask_image": "--mask", "strength": "--strength"}
    said = r"^--mask 'x' and --strength 2: of great strength, out/mask_image\.png$"
    with pytest.raises(UsageError, match=said), in_options(names):
        raise UsageError("mask_image='x' and strength=2: of great strength, out/mask_image.png")


def test_progress_counts_the_steps_that_are_taken() -> None:
    picture = Path("scene.png")
    assert Start().steps_of(20) == 20
    assert Start(picture).steps_of(20) == 16
    assert Start(picture, strength=0.5).steps_of(20) == 10
    assert Start(picture, mask="face").steps_of(20) == 20
