from __future__ import annotations

from typing import get_args

import pytest

from facesnap.serving.config import Limits
from facesnap.serving.requests import MAX_SEED, LoadedModelInfo, Speed
from facesnap.serving.studio import words
from facesnap.serving.studio.asking import DICE_SEED, Wish, sizes
from facesnap.serving.studio.posing import side_lengths

pytest.importorskip("gradio")


def model(width: int, height: int, multiple: int) -> LoadedModelInfo:
    return LoadedModelInfo(
        name="default", base="tiny", adapter=None, width=width, height=height, multiple=multiple, default_steps=4,
        default_guidance=3.0, has_pose=True, hashes={},
    )  # fmt: skip


@pytest.mark.parametrize(("width", "multiple"), [(32, 4), (128, 8), (512, 8), (1024, 8)])
def test_sizes_are_what_the_model_can_make(width: int, multiple: int) -> None:
    offered = sizes(model(width, width, multiple), Limits())
    assert offered[0] == (f"{width} × {width} (as trained)", "")
    for label, value in offered[1:]:
        sides = side_lengths(value)
        assert label.startswith(value)
        assert None not in sides
        assert all(side % multiple == 0 and side <= Limits().side for side in sides if side)
    assert len({label for label, _ in offered}) == len(offered)


def test_the_models_own_size_has_no_numbers() -> None:
    assert side_lengths("") == (None, None)
    assert side_lengths("128 × 160") == (128, 160)


def test_speeds_are_the_librarys() -> None:
    from facesnap.models.savings import SPEEDS

    assert list(words.SPEEDS) == list(get_args(Speed)) == list(SPEEDS)


def test_seeds() -> None:
    def seed(shown: float | None, new: bool) -> int:
        return Wish("a", "", "default", "", 1, 4, 3.0, 1.0, 1.0, "exact", shown, new).seed_now()

    assert seed(7, False) == 7
    assert seed(-3, False) == 0
    assert seed(1e300, False) == MAX_SEED
    assert 0 <= seed(None, False) < DICE_SEED
    assert len({seed(7, True) for _ in range(5)}) > 1
