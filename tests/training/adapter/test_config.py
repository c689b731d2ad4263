"""Settings: a misspelt key or a value that can't be is one line, with what may have been meant."""

from pathlib import Path

import pytest
import yaml
from tests.training.adapter.prepared import settings

from facesnap.core.errors import UsageError
from facesnap.training.adapter.config import read_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings(tmp_path, tmp_path / "data", tmp_path / "out")))
    return path


def test_changes_are_yaml_and_reach_their_place(file: Path) -> None:
    config = read_config(file, ["optim.learning_rate=1e-4", "objective.id_window=[0.1, 0.5]", "nets.start=null"])
    assert config.optim.learning_rate == 1e-4
    assert config.objective.id_window == (0.1, 0.5)
    assert config.nets.start is None
    assert read_config(file, ["nets.attention=[true, false]"]).nets.attention == (True, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("optim.lerning_rate=1", "unknown setting optim.lerning_rate: did you mean optim.learning_rate?"),
        ("lambda_id=1", "unknown setting lambda_id: did you mean objective.lambda_id?"),
        ("optim.steps", "write key=value"),
        ("optim.steps=many", "setting optim.steps: "),
        ("optim.steps=0", "setting optim.steps: "),
        ("optim.steps=[", "its value is no YAML"),
        ("optim.optimizer=sgd", "setting optim.optimizer: "),
        ("output.of=1", "output is a value"),
        ("objective.id_window=[0.9, 0.1]", "must lie between 0 and 1"),
        ("optim.batch_size=6", "optim.batch_size=6 must be a multiple of data.lanes=4"),
    ],
)
def test_what_can_not_be_is_named(file: Path, change: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_config(file, [change])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_settings_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read .*other.yaml"):
        read_config(tmp_path / "other.yaml")
    file.write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="must hold settings"):
        read_config(file)
    file.write_text("output: x\n")
    with pytest.raises(UsageError, match="the setting base is missing"):
        read_config(file)


def test_every_recipe_is_read() -> None:
    recipes = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))
    assert {"mini.yaml", "sd15.yaml", "sdxl.yaml", "sdxl-from-identitynet.yaml"} <= {path.name for path in recipes}
    for path in recipes:
        config = read_config(path)
        assert "accelerate launch" in path.read_text() or config.compute.device == "cpu"
