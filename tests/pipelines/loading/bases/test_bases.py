"""What a base's name stands for, which family it is, and what is refused: all before weights are read or fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models import tiny
from tests.pipelines.loading.bases.tiny_bases import Base, FakeHub, into_cache

from facesnap.core.errors import AdapterError
from facesnap.models.checkpoint import AdapterConfig
from facesnap.pipelines.loading.adapter_files import find_adapter
from facesnap.pipelines.loading.bases.find import detect_family, find_base
from facesnap.pipelines.loading.load import load_pipeline

UNET = "model.diffusion_model."
NAME = "someone/portraits"


@pytest.fixture
def folder(base: Base, tmp_path: Path) -> Path:
    """A base that a test may change."""
    return into_cache(base.folder, "own/copy", tmp_path / "elsewhere")


def write_header(
    path: Path, channels: tuple[int, ...], width: int, takes: int = 4, layers: int = 2, **more: tuple[int, ...]
) -> Path:
    """A file whose keys and (where they count) shapes are a published checkpoint's, with next to no weights.

    ``more``: tensors to add; None takes one away. Two dashes in a name stand for a dot.
    """
    shapes: dict[str, tuple[int, ...]] = {"input_blocks.0.0.weight": (1, takes), "out.2.bias": (4,)}
    block = 0
    for level, size in enumerate(channels):
        for _ in range(layers):
            block += 1
            shapes[f"input_blocks.{block}.0.out_layers.3.bias"] = (size,)
        if level < len(channels) - 1:
            block += 1
            shapes[f"input_blocks.{block}.0.op.weight"] = (1,)
    shapes["middle_block.0.in_layers.0.weight"] = (1,)
    shapes["input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"] = (1, width)
    tensors = {UNET + name: torch.zeros(shape) for name, shape in shapes.items()}
    tensors |= {"first_stage_model.x": torch.zeros(1)}
    tensors |= {name.replace("__", "."): torch.zeros(shape) for name, shape in more.items()}
    if not any(name.startswith(("cond_stage_model.", "conditioner.")) for name in tensors):
        tensors["cond_stage_model.x"] = torch.zeros(1)
    save_file(tensors, path)
    return path


# --- families ---

LONG, SHORT = (320, 640, 1280, 1280), (320, 640, 1280)
SDXL = {"conditioner__embedders__1__x": (1,), "conditioner__embedders__0__x": (1,)}
LABEL = {UNET.replace(".", "__") + "label_emb__0__0__weight": (1, 2816)}


def test_families_of_single_files(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    assert detect_family(write_header(file, LONG, 768)) == "sd1"
    assert detect_family(write_header(file, LONG, 1024)) == "sd2"
    assert detect_family(write_header(file, SHORT, 2048, **SDXL, **LABEL)) == "sdxl"
    assert detect_family(write_header(file, (8, 16), 16)) == "sd(8-16 x 2 layers; text 16; 4 latent channels)"


def test_a_pruned_network_is_of_another_family(tmp_path: Path) -> None:
    file = write_header(tmp_path / "x.safetensors", LONG, 768, layers=1)
    assert detect_family(file) == "sd(320-640-1280-1280; text 768; 4 latent channels)"


@pytest.mark.parametrize(
    ("channels", "width", "more", "said"),
    [
        (LONG, 768, {"takes": 9}, "an inpainting model .*9 channels.*give a text-to-image base"),
        (LONG, 768, {"takes": 8}, "a picture-editing model"),
        (LONG, 1024, {"takes": 5}, "a depth-to-image model"),
        ((256, 512, 512, 1024), 1024, {"takes": 7}, "an upscaling model"),
        (SHORT, 2048, {"takes": 9, **SDXL, **LABEL}, "an inpainting model"),
        (LONG, 1024, LABEL, "class embeddings"),  # unCLIP
        ((384, 768, 1536, 1536), 1280, {"conditioner__embedders__0__model__x": (1,), **LABEL}, "an SDXL refiner"),
        (SHORT, 2048, {"edm_mean": (4,), **SDXL, **LABEL}, "another noise schedule"),
    ],
)
def test_relatives_are_refused(
    tmp_path: Path, channels: tuple[int, ...], width: int, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(AdapterError, match=said):
        detect_family(write_header(tmp_path / "x.safetensors", channels, width, **more))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lora_unet_down_blocks_0_attentions_0.lora_down.weight", "a LoRA"),
        ("unet.down_blocks.0.attentions.0.to_k.lora_A.weight", "a LoRA"),
        ("control_model.input_blocks.0.0.weight", "a ControlNet"),
        ("controlnet_cond_embedding.conv_in.weight", "a ControlNet"),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "a Flux model"),
        ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "a Stable Diffusion 3 model"),
        ("down_blocks.0.resnets.0.conv1.weight", "a UNet in diffusers' layout"),
        ("first_stage_model.encoder.conv_in.weight", "a VAE alone"),
        ("decoder.conv_in.weight", "a VAE alone"),
        ("text_model.embeddings.token_embedding.weight", "a text encoder alone"),
        ("down_blocks.0.motion_modules.0.norm.weight", "an AnimateDiff motion module"),
        ("emb_params", "a textual inversion"),
        ("image_proj.latents", "an IP-Adapter"),
        ("something.else", "not a Stable Diffusion 1, 2 or XL checkpoint"),
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, key: str, said: str) -> None:
    save_file({key: torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(AdapterError, match=f"x.safetensors is {said}"):
        detect_family(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.ckpt", b"anything", "a pickle.*docs/BASES.md"),
        ("renamed.safetensors", b"PK\x03\x04 a zip", "a pickle"),
        ("model.gguf", b"GGUF and so on", "a GGUF file"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("cut.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{", "can't read"),
    ],
)
def test_files_that_are_no_safetensors(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AdapterError, match=said) as caught:
        detect_family(tmp_path / name)
    assert "\n" not in str(caught.value)


# --- folders ---


def write_index(folder: Path, name: str, **parts: str) -> None:
    index = {part: ["library", kind] for part, kind in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name, **index}))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("FluxPipeline", {"transformer": "FluxTransformer2DModel", "text_encoder": "CLIPTextModel"}),
        ("StableDiffusion3Pipeline", {"transformer": "SD3Transformer2DModel", "text_encoder": "CLIPTextModel"}),
        ("KolorsPipeline", {"unet": "UNet2DConditionModel", "text_encoder": "ChatGLMModel"}),
        ("DDPMPipeline", {"unet": "UNet2DModel"}),
    ],
)
def test_other_pipelines_are_refused_by_name(tmp_path: Path, name: str, parts: dict[str, str]) -> None:
    write_index(tmp_path, name, **parts)
    with pytest.raises(AdapterError, match=f"is a {name}, not a Stable Diffusion"):
        detect_family(tmp_path)


def test_folders_that_are_no_base(base: Base, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"model_index\.json is missing"):
        detect_family(tmp_path)
    with pytest.raises(AdapterError, match="is an adapter"):
        detect_family(base.adapter)
    write_index(tmp_path, "StableDiffusionPipeline", unet="UNet2DConditionModel", text_encoder="CLIPTextModel")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    with pytest.raises(AdapterError, match="no block_out_channels"):
        detect_family(tmp_path)
    write_index(tmp_path, "StableDiffusionXLImg2ImgPipeline", unet="UNet2DConditionModel", text_encoder_2="CLIPText")
    with pytest.raises(AdapterError, match="an SDXL refiner"):
        detect_family(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"), [({"in_channels": 9}, "an inpainting model"), ({"class_embed_type": "projection"}, "class emb")]
)
def test_relatives_in_folders_are_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(AdapterError, match=said):
        detect_family(folder)


def rename_weights(folder: Path, variant: str) -> None:
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_folders_of_a_variant_load(base: Base, folder: Path, variant: str) -> None:
    rename_weights(folder, variant)
    same(load_pipeline(folder, base.adapter, torch.float32)[0], base)


def test_sharded_folders_load_and_a_missing_shard_is_noticed(base: Base, folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    tiny.unet().save_pretrained(folder / "unet", max_shard_size="40KB")
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    same(load_pipeline(folder, base.adapter, torch.float32)[0], base)
    shards[-1].unlink()
    with pytest.raises(AdapterError, match="not whole: the weights of its unet"):
        load_pipeline(folder, base.adapter, torch.float32)


def test_pickles_in_folders_are_refused(base: Base, folder: Path) -> None:
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(AdapterError, match="no safetensors of its vae, only a pickle"):
        load_pipeline(folder, base.adapter, torch.float32)


def same(pipeline: Any, base: Base) -> None:
    theirs, _ = load_pipeline(base.folder, base.adapter, torch.float32)
    for part in ("unet", "vae", "text_encoder"):
        ours, wanted = getattr(pipeline, part).state_dict(), getattr(theirs, part).state_dict()
        assert all(torch.equal(ours[name], tensor) for name, tensor in wanted.items())


# --- hub ids ---


@pytest.mark.parametrize("offline", [True, False])
def test_what_the_cache_holds_needs_no_network(
    base: Base, cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    snapshot = into_cache(base.folder, NAME, cache)
    rename_weights(snapshot, "fp16")
    assert find_base(NAME) == snapshot
    same(load_pipeline(find_base(NAME), base.adapter, torch.float32)[0], base)
    adapter = into_cache(base.adapter, "someone/adapter", cache)
    assert find_adapter("someone/adapter") == adapter


def test_absent_or_partial_repositories_say_so(base: Base, cache: Path) -> None:
    for find in (find_base, find_adapter):
        with pytest.raises(AdapterError, match=r"nobody/nothing is not \(whole\) in the hub's cache.*switched off"):
            find("nobody/nothing")
    into_cache(base.config, NAME, cache)
    with pytest.raises(AdapterError, match=rf"{NAME} is not \(whole\).*switched off"):
        find_base(NAME)


def test_without_a_network_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that is not told to be offline, and is."""

    def no_address(*args: object, **kwargs: object) -> None:
        raise OSError("no address")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", no_address)
    with pytest.raises(AdapterError, match="the hub can't be reached"):
        find_base("nobody/nothing")


def test_names_that_are_nothing(tmp_path: Path) -> None:
    for find in (find_base, find_adapter):
        with pytest.raises(AdapterError, match="no-such-folder"):
            find(tmp_path / "no-such-folder")
        with pytest.raises(AdapterError, match=r"Repo id"):
            find("not a/hub id")


@pytest.fixture
def fake_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return FakeHub(NAME, folder, tmp_path / "snapshot").stand_in(monkeypatch)


def test_only_what_is_needed_travels(base: Base, fake_hub: FakeHub) -> None:
    for part in ("unet", "vae", "text_encoder"):
        (fake_hub.source / part / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
        (fake_hub.source / part / "model.fp16.safetensors").write_bytes(b"half")
    (fake_hub.source / "everything.safetensors").write_bytes(b"single file")
    same(load_pipeline(find_base(NAME), base.adapter, torch.float32)[0], base)
    weights = {file for file in fake_hub.travelled if not file.endswith((".json", ".txt"))}
    assert weights == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }


def test_a_repository_of_a_variant_travels(base: Base, fake_hub: FakeHub) -> None:
    rename_weights(fake_hub.source, "fp16")
    same(load_pipeline(find_base(NAME), base.adapter, torch.float32)[0], base)


def test_refusals_come_before_weights_travel(fake_hub: FakeHub) -> None:
    with pytest.raises(AdapterError, match=rf"fits sdxl bases, but {NAME} is sd\(8-16"):
        find_base(NAME, AdapterConfig("sdxl", 2048, {}).check_base)
    for file in fake_hub.source.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(AdapterError, match=f"{NAME} has no safetensors of its unet, only a pickle"):
        find_base(NAME)
    write_index(fake_hub.snapshot, "FluxPipeline", transformer="FluxTransformer2DModel")
    with pytest.raises(AdapterError, match=f"{NAME} is a FluxPipeline"):
        find_base(NAME)
    (fake_hub.source / "model_index.json").unlink()
    (fake_hub.snapshot / "model_index.json").unlink()
    with pytest.raises(AdapterError, match=f"{NAME} is no diffusers repository: fetch a file"):
        find_base(NAME)
    assert all(file.endswith((".json", ".txt")) for file in fake_hub.travelled)
