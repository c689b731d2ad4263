"""From paths to adapters: what is found, what is refused, and that no pickle's code ever runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.models import tiny
from tests.models.published import files

from facesnap.core.errors import AdapterError
from facesnap.models.published import FaceID, InstantID, layout, read_published
from facesnap.models.published.reading import read_state

ATTENTION = files.layers([16] * 4, tiny.WIDTH)
FACEID = files.filled(files.faceid(tiny.WIDTH), ATTENTION)
PLUS = files.filled(files.faceid_plus(tiny.WIDTH, 20), ATTENTION)
INSTANTID = files.filled(files.instantid(24, 1, tiny.WIDTH, 5), ATTENTION)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_both_file_types_give_the_same_tensors(tmp_path: Path, suffix: str) -> None:
    state = read_state(files.write(tmp_path / f"a{suffix}", FACEID))
    assert {part: set(found) for part, found in state.items()} == {part: set(found) for part, found in FACEID.items()}
    for part, found in FACEID.items():
        assert all(torch.equal(state[part][key], value) for key, value in found.items())


def test_a_file_of_torchs_older_format_is_read(tmp_path: Path) -> None:
    torch.save(FACEID, tmp_path / "a.bin", _use_new_zipfile_serialization=False)
    assert torch.equal(read_state(tmp_path / "a.bin")["image_proj"]["norm.bias"], FACEID["image_proj"]["norm.bias"])


@pytest.mark.parametrize(
    ("name", "state", "kind"),
    [
        ("ip-adapter-faceid_sd15.bin", FACEID, "ip-adapter-faceid"),
        ("ip-adapter-faceid-plus_sd15.bin", PLUS, "ip-adapter-faceid-plus"),
        ("ip-adapter-faceid-plusv2_sd15.safetensors", PLUS, "ip-adapter-faceid-plusv2"),
    ],
)
def test_files_of_faceid(tmp_path: Path, name: str, state: files.State, kind: str) -> None:
    adapter = read_published(files.write(tmp_path / name, state))
    assert isinstance(adapter, FaceID)
    assert (adapter.kind, adapter.file.name) == (kind, name)
    assert read_published(tmp_path).kind == kind  # type: ignore[union-attr]


def test_plus_and_plusv2_are_told_apart_or_asked_for(tmp_path: Path) -> None:
    file = files.write(tmp_path / "mine.bin", PLUS)
    with pytest.raises(AdapterError, match=r"FaceID-Plus or FaceID-PlusV2.*keep the published name"):
        read_published(file)
    assert read_published(file, shortcut=True).kind == "ip-adapter-faceid-plusv2"  # type: ignore[union-attr]
    assert read_published(file, shortcut=False).kind == "ip-adapter-faceid-plus"  # type: ignore[union-attr]


def test_for_sdxl_there_is_plusv2_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = files.write(tmp_path / "mine.bin", PLUS)
    monkeypatch.setattr(layout, "FAMILIES", {"sdxl": (tiny.WIDTH, (16,) * 4)})
    assert read_published(file).kind == "ip-adapter-faceid-plusv2"  # type: ignore[union-attr]


def test_instantid_needs_its_identity_net(tmp_path: Path) -> None:
    file = files.write(tmp_path / "ip-adapter.bin", INSTANTID)
    with pytest.raises(AdapterError, match="put ControlNetModel/ beside it"):
        read_published(file)
    (tmp_path / "ControlNetModel").mkdir()
    (tmp_path / "ControlNetModel" / "config.json").write_text("{}")
    for path in (file, tmp_path):
        adapter = read_published(path)
        assert isinstance(adapter, InstantID)
        assert adapter.kind == "instantid"
    with pytest.raises(AdapterError, match=r"the IdentityNet in .*ControlNetModel is damaged"):
        adapter.identity_net()
    file.unlink()
    with pytest.raises(AdapterError, match=r"alone: put its ip-adapter\.bin beside it"):
        read_published(tmp_path)


def test_folders(tmp_path: Path) -> None:
    assert read_published(tmp_path) is None
    for name in ("ip-adapter-faceid_sd15.bin", "ip-adapter-faceid_sd15_lora.safetensors"):
        files.write(tmp_path / name, FACEID)
    files.write(tmp_path / "ip-adapter-faceid_sd15.safetensors", FACEID)
    assert read_published(tmp_path).file.suffix == ".safetensors"  # type: ignore[union-attr]
    files.write(tmp_path / "ip-adapter-faceid-plus_sd15.bin", PLUS)
    with pytest.raises(AdapterError, match=r"2 adapters, give one.*faceid-plus_sd15, ip-adapter-faceid_sd15"):
        read_published(tmp_path)
    (tmp_path / "adapter.json").write_text("{}")
    assert read_published(tmp_path) is None  # one of ours


def test_paths_that_are_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter at"):
        read_published(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(AdapterError, match=r"give a folder, a \.safetensors or a \.bin file"):
        read_published(tmp_path / "a.txt")


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".bin", ".safetensors", "old"])
def test_cut_off_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    file = tmp_path / ("a.bin" if suffix == "old" else f"a{suffix}")
    if suffix == "old":
        torch.save(FACEID, file, _use_new_zipfile_serialization=False)
    else:
        files.write(file, FACEID)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(AdapterError, match=r"a\.(bin|safetensors) .*is cut off") as caught:
        read_published(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"PK\x03\x04", b"version https://git-lfs.github.com/spec/v1\noid ", b"hi"]
)
def test_files_that_torch_didnt_write_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(AdapterError, match=r"a\.bin is cut off, or no file that torch wrote"):
        read_published(tmp_path / "a.bin")


class Payload:
    """What a harmful pickle does: name a function to be called by whoever reads it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, zipped: bool) -> None:
    file, trace = tmp_path / "ip-adapter.bin", tmp_path / "it ran"
    torch.save({**FACEID, "x": Payload(trace)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(AdapterError, match="holds more than tensors, and reading it would run its code") as caught:
        read_published(file)
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    torch.load(file, weights_only=False)  # whoever trusts it runs it
    assert trace.exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lora_unet_down_blocks_1_attentions_0_attn1_to_k.lora_up.weight"], "the LoRA alone: give the .bin beside it"),
        (["image_proj_model.norm.weight", "adapter_modules.1.to_k_ip.weight"], "a checkpoint from training"),
        (["conv_in.weight"], "no InstantID and no IP-Adapter-FaceID: it has no image_proj"),
        (["image_proj.norm.weight"], "no InstantID and no IP-Adapter-FaceID: it has no ip_adapter"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    save_file({name: torch.zeros(2) for name in names}, tmp_path / "a.safetensors")
    with pytest.raises(AdapterError, match=message):
        read_published(tmp_path / "a.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "b.bin")
    with pytest.raises(AdapterError, match="no dictionary of tensors"):
        read_published(tmp_path / "b.bin")
