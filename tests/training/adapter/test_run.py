"""Runs of a few tiny steps: what is kept, how they end, and that they go on to the bit."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.models import tiny
from tests.pipelines import published_files
from tests.training.adapter.prepared import settings, write_dataset, write_xl

from facesnap.core.errors import AdapterError, EncoderMismatchError, FaceSnapError, UsageError
from facesnap.data.layout import DESCRIPTION
from facesnap.models.checkpoint import load_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.pipelines.facade import FaceSnap
from facesnap.training.adapter import loop
from facesnap.training.adapter.checkpoints import Checkpoints
from facesnap.training.adapter.config import checked
from facesnap.training.adapter.loop import Outcome
from facesnap.training.adapter.run import train_adapter


def run(
    mini: Path, data: Path, output: Path, /, say: Any = lambda _: None, minutes: float | None = None, **changes: Any
) -> Outcome:
    return train_adapter(checked(settings(mini, data, output, **changes)), minutes, say)


def weights(output: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(output / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def lines(output: Path, kind: str = "train") -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (output / "log.jsonl").read_text().splitlines()) if line["kind"] == kind]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_goes_on_to_the_same_bits(mini: Path, data: Path, tmp_path: Path, optimizer: str) -> None:
    class Killed(BaseException):
        pass

    def killed(line: str) -> None:
        if line.startswith("train 5/6"):
            raise Killed

    changes: dict[str, Any] = {"watch": {"checkpoint_every": 3}, "optim": {"optimizer": optimizer}}
    run(mini, data, tmp_path / "whole", **changes)
    with pytest.raises(Killed):
        run(mini, data, tmp_path / "cut", killed, **changes)
    said: list[str] = []
    assert run(mini, data, tmp_path / "cut", said.append, **changes).finished
    assert "resumed at step 3 of 6" in said
    equal(weights(tmp_path / "whole", 6), weights(tmp_path / "cut", 6))
    whole, cut = (lines(tmp_path / name) for name in ("whole", "cut"))
    assert [each["loss"] for each in cut[-3:]] == [each["loss"] for each in whole[-3:]]
    ffrnets = [
        tmp_path / name / "adapter" / "ffrnet" / "diffusion_pytorch_model.safetensors" for name in ("whole", "cut")
    ]
    equal(*(load_file(file) for file in ffrnets))


def test_the_adapter_is_loaded_by_the_product_and_holds_the_average(mini: Path, data: Path, tmp_path: Path) -> None:
    outcome = run(mini, data, tmp_path / "out", nets={"defaults": {"num_inference_steps": 2}})
    assert outcome.adapter == tmp_path / "out" / "adapter"
    snap = FaceSnap.from_pretrained(mini / "base", adapter=outcome.adapter, device="cpu")
    assert snap.default_steps == 2
    loaded = load_adapter(outcome.adapter)
    state = weights(tmp_path / "out", 6)
    own = loaded.mixer.state_dict()
    assert torch.equal(own["null"], state["ema.mixer.null"])
    assert not torch.equal(own["null"], state["model.mixer.null"])
    told = json.loads((outcome.adapter / "training.json").read_text())
    assert told["step"] == 6
    assert told["data"]["licences"] == {"CC0": 18}


def test_passes_add_up_to_the_batch(mini: Path, data: Path, tmp_path: Path) -> None:
    run(mini, data, tmp_path / "whole")
    run(mini, data, tmp_path / "parts", optim={"micro_batch_size": 2})
    whole, parts = (weights(tmp_path / name, 6) for name in ("whole", "parts"))
    for name in whole:
        if name.startswith("model."):
            torch.testing.assert_close(parts[name], whole[name], atol=2e-4, rtol=1e-3)
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "parts"), strict=True):
        for name in ("loss", "diff", "id", "gradient_norm"):
            assert other[name] == pytest.approx(one[name], rel=1e-3), name


def test_checkpoints_are_rotated_and_what_was_half_written_goes(mini: Path, data: Path, tmp_path: Path) -> None:
    left = tmp_path / "out" / "checkpoints" / ".step-00000002"
    left.mkdir(parents=True)
    run(mini, data, tmp_path / "out", watch={"checkpoint_every": 1, "keep": 2})
    kept = sorted(path.name for path in (tmp_path / "out" / "checkpoints").iterdir())
    assert kept == ["step-00000005", "step-00000006"]


def test_a_checkpoint_that_can_not_be_written_leaves_those_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "checkpoints", 2)
    kept.save(1, {}, lambda folder: None)

    def full(folder: Path) -> None:
        (folder / "state.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(FaceSnapError, match="No space left on device"):
        kept.save(2, {}, full)
    latest = kept.latest()
    assert latest is not None
    assert latest.name == "step-00000001"
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_sigterm_saves_and_ends(mini: Path, data: Path, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("train 2/6"):
            signal.raise_signal(signal.SIGTERM)

    outcome: Outcome = run(mini, data, tmp_path / "cut", stop)
    assert outcome.stopped
    assert 2 <= outcome.step <= 3
    assert outcome.adapter is not None
    assert run(mini, data, tmp_path / "cut").finished
    run(mini, data, tmp_path / "whole")
    equal(weights(tmp_path / "whole", 6), weights(tmp_path / "cut", 6))


def test_a_loss_that_is_not_finite_ends_with_the_batch_kept(
    mini: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock, calls = loop.total_loss, []

    def broken(*given: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        losses = stock(*given)
        return {**losses, "loss": losses["loss"] * float("nan")} if len(calls) == 4 else losses

    monkeypatch.setattr(loop, "total_loss", broken)
    with pytest.raises(FaceSnapError, match=r"the loss became nan .* at step 3") as caught:
        run(mini, data, tmp_path / "out", watch={"checkpoint_every": 2})
    kept = tmp_path / "out" / "broken-step-00000003-process-0"
    assert str(kept.with_suffix(".safetensors")) in str(caught.value)
    assert "go on from step-00000002" in str(caught.value)
    tensors, told = load_file(kept.with_suffix(".safetensors")), json.loads(kept.with_suffix(".json").read_text())
    assert len(tensors["clean"]) == len(told["keys"]) == 8
    assert sorted(path.name for path in (tmp_path / "out" / "checkpoints").iterdir()) == ["step-00000002"]
    assert not (tmp_path / "out" / "adapter").exists()


def test_other_settings_of_the_data_are_refused_when_going_on(mini: Path, data: Path, tmp_path: Path) -> None:
    run(mini, data, tmp_path / "out", minutes=0.0)
    with pytest.raises(UsageError, match=r"holds a run with data.lanes=4, not 2"):
        run(mini, data, tmp_path / "out", data={"lanes": 2})
    run(mini, data, tmp_path / "out", data={"lanes": 2}, resume=False)


def test_another_encoders_data_is_refused(mini: Path, data: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", mini)
    info = json.loads((folder / DESCRIPTION).read_text())
    info["encoders"]["face"] = "arcface@123456789abc"
    (folder / DESCRIPTION).write_text(json.dumps(info))
    with pytest.raises(EncoderMismatchError, match=r"face encoder is arcface@123456789abc, but .* tiny-face@"):
        run(mini, folder, tmp_path / "out")
    run(mini, folder, tmp_path / "out", objective={"lambda_id": 0.0}, optim={"steps": 1})
    assert load_adapter(tmp_path / "out" / "adapter").config.encoders["face"] == "arcface@123456789abc"


def test_validation_names_its_judges_and_leaves_the_training_alone(mini: Path, data: Path, tmp_path: Path) -> None:
    run(mini, data, tmp_path / "plain")
    run(mini, data, tmp_path / "out", watch={"validate_every": 2, "tensorboard": True})
    equal(weights(tmp_path / "plain", 6), weights(tmp_path / "out", 6))
    found = lines(tmp_path / "out", "val")
    assert [line["step"] for line in found] == [2, 4, 6]
    assert found[0]["judges"].startswith("tiny-judge@")
    assert {"diff_loss", "facesim_reference", "facesim_other", "facesim_real", "clip_t"} <= found[0].keys()
    assert (tmp_path / "out" / "samples" / "step-00000006.png").is_file()
    assert list((tmp_path / "out" / "tensorboard").glob("events.*"))
    with pytest.raises(UsageError, match="can't judge likeness: the adapter is conditioned on it"):
        run(mini, data, tmp_path / "b", watch={"validate_every": 1, "judge_face": str(mini / "face_encoder")})


def test_training_lowers_the_loss_on_a_fixed_batch(mini: Path, data: Path, tmp_path: Path) -> None:
    run(
        *(mini, data, tmp_path / "out"),
        optim={"steps": 60, "learning_rate": 3e-3, "optimizer": "muon"},
        watch={"validate_every": 30, "log_every": 30},
        objective={"lambda_id": 0.0},
    )
    found = [line["diff_loss"] for line in lines(tmp_path / "out", "val")]
    assert found[-1] < found[0] - 0.01


# --- what a run begins with ---


def first_weights(mini: Path, data: Path, output: Path, /, **changes: Any) -> dict[str, torch.Tensor]:
    run(mini, data, output, minutes=0.0, **changes)
    return load_file(output / "adapter" / "ffrnet" / "diffusion_pytorch_model.safetensors")


def test_an_adapter_is_taken_up_again(mini: Path, data: Path, tmp_path: Path) -> None:
    found = first_weights(mini, data, tmp_path / "out", nets={"start": str(mini / "adapter")})
    equal(found, load_file(mini / "adapter" / "ffrnet" / "diffusion_pytorch_model.safetensors"))


def test_a_controlnet_is_a_start_and_one_of_another_shape_is_refused(mini: Path, data: Path, tmp_path: Path) -> None:
    from diffusers import ControlNetModel

    torch.manual_seed(7)
    net = ControlNetModel.from_unet(tiny.unet(), conditioning_embedding_out_channels=(4, 8, 8))
    torch.nn.init.normal_(net.controlnet_mid_block.weight)
    net.save_pretrained(tmp_path / "net")
    found = first_weights(mini, data, tmp_path / "out", nets={"start": str(tmp_path / "net")})
    equal(found, dict(net.state_dict()))
    assert load_adapter(tmp_path / "out" / "adapter").mixer.config["width"] == tiny.WIDTH
    run(mini, data, tmp_path / "out", nets={"start": str(tmp_path / "net")}, optim={"steps": 2})
    ControlNetModel.from_unet(tiny.unet(layers_per_block=2)).save_pretrained(tmp_path / "deep")
    with pytest.raises(AdapterError, match=r"deep doesn't fit .*: its layers_per_block is 2, not 1"):
        run(mini, data, tmp_path / "b", nets={"start": str(tmp_path / "deep")})


def test_identitynet_is_a_start_for_sdxl(mini: Path, data: Path, tmp_path: Path) -> None:
    base = write_xl(tmp_path)
    folder = published_files.write_instantid(tmp_path / "InstantID")
    net = FFRNet.from_pretrained(folder / "ControlNetModel")
    assert net.config["cross_attention_dim"] == 2 * tiny.WIDTH
    found = first_weights(mini, data, tmp_path / "out", base=str(base), nets={"start": str(folder)})
    equal(found, {name: value.float() for name, value in net.state_dict().items()})
    outcome = run(mini, data, tmp_path / "out", base=str(base), nets={"start": str(folder)}, optim={"steps": 2})
    assert outcome.finished
    assert load_adapter(tmp_path / "out" / "adapter").config.family.startswith("sdxl")


def test_bf16_and_checkpointing_train(mini: Path, data: Path, tmp_path: Path) -> None:
    plain, saved = tmp_path / "plain", tmp_path / "saved"
    run(mini, data, plain, compute={"precision": "bf16"}, optim={"steps": 2})
    run(mini, data, saved, compute={"gradient_checkpointing": True, "precision": "bf16"}, optim={"steps": 2})
    for one, other in zip(lines(plain), lines(saved), strict=True):
        assert np.isfinite(one["loss"])
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-2)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=5e-2)


def test_no_person_to_validate_is_no_error(mini: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", mini, unseen=0)
    assert run(mini, folder, tmp_path / "out", watch={"validate_every": 1}, optim={"steps": 1}).finished


def test_the_outcome_says_how_far_it_got() -> None:
    outcome = Outcome(3, 6, {}, False, None)
    assert not outcome.finished
    assert dataclasses.replace(outcome, step=6).finished
