"""Weight folders: round trip, hashes, and errors that name what is wrong."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from facesnap.core import weights
from facesnap.core.errors import AdapterError, OutputError


def _linear(config: dict[str, int]) -> torch.nn.Linear:
    return torch.nn.Linear(config["n_in"], config["n_out"])


def _saved(folder: Path, dtype: torch.dtype | None = None) -> torch.nn.Linear:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    weights.save_module(folder, module, {"n_in": 3, "n_out": 2}, {"steps": "7"}, dtype)
    return module


def test_round_trip_keeps_weights_config_and_metadata(tmp_path: Path) -> None:
    module = _saved(tmp_path / "net")
    again = weights.load_module(tmp_path / "net", _linear)
    assert torch.equal(again.weight, module.weight)
    assert not again.training
    assert weights.read_config(tmp_path / "net") == {"n_in": 3, "n_out": 2}
    assert weights.read_metadata(tmp_path / "net" / weights.MODEL_NAME)["steps"] == "7"
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == ["config.json", "model.safetensors"]


def test_half_precision_file_is_smaller_and_loads_as_float32(tmp_path: Path) -> None:
    module = _saved(tmp_path, torch.float16)
    again = weights.load_module(tmp_path, _linear)
    assert again.weight.dtype == torch.float32
    assert torch.allclose(again.weight, module.weight, atol=1e-3)
    assert not torch.equal(again.weight, module.weight)


def test_hash_follows_the_content_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    _saved(tmp_path / "a")
    _saved(tmp_path / "b")
    assert weights.sha256_12(tmp_path / "a") == weights.sha256_12(tmp_path / "b")
    file = tmp_path / "b" / weights.MODEL_NAME
    before = weights.sha256_12(file)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert weights.sha256_12(file) != before
    assert weights.sha256_12(tmp_path / "a") != weights.sha256_12(tmp_path / "b")
    assert len(before) == 12


def test_missing_folder_is_one_line_with_the_path(tmp_path: Path) -> None:
    for attempt in (weights.read_config, weights.sha256_12, lambda f: weights.load_module(f, _linear)):
        with pytest.raises(AdapterError, match="nowhere") as caught:
            attempt(tmp_path / "nowhere")
        assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path: Path) -> None:
    _saved(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"n_in": 3, "n_out": 4}))
    with pytest.raises(AdapterError, match="size mismatch"):
        weights.load_module(tmp_path, _linear)


def test_garbage_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(AdapterError, match="can't read"):
        weights.load_module(tmp_path, _linear)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AdapterError, match="JSON"):
        weights.read_config(tmp_path)


def test_mini_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACESNAP_MINI", raising=False)
    assert weights.mini_folder().parts[-3:] == ("facesnap", "weights", "mini")
    monkeypatch.setenv("FACESNAP_MINI", str(tmp_path))
    assert weights.mini_folder() == tmp_path
    info = weights.WEIGHTS[0]
    assert not info.present
    _saved(info.path)
    assert info.present


def test_save_whole_replaces_its_files_and_keeps_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "net"
    weights.save_whole(folder, lambda f: (Path(f) / "a").write_text("old"))
    weights.save_whole(folder, lambda f: (Path(f) / "b").write_text("other"))
    weights.save_whole(folder, lambda f: (Path(f) / "a").write_text("new"))
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a": "new", "b": "other"}
    assert [p.name for p in folder.parent.iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("problem", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, "net: No space left on device$"),
        (Exception("full\n(os error 28)"), OutputError, r"net: full \(os error 28\)$"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_save_whole_leaves_the_old_files_when_it_fails(
    tmp_path: Path, problem: BaseException, raised: type[BaseException], message: str
) -> None:
    def fail(folder: str) -> None:
        (Path(folder) / "a").write_text("ne")
        raise problem

    folder = tmp_path / "net"
    weights.save_whole(folder, lambda f: (Path(f) / "a").write_text("old"))
    with pytest.raises(raised, match=message):
        weights.save_whole(folder, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a": "old"}
