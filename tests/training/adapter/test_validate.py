"""What --validate finds, and that its estimate is of the run that is set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.models import tiny
from tests.training.adapter.prepared import SIZE, settings, write_dataset

from facesnap.core.errors import EncoderMismatchError
from facesnap.data.layout import DESCRIPTION
from facesnap.training.adapter import estimate as modelled
from facesnap.training.adapter.base import find_base, read_base
from facesnap.training.adapter.config import checked
from facesnap.training.adapter.estimate import Estimate, estimate
from facesnap.training.adapter.nets import Features
from facesnap.training.adapter.run import train_adapter
from facesnap.training.adapter.validate import Findings, first_error, validate


def findings(mini: Path, data: Path, out: Path, /, processes: int = 1, **changes: Any) -> Findings:
    return validate(checked(settings(mini, data, out, **changes)), processes)


def test_a_run_that_can_begin_is_told_and_nothing_is_written(mini: Path, data: Path, tmp_path: Path) -> None:
    made = {"precomputed": str(tmp_path / "made")}
    found = findings(mini, data, tmp_path / "out", watch={"validate_every": 2}, data=made)
    assert not found.problems
    text = "\n".join(found.lines)
    assert "18 photos of 6 people to train on, 6 of 2 to validate, 32 px, 4 shards; licences: CC0 (18)" in text
    assert "predicts epsilon" in text
    assert "6 steps of 8: 1 process(es), 1 pass(es) of 8, no, adamw" in text
    assert "judged by tiny-judge@" in text
    assert "memory per process, estimated" in text
    assert "begins anew" in text
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_gone_on_from(mini: Path, data: Path, tmp_path: Path) -> None:
    train_adapter(checked(settings(mini, data, tmp_path, data={"precomputed": str(tmp_path / "made")})), 0.0, print)
    assert any("goes on from" in line for line in findings(mini, data, tmp_path).lines)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": "no/such-base"}, "no/such-base is not (whole) in the hub's cache"),
        ({"base": "/no/where"}, "no base model at /no/where"),
        ({"data": {"folder": "/no/where"}}, "no such folder: /no/where"),
        ({"nets": {"start": "/no/where"}}, "no ControlNet at /no/where"),
        ({"optim": {"micro_batch_size": 3}}, "can't be dealt to 1 processes in passes of 3"),
        ({"optim": {"optimizer": "adamw8bit"}}, "bitsandbytes can't be imported"),
        ({"watch": {"wandb": "faces"}}, "wandb can't be imported"),
        ({"objective": {"face_encoder": "/no/where"}}, "no weights at /no/where"),
        ({"watch": {"validate_every": 1, "judge_face": "/no/where"}}, "no weights at /no/where"),
        ({"output": "/proc/out"}, "output=/proc/out can't be written"),
    ],
)
def test_what_would_stop_it_is_named(
    mini: Path, data: Path, tmp_path: Path, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = findings(mini, data, tmp_path / "out", **changes)
    assert any(words in str(problem) for problem in found.problems), [str(p) for p in found.problems]


def test_all_problems_are_told_at_once(mini: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", mini)
    info = json.loads((folder / DESCRIPTION).read_text())
    info["encoders"] |= {"face": "other@0", "shape": "other@1"}
    (folder / DESCRIPTION).write_text(json.dumps(info))
    found = findings(mini, folder, tmp_path / "out", processes=3, base="/no/where")
    assert len(found.problems) == 3
    assert "(and 2 more, see above)" in str(first_error(found))
    (mismatch,) = [p for p in found.problems if isinstance(p, EncoderMismatchError)]
    assert "other@0" in str(mismatch)


# --- the estimate ---


def estimated(mini: Path, data: Path, /, processes: int = 1, **changes: Any) -> Estimate:
    config = checked(settings(mini, data, data, **changes))
    base = read_base(config.base, find_base(config.base))
    return estimate(config, base, Features(8, (5, 12)), SIZE, processes)


def test_parameters_are_those_of_the_networks(mini: Path, data: Path, tmp_path: Path) -> None:
    found = estimated(mini, data)
    train_adapter(checked(settings(mini, data, tmp_path, data={"precomputed": str(tmp_path / "made")})), 0.0, print)
    from facesnap.models.checkpoint import load_adapter

    adapter = load_adapter(tmp_path / "adapter")
    assert found.trained == sum(p.numel() for net in (adapter.ffrnet, adapter.mixer) for p in net.parameters())
    assert found.frozen == sum(p.numel() for net in (tiny.unet(), tiny.vae()) for p in net.parameters())
    assert found.optimizer == 8 * found.trained
    assert found.average == 4 * found.trained


def test_memory_and_arithmetic_grow_with_the_pass(mini: Path, data: Path) -> None:
    small = estimated(mini, data, optim={"micro_batch_size": 2}, objective={"lambda_id": 0.0})
    large = estimated(mini, data, optim={"micro_batch_size": 8}, objective={"lambda_id": 0.0})
    assert 2.5 < (large.peak - 4 * large.trained) / (small.peak - 8 * small.trained) < 4.5
    assert small.flops == large.flops  # four passes of a quarter
    halves = estimated(mini, data, processes=2, objective={"lambda_id": 0.0})
    assert halves.flops == large.flops
    assert halves.peak < large.peak


def test_arithmetic_is_what_torch_counts_of_real_tensors(mini: Path, data: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = checked(settings(mini, data, data))
    base = read_base(config.base, find_base(config.base))
    nets = modelled._nets(config, base, Features(8, (5, 12)))
    batch = modelled._batch(base, Features(8, (5, 12)), nets, 8, SIZE)
    unet, vae = (each.requires_grad_(False) for each in (tiny.unet(), tiny.vae()))
    with FlopCounterMode(display=False) as counted:
        modelled._pass(nets, unet, vae, batch, config.objective.id_batch)
    assert estimated(mini, data).flops == counted.get_total_flops()
