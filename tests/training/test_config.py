"""Settings: presets are valid, unknown ones are refused by name."""

import pytest

from facesnap.core.errors import UsageError
from facesnap.training.config import PRESETS, mini_config


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset: str) -> None:
    config = mini_config(preset)
    assert config.unet.steps > 0
    assert config.judge_face.architecture != config.face.architecture


def test_overrides_reach_their_stage() -> None:
    assert mini_config("cpu", {"unet.steps": "7", "seed": 3}).unet.steps == 7


@pytest.mark.parametrize(
    ("overrides", "named"), [({"unet.stepz": 1}, "unet.stepz"), ({"unet.steps": "many"}, "unet.steps")]
)
def test_wrong_settings_are_named(overrides: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        mini_config("cpu", overrides)


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cpu, gpu"):
        mini_config("tpu")
