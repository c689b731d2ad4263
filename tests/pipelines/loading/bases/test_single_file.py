"""Single files in the original key layout: the same model as the folder's, bit by bit, and nothing made up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models import tiny
from tests.pipelines.loading.bases import tiny_bases
from tests.pipelines.loading.bases.tiny_bases import KINDS, Base

from facesnap.core.errors import AdapterError, UsageError
from facesnap.pipelines.bindings.sd import FaceSnapPipeline
from facesnap.pipelines.bindings.sdxl import FaceSnapXLPipeline
from facesnap.pipelines.loading.bases.configs import REFERENCES
from facesnap.pipelines.loading.bases.find import detect_family
from facesnap.pipelines.loading.bases.hub import fetch_command
from facesnap.pipelines.loading.load import load_pipeline

Pipeline = FaceSnapPipeline | FaceSnapXLPipeline
DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "BASES.md"
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Base]:
    return {kind: tiny_bases.build(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture
def sd1(bases: dict[str, Base]) -> Base:
    return bases["sd1"]


@pytest.fixture
def rewritten(sd1: Base, tmp_path: Path) -> Callable[..., Path]:
    """The SD 1 file with tensors taken away, and others or metadata added."""

    def write(drop: str = "none of them", metadata: dict[str, str] | None = None, **more: torch.Tensor) -> Path:
        tensors = {name: tensor for name, tensor in load_file(sd1.file).items() if not name.startswith(drop)}
        save_file({**tensors, **more}, tmp_path / "other.safetensors", metadata)
        return tmp_path / "other.safetensors"

    return write


def picture(pipeline: Pipeline) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        "a face",
        image=torch.ones(1, 3, tiny.SIZE, tiny.SIZE),
        face_tokens=torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(5)),
        num_inference_steps=2,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images
    return np.asarray(images)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_its_folder_bit_by_bit(bases: dict[str, Base], kind: str) -> None:
    base = bases[kind]
    assert detect_family(base.file) == detect_family(base.folder)
    ours, _ = load_pipeline(base.file, base.adapter, torch.float32, base.config)
    theirs, _ = load_pipeline(base.folder, base.adapter, torch.float32)
    assert type(ours) is type(theirs)
    compared = [part for part in PARTS if hasattr(theirs, part)]
    assert len(compared) == (4 if kind == "sdxl" else 3)
    for part in compared:
        here, there = getattr(ours, part), getattr(theirs, part)
        assert type(here) is type(there)
        assert not here.training
        assert here.state_dict().keys() == there.state_dict().keys()
        assert all(torch.equal(here.state_dict()[name], tensor) for name, tensor in there.state_dict().items())
    assert ours.scheduler.config == theirs.scheduler.config
    flag = "force_zeros_for_empty_prompt"  # SDXL's, and here not its default
    assert ours.config.get(flag) == theirs.config.get(flag) == (False if kind == "sdxl" else None)
    assert getattr(ours, "safety_checker", None) is None
    assert np.array_equal(picture(ours), picture(theirs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(bases: dict[str, Base], dtype: torch.dtype) -> None:
    base = bases["sdxl"]
    pipeline, _ = load_pipeline(base.file, base.adapter, dtype, base.config)
    whole, _ = load_pipeline(base.file, base.adapter, torch.float32, base.config)
    for part in (*PARTS, "controlnet", "mixer"):
        found = {tensor.dtype for tensor in getattr(pipeline, part).state_dict().values()}
        assert found == {dtype}
    name, tensor = next(iter(whole.unet.state_dict().items()))
    assert torch.equal(pipeline.unet.state_dict()[name], tensor.to(dtype))
    if dtype == torch.bfloat16:
        made = picture(pipeline)
        assert np.isfinite(made).all()
        assert np.abs(made - picture(whole)).mean() < 0.05


def test_weights_are_not_the_file_itself(sd1: Base, tmp_path: Path) -> None:
    """A checkpoint that is written anew while it is in use doesn't change what was loaded."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(sd1.file.read_bytes())
    pipeline, _ = load_pipeline(file, sd1.adapter, torch.float32, sd1.config)
    before = picture(pipeline)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(b"\0" * (file.stat().st_size // 2 - 8))
    assert np.array_equal(picture(pipeline), before)


def test_loading_is_silent(sd1: Base, capfd: pytest.CaptureFixture[str]) -> None:
    load_pipeline(sd1.file, sd1.adapter, torch.float32, sd1.config)
    assert capfd.readouterr() == ("", "")


# --- nothing is made up ---


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("first_stage_model.", "no vae"),
        ("cond_stage_model.", "no text encoder"),
        ("model.diffusion_model.middle_block.1.norm", r"mid_block\.attentions\.0\.norm\.weight of the unet is missing"),
        ("cond_stage_model.transformer.text_model.final", r"final_layer_norm\.weight of the text_encoder is missing"),
        ("first_stage_model.post_quant_conv.bias", r"post_quant_conv\.bias of the vae is missing"),
    ],
)
def test_what_a_file_lacks_is_named(sd1: Base, rewritten: Callable[..., Path], prefix: str, said: str) -> None:
    with pytest.raises(AdapterError, match=said) as caught:
        load_pipeline(rewritten(prefix), sd1.adapter, torch.float32, sd1.config)
    assert "\n" not in str(caught.value)


def test_sdxl_needs_its_second_text_encoder(bases: dict[str, Base], tmp_path: Path) -> None:
    tensors = {n: t for n, t in load_file(bases["sdxl"].file).items() if not n.startswith("conditioner.embedders.1")}
    save_file(tensors, tmp_path / "half.safetensors")
    with pytest.raises(AdapterError, match="text_encoder_2 is missing"):
        load_pipeline(tmp_path / "half.safetensors", bases["sdxl"].adapter, torch.float32, bases["sdxl"].config)


def test_a_config_of_another_architecture_is_refused(bases: dict[str, Base], sd1: Base, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"model\.safetensors is sd\(.*config at .* is sdxl\("):
        load_pipeline(sd1.file, sd1.adapter, torch.float32, bases["sdxl"].config)
    near = tiny_bases.copy_small(sd1.config, tmp_path / "near")
    config = json.loads((near / "text_encoder" / "config.json").read_text())
    (near / "text_encoder" / "config.json").write_text(json.dumps({**config, "vocab_size": 301}))
    with pytest.raises(AdapterError, match=r"token_embedding\.weight of the text_encoder is \(300, 16\), not \(301"):
        load_pipeline(sd1.file, sd1.adapter, torch.float32, near)


def test_merges_without_the_inner_prefix_load(sd1: Base, tmp_path: Path) -> None:
    """Some merged SD 1 files leave ``text_model.`` out."""
    tensors = {name.replace(".transformer.text_model.", ".transformer."): t for name, t in load_file(sd1.file).items()}
    save_file(tensors, tmp_path / "merge.safetensors")
    ours, _ = load_pipeline(tmp_path / "merge.safetensors", sd1.adapter, torch.float32, sd1.config)
    theirs, _ = load_pipeline(sd1.folder, sd1.adapter, torch.float32)
    assert np.array_equal(picture(ours), picture(theirs))


# --- what it predicts ---


@pytest.mark.parametrize(
    ("metadata", "marks", "expected"),
    [
        (None, (), "epsilon"),  # the config's word
        ({"modelspec.prediction_type": "v"}, (), "v_prediction"),
        ({"modelspec.prediction_type": "something new"}, (), "epsilon"),
        (None, ("v_pred",), "v_prediction"),
    ],
)
def test_the_files_own_word_on_its_prediction_counts(
    sd1: Base, rewritten: Callable[..., Path], metadata: dict[str, str] | None, marks: tuple[str, ...], expected: str
) -> None:
    file = rewritten(metadata=metadata, **{mark: torch.zeros(1) for mark in marks})
    pipeline, _ = load_pipeline(file, sd1.adapter, torch.float32, sd1.config)
    assert pipeline.scheduler.config.prediction_type == expected
    assert not pipeline.scheduler.config.rescale_betas_zero_snr


def test_zero_terminal_snr_is_taken_over(sd1: Base, rewritten: Callable[..., Path]) -> None:
    file = rewritten(v_pred=torch.zeros(1), ztsnr=torch.zeros(1))
    pipeline, _ = load_pipeline(file, sd1.adapter, torch.float32, sd1.config)
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    assert pipeline.scheduler.config.timestep_spacing == "trailing"


# --- what docs/BASES.md says ---


def test_the_documented_conversion_of_a_pickle(sd1: Base, tmp_path: Path) -> None:
    tensors = load_file(sd1.file)
    tensors["twice"] = tensors["alphas_cumprod"]  # safetensors would refuse shared memory
    torch.save({"state_dict": tensors, "global_step": 7}, tmp_path / "model.ckpt")
    script = re.search(r"<<'EOF'\n(.*?)\nEOF", DOCUMENT.read_text(), re.DOTALL)
    assert script is not None
    command = [sys.executable, "-c", script[1], "model.ckpt", "model.safetensors"]
    subprocess.run(command, cwd=tmp_path, check=True)
    ours, _ = load_pipeline(tmp_path / "model.safetensors", sd1.adapter, torch.float32, sd1.config)
    theirs, _ = load_pipeline(sd1.folder, sd1.adapter, torch.float32)
    assert np.array_equal(picture(ours), picture(theirs))


def test_the_documented_downloads_are_those_of_the_code() -> None:
    documented = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("hf download")]
    assert documented == [fetch_command(names[0]) for names in REFERENCES.values()]


def test_a_base_config_is_for_files(sd1: Base) -> None:
    with pytest.raises(UsageError, match="leave it out"):
        load_pipeline(sd1.folder, sd1.adapter, torch.float32, sd1.config)
