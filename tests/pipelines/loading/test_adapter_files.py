"""Adapters by hub id: what the cache holds needs no network, and no more travels than is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pipelines import published_files
from tests.pipelines.loading.bases import tiny_bases
from tests.pipelines.loading.bases.tiny_bases import FakeHub, into_cache

from facesnap.core.errors import AdapterError
from facesnap.models.published import read_published
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.loading.adapter_files import find_adapter

NAME = "someone/adapter"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def fake_hub(source: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    tiny_bases.cut_off(monkeypatch, cache)
    return FakeHub(NAME, source, tmp_path / "snapshot").stand_in(monkeypatch)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")


def test_of_ones_own_the_two_networks_travel(source: Path, fake_hub: FakeHub) -> None:
    wanted = [f"{part}/{file}" for part in ("ffrnet", "mixer") for file in ("config.json", "model.safetensors")]
    write(source, "adapter.json", *wanted, "optimizer.safetensors", "ffrnet/old.bin", "samples/x.json")
    assert find_adapter(NAME) == fake_hub.snapshot
    assert set(fake_hub.travelled) == {"adapter.json", *wanted}


def test_of_instantid_both_parts_travel(source: Path, fake_hub: FakeHub) -> None:
    published_files.write_instantid(source)
    write(source, "examples/face.safetensors", "README.json")
    assert find_adapter(NAME) == fake_hub.snapshot
    assert {file.split("/")[0] for file in fake_hub.travelled} == {"ip-adapter.bin", "ControlNetModel"}
    assert read_published(find_adapter(f"{NAME}/ip-adapter.bin")).kind == "instantid"  # type: ignore[union-attr]


def test_what_is_whole_in_the_cache_is_used(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_bases.cut_off(monkeypatch, cache)
    snapshot = into_cache(published_files.write_instantid(tmp_path / "InstantID"), NAME, cache)
    assert find_adapter(NAME) == snapshot
    assert find_adapter(f"{NAME}/ip-adapter.bin") == snapshot / "ip-adapter.bin"
    faceid = into_cache(published_files.write_faceid(tmp_path / "F", rank=2).parent, "someone/faceid", cache)
    file = "ip-adapter-faceid_sd15.bin"
    assert find_adapter(f"someone/faceid/{file}") == faceid / file
    (snapshot / "ControlNetModel" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(AdapterError, match="switched off"):
        find_adapter(NAME)


def test_one_file_of_a_repository_travels_alone(source: Path, fake_hub: FakeHub) -> None:
    write(source, "ip-adapter-faceid_sd15.bin", "ip-adapter-faceid_sd15_lora.safetensors", "more/ip-adapter-x.bin")
    assert find_adapter(f"{NAME}/more/ip-adapter-x.bin") == fake_hub.snapshot / "more" / "ip-adapter-x.bin"
    assert fake_hub.travelled == ["more/ip-adapter-x.bin"]
    assert find_adapter(NAME).name == "ip-adapter-faceid_sd15.bin", "the only one of its names"
    write(source, "ip-adapter-faceid-plusv2_sdxl.bin")
    with pytest.raises(AdapterError, match=f"several adapters, give one as {NAME}/ip-adapter-faceid-plusv2_sdxl.bin"):
        find_adapter(NAME)
    with pytest.raises(AdapterError, match=r"repository someone/adapter has no file none\.bin"):
        find_adapter(f"{NAME}/none.bin")


def test_repositories_without_an_adapter_are_told(source: Path, fake_hub: FakeHub) -> None:
    write(source, "model_index.json", "unet/model.safetensors")
    with pytest.raises(AdapterError, match=f"{NAME} holds no adapter"):
        find_adapter(NAME)
    assert fake_hub.travelled == []


def test_a_mistyped_path_is_called_a_missing_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_bases.cut_off(monkeypatch, cache)
    with pytest.raises(AdapterError, match=r"no file my/folder/sub/x\.bin here, and as a file of the hub: .*switched"):
        find_adapter("my/folder/sub/x.bin")


def test_a_published_adapter_refuses_a_hubs_base_before_its_weights_travel(
    mini: Path, xl: Path, faceid: Path, arcface: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_bases.cut_off(monkeypatch, cache)
    fake = FakeHub(NAME, xl, tmp_path / "snapshot").stand_in(monkeypatch)
    # As it is for the published sizes; for others, an adapter looks at every layer of the UNet.
    monkeypatch.setattr("facesnap.models.published.adapter.FAMILIES", {read_published(faceid).family: ()})  # type: ignore[union-attr]
    with pytest.raises(AdapterError, match=rf"ip-adapter-faceid fits .* bases, but {NAME} is sdxl\("):
        FaceSnap.from_pretrained(NAME, faceid, device="cpu", face_encoder=arcface)
    assert fake.travelled
    assert all(file.endswith((".json", ".txt")) for file in fake.travelled)
