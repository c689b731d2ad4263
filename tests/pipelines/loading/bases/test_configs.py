"""Where a single file's config comes from, in which order, and what is said where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.pipelines.loading.bases import tiny_bases
from tests.pipelines.loading.bases.tiny_bases import Base, copy_small, into_cache

from facesnap.core.errors import AdapterError
from facesnap.pipelines.loading.bases import configs, hub
from facesnap.pipelines.loading.bases.configs import find_config
from facesnap.pipelines.loading.bases.single_file_header import SingleFile, read_single_file

#: The tiny family's reference repositories: an SD 1 like one, and, as SD 2 has it, two kinds.
FAMILY = "sd(8-16; text 16; 4 latent channels)"
NAMES = ("someone/reference", "someone/older")


@pytest.fixture(autouse=True)
def _references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "REFERENCES", {FAMILY: NAMES, f"{FAMILY} epsilon": ("someone/epsilon",)})


@pytest.fixture
def original(base: Base, tmp_path: Path) -> SingleFile:
    """A file that is alone in its folder."""
    (tmp_path / "alone").mkdir()
    return read_single_file(Path(shutil.copy(base.file, tmp_path / "alone" / "fine-tune.v2.safetensors")))


def test_the_order(base: Base, original: SingleFile, cache: Path, tmp_path: Path) -> None:
    """Each place goes before those that were tried first."""
    older = into_cache(base.config, NAMES[1], cache)
    assert find_config(original) == older
    reference = into_cache(base.config, NAMES[0], cache)
    assert find_config(original) == reference
    shutil.copytree(base.config, original.path.parent, dirs_exist_ok=True)
    assert find_config(original) == original.path.parent
    beside = copy_small(base.config, original.path.parent / "fine-tune.v2")
    assert find_config(original) == beside
    assert find_config(original, tmp_path / "alone" / "fine-tune.v2" / ".." / "fine-tune.v2").samefile(beside)
    assert find_config(original, str(base.folder)) == base.folder
    assert find_config(original, NAMES[1]) == older


def test_without_a_config_the_line_says_what_to_do(original: SingleFile, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AdapterError) as caught:
        find_config(original)
    assert str(caught.value) == (
        f"the config of {original.path} is not on this machine: fetch it once by "
        '`hf download someone/reference --include "*.json" --include "*.txt"`, '
        f"or put its base's configs and tokenizer into {original.path.with_suffix('')}/ or name their folder "
        "(--base-config)"
    )
    monkeypatch.setattr(configs, "REFERENCES", {})
    with pytest.raises(AdapterError, match=r"not on this machine: put its base's configs"):
        find_config(original)


def test_what_is_not_whole_is_passed_over_or_named(base: Base, original: SingleFile, cache: Path) -> None:
    (into_cache(base.config, NAMES[0], cache) / "tokenizer" / "tokenizer.json").unlink()
    older = into_cache(base.config, NAMES[1], cache)
    assert find_config(original) == older
    beside = copy_small(base.config, original.path.with_suffix(""))
    (beside / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(AdapterError, match=r"fine-tune\.v2 is not whole: scheduler/scheduler_config\.json is missing"):
        find_config(original)
    with pytest.raises(AdapterError, match=r"is not whole: tokenizer/vocab\.json is missing"):
        find_config(original, NAMES[0])
    with pytest.raises(AdapterError, match=r"no base config at \./nowhere: give a diffusers folder"):
        find_config(original, "./nowhere")


def test_unrelated_folders_are_passed_over(original: SingleFile, tmp_path: Path, base: Base, cache: Path) -> None:
    """A file may lie in another model's repository, or in one of another kind."""
    reference = into_cache(base.config, NAMES[0], cache)
    xl = tiny_bases.build("sdxl", tmp_path / "xl")
    shutil.copytree(xl.config, original.path.parent, dirs_exist_ok=True)
    assert find_config(original) == reference
    (original.path.parent / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert find_config(original) == reference
    original.path.with_suffix("").mkdir()
    assert find_config(original) == reference


def test_online_the_small_files_are_fetched(
    base: Base, original: SingleFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(base.config)

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(AdapterError, match="hf download"):
        find_config(original)
    assert asked == []  # the hub is switched off
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert find_config(original) == base.config
    assert asked == [("someone/reference", ["*.json", "*.txt"])]

    def fail(name: str, allow_patterns: list[str]) -> str:
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(AdapterError, match="hf download someone/reference"):
        find_config(original)
    older = into_cache(base.config, NAMES[1], cache)
    assert find_config(original, NAMES[1]) == find_config(original) == older  # the cache needs no download


@pytest.mark.parametrize(
    "metadata", [{"modelspec.prediction_type": "epsilon"}, {"modelspec.architecture": "stable-diffusion-v2-512"}]
)
def test_what_the_file_predicts_chooses_its_reference(
    base: Base, original: SingleFile, cache: Path, metadata: dict[str, str]
) -> None:
    other = into_cache(base.config, NAMES[0], cache)
    epsilon = into_cache(base.config, "someone/epsilon", cache)
    assert find_config(original) == other
    assert find_config(SingleFile(original.path, original.shapes, metadata)) == epsilon
